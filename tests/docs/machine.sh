#!/bin/bash
# Gives a document the machine it speaks of and runs its commands: machine.sh sandbox|real DOCUMENT.
# sandbox: namespaces of its own (network, processes, mounts), the program of the build, small stand-ins for systemctl, journalctl, apt and
#   for systemd on D-Bus; what is written goes to a tmpfs. Started by tests/integration/test_docs.py.
# real: this machine, with the package installed and systemd running (tests/package.sh). Changes /etc/kvass, /etc/prometheus, /var/lib/kvass.
set -eu
mode=$1 document=$(readlink -f "$2")
here=$(dirname "$(readlink -f "$0")")
name=$(basename "$document")

sandbox() {
    room=$(mktemp -d)
    mount -t tmpfs tmpfs "$room"
    export ROOM=$room
    for d in etc var/lib usr/share usr/lib/systemd; do
        mkdir -p "$room/upper/$d" "$room/work/$d"
        mount -t overlay overlay -o "lowerdir=/$d,upperdir=$room/upper/$d,workdir=$room/work/$d${SANDBOX_OVERLAY:-}" "/$d"
    done
    mount -t proc proc /proc
    ip link set lo up
    echo 'kvass:x:0:0:kvass:/var/lib/kvass:/usr/sbin/nologin' >>/etc/passwd
    echo 'kvass:x:0:' >>/etc/group
    mkdir -p /etc/kvass /etc/prometheus /etc/systemd/system /usr/share/kvass /var/lib/prometheus/metrics2 "$room/bin"
    cp "$top_srcdir/etc/kvass.yaml" /etc/kvass/
    cp "$top_srcdir"/monitoring/kvass.rules.yml "$top_srcdir"/monitoring/kvass-dashboard.json /usr/share/kvass/
    cp "$top_builddir"/systemd/kvass*.service /usr/lib/systemd/system/
    ln -s "$top_builddir/kvass" "$room/bin/kvass"
    for tool in systemctl journalctl apt adduser; do
        ln -s "$here/stand-in.sh" "$room/bin/$tool"
    done
    export PATH="$room/bin:$PATH"
    mkdir -p /var/lib/kvass
    DBUS_SYSTEM_BUS_ADDRESS=unix:path=$room/bus
    export DBUS_SYSTEM_BUS_ADDRESS
    dbus-daemon --session --nofork --address="$DBUS_SYSTEM_BUS_ADDRESS" 2>/dev/null &
    (
        while [ ! -S "$room/bus" ]; do sleep 0.1; done
        exec /usr/bin/python3 "$here/../integration/fake_systemd.py" /var/lib/kvass kvass-prometheus@.service prometheus >/dev/null
    ) &
    prometheus-node-exporter --web.listen-address=127.0.0.1:9100 >/dev/null 2>&1 &
}
real() {
    systemctl stop kvass.socket kvass 'kvass-prometheus@*' prometheus 2>/dev/null || true
    rm -rf /etc/systemd/system/kvass.service.d /etc/systemd/system/kvass.socket.d
    systemctl daemon-reload
    systemctl start prometheus-node-exporter
    mkdir -p /var/lib/prometheus/metrics2
    if [ "$name" = getting-started.md ]; then # begins with the installation
        dpkg --purge kvass >/dev/null
        echo 'APT::Get::Assume-Yes "true";' >/etc/apt/apt.conf.d/99answer # nobody is here to say yes
        cp /root/kvass_1.0.0-1_*.deb "$files/"
    else
        rm -rf /var/lib/kvass/* /etc/kvass/tokens
        dpkg-deb --fsys-tarfile /root/kvass_1.0.0-1_*.deb | tar -xO ./etc/kvass/kvass.yaml >/etc/kvass/kvass.yaml
    fi
}
prepare_files() {
    files=$(mktemp -d)
    cat >"$files/prometheus.yml" <<'END'
global:
  scrape_interval: 5s
  external_labels:
    replica: a
scrape_configs:
- job_name: prometheus
  authorization: {credentials: s3cret}
  static_configs: [{targets: ["localhost:9090"]}]
- job_name: node
  basic_auth: {username: watcher, password: s3cret}
  static_configs: [{targets: ["localhost:9100"]}]
END
    cat >"$files/hashmod.yml" <<'END'
scrape_configs:
- job_name: node
  static_configs: [{targets: ["localhost:9100", "localhost:9101", "localhost:9102", "localhost:9103"]}]
  relabel_configs:
# begin hashmod
  - source_labels: [__address__]
    modulus: 2
    target_label: __tmp_hash
    action: hashmod
  - source_labels: [__tmp_hash]
    regex: "1"
    action: keep
# end hashmod
  - target_label: rack
    replacement: a
END
    printf 'scrape_configs:\n- job_name: node\n  scrape_intervall: 5s\n' >"$files/broken.yml"
    printf 'replicas:\n- shards:\n  - id: shard-0\n    url: http://127.0.0.1:8080\n' >"$files/shards.yaml"
    cp "$here/growth.scn" "$files/"
}
# The samples of a Prometheus that ran here before: one of a job that nobody scrapes any more.
make_past() {
    local past=/var/lib/prometheus/metrics2 pid
    printf 'scrape_configs:\n- job_name: retired\n  scrape_interval: 5s\n  static_configs: [{targets: ["127.0.0.1:9100"]}]\n' >"$files/past.yml"
    rm -rf "$past"
    mkdir -p "$past"
    prometheus --config.file="$files/past.yml" --storage.tsdb.path="$past" --web.listen-address=127.0.0.1:9390 >"$files/past.log" 2>&1 &
    pid=$!
    for _ in $(seq 300); do
        ! curl -s '127.0.0.1:9390/api/v1/query?query=up' | grep -q '"1"' || break
        sleep 0.2
    done
    curl -s '127.0.0.1:9390/api/v1/query?query=up' | grep -q '"1"' || {
        tail -n 3 "$files/past.log" >&2
        exit 1
    }
    kill "$pid"
    wait "$pid"
    [ "$mode" = sandbox ] || chown -R prometheus:prometheus "$past"
}
start_kvass() {
    sed -i 's/^#role: appliance/role: appliance/' /etc/kvass/kvass.yaml
    systemctl enable --now kvass
    for _ in $(seq 300); do
        ! kvass get shards 2>/dev/null | grep -q ready || return 0
        sleep 0.2
    done
    echo "kvass did not become ready" >&2
    exit 1
}

prepare_files
"$mode"
cp "$files/prometheus.yml" /etc/prometheus/prometheus.yml
case $name in
getting-started.md | coordinator.md | sidecar.md) ;;
moving.md) make_past && start_kvass >/dev/null ;;
*) start_kvass >/dev/null ;;
esac
cd "$files"
exec python3 "$here/commands.py" "$document"
