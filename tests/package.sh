#!/bin/bash
# The Debian package, from the committed tree to its purge, in Debian 12 systems made by debootstrap (as root; about ten minutes):
#   built twice from different folders, users' settings and times, with equal results; its unit tests; lintian;
#   installed, removed, reinstalled and purged in a chroot; what deploy/Containerfile does, without a container engine; autopkgtest
#   with its null runner;
#   on a booted systemd (systemd-nspawn, loopback only): one edit, one command, reload, restart, crash, stop, shards as units,
#   an upgrade under load, removal and purge; the demo with the installed program.
# PACKAGE_MIRROR names the package mirror (default: the one this machine's apt uses), PACKAGE_BASE a folder that keeps the debootstrapped
# system for the next run, PACKAGE_DEBS one with what the step build has left, for the steps chroot, container, autopkgtest and booted alone.
# A step that fails ends the script. Steps by name: build lintian container chroot autopkgtest demo booted.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
[ "$(id -u)" = 0 ] || {
    echo "needs root: debootstrap, chroot, systemd-nspawn" >&2
    exit 1
}
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
for tool in debootstrap:debootstrap systemd-nspawn:systemd-container; do
    command -v "${tool%:*}" >/dev/null || apt-get install -y -q --no-install-recommends "${tool#*:}"
done
mirror=${PACKAGE_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/*$')}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/kvass-package.XXXXXX")
base=${PACKAGE_BASE:-$work/base}
passed=0 leader= memory_group=

say() { printf '\n=== %s (%d s)\n' "$*" "$SECONDS"; }
ok() {
    passed=$((passed + 1))
    echo "ok: $*"
}
fail() {
    echo "FAILED: $*" >&2
    exit 1
}
cleanup() {
    status=$?
    [ -z "$leader" ] || halt || true
    grep -o " $work[^ ]*" /proc/self/mounts | sort -r | while read -r m; do umount -l "$m" 2>/dev/null || true; done
    if [ "$status" != 0 ] && [ -n "${PACKAGE_KEEP:-}" ]; then
        echo "left for a look: $work" >&2
    else
        rm -rf --one-file-system "$work"
    fi
    exit "$status"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# ------------------------------------------------------------------ systems

inside() { # folder command...
    local root=$1
    shift
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} "$@"
}
make_base() {
    [ ! -e "$base/.complete" ] || return 0
    debootstrap --variant=minbase bookworm "$base" "$mirror"
    cp -aL /etc/resolv.conf "$base/etc/" 2>/dev/null || true
    cp -a /etc/apt/apt.conf.d/. "$base/etc/apt/apt.conf.d/" 2>/dev/null || true
    no_services "$base"
    mount -t proc proc "$base/proc"
    inside "$base" apt-get update -q
    inside "$base" apt-get install -y -q --no-install-recommends systemd-sysv libpam-systemd dbus polkitd procps python3 prometheus \
        prometheus-node-exporter ca-certificates bash-completion zsh autopkgtest curl
    umount "$base/proc"
    rm -f "$base/usr/sbin/policy-rc.d"
    touch "$base/.complete"
}
no_services() {
    printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
    chmod +x "$1/usr/sbin/policy-rc.d"
}
overlay() { # name: a system of its own over the base
    mkdir -p "$work/$1/upper" "$work/$1/work" "$work/$1/root"
    mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/$1/upper,workdir=$work/$1/work" "$work/$1/root"
}
enter() { # what a chroot needs
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    mount --make-rslave "$1/dev"
    no_services "$1"
}
boot() { # folder
    setsid systemd-nspawn -q -D "$1" --private-network --register=no --keep-unit -b --console=pipe >"$work/boot.log" 2>&1 </dev/null &
    nspawn=$!
    for _ in $(seq 100); do
        leader=$(pgrep -P "$nspawn" -x systemd || true)
        if [ -n "$leader" ] && booted systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; then
            return 0
        fi
        sleep 0.3
    done
    tail -n 20 "$work/boot.log"
    fail "systemd did not boot"
}
# On control groups of version 1 systemd-nspawn gives its system none that holds memory: a group of its own below the host's.
give_memory_group() {
    [ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ] || return 0
    memory_group=kvass-package.$$
    nsenter -t "$leader" -m sh -ec "mkdir -p /run/group && mount -t cgroup -o memory none /run/group
        mkdir /run/group/$memory_group && mount --bind /run/group/$memory_group /sys/fs/cgroup/memory && umount /run/group
        echo 1 >/sys/fs/cgroup/memory/memory.use_hierarchy" || fail "a control group of memory"
    booted systemctl daemon-reexec
}
booted() { nsenter -t "$leader" -a /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"; }
halt() {
    kill -s RTMIN+3 "$leader" 2>/dev/null || true
    for _ in $(seq 60); do
        kill -0 "$leader" 2>/dev/null || break
        sleep 0.5
    done
    kill -KILL "$leader" 2>/dev/null || true
    leader=
    wait "$nspawn" 2>/dev/null || true
    [ -z "$memory_group" ] || find "/sys/fs/cgroup/memory/$memory_group" -depth -type d -exec rmdir {} \; || true
}

# ------------------------------------------------------------------ steps

sources() { # folder [version]: the committed tree as a source package, unpacked
    local to=$1 version=${2:-}
    mkdir -p "$to"
    git -C "$top" archive --prefix=kvass-1.0.0/ HEAD | tar -x -C "$to"
    mv "$to/kvass-1.0.0/debian" "$to/debian"
    find "$to/kvass-1.0.0" -exec touch -h -d '2026-11-24 00:00 UTC' {} +
    tar -cJf "$to/kvass_1.0.0.orig.tar.xz" --sort=name --owner=0 --group=0 --numeric-owner -C "$to" kvass-1.0.0
    mv "$to/debian" "$to/kvass-1.0.0/debian"
    [ -z "$version" ] || sed -i "1s/(.*)/($version)/" "$to/kvass-1.0.0/debian/changelog"
}
build_one() { # root folder-inside options [environment...]
    local root=$1 at=$2 options=$3
    shift 3
    if ! inside "$root" /usr/bin/env "$@" "DEB_BUILD_OPTIONS=parallel=$(nproc) $options" \
        sh -c "umask ${BUILD_UMASK:-022}; cd $at/kvass-1.0.0 && dpkg-buildpackage -us -uc" >"$work/build.log" 2>&1; then
        tail -n 40 "$work/build.log" | cut -c 1-300
        fail "build in $at"
    fi
}
step_build() {
    say "build"
    overlay build
    enter "$b"
    inside "$b" apt-get install -y -q --no-install-recommends build-essential fakeroot lintian >"$work/apt.log"
    sources "$b/build/one"
    sources "$b/srv/a/longer/place"
    sources "$b/build/next" 1.0.0-2
    inside "$b" sh -c 'cd /build/one/kvass-1.0.0 && apt-get build-dep -y -q --no-install-recommends ./' >>"$work/apt.log"
    build_one "$b" /build/one ""
    grep -qE '^# PASS: +[1-9]' "$work/build.log" || fail "the build ran no unit test"
    ok "built with its unit tests: $(grep -E '^# (PASS|FAIL):' "$work/build.log" | tr -d '\n')"
    grep -q -- '-Wl,-z,now' "$work/build.log" && grep -q -- '-fPIE' "$work/build.log" || fail "no PIE or bindnow"
    BUILD_UMASK=002 build_one "$b" /srv/a/longer/place nocheck TZ=Pacific/Kiritimati LANG=C LC_ALL=C HOME=/nonexistent USER=somebody
    for deb in kvass kvass-dbgsym; do
        cmp "$b/build/one/${deb}_1.0.0-1_$arch.deb" "$b/srv/a/longer/place/${deb}_1.0.0-1_$arch.deb" || fail "$deb is not reproducible"
    done
    ok "reproducible: another folder, time zone, locale, umask and user give the same packages"
    build_one "$b" /build/next nocheck
    rm -rf "$work/debs"
    mkdir -p "$work/debs"
    cp "$b"/build/one/*.deb "$b"/build/one/*.dsc "$b"/build/one/*.tar.xz "$b"/build/next/kvass_1.0.0-2_"$arch".deb "$work/debs/"
}
step_lintian() {
    say "lintian"
    inside "$b" sh -c 'cd /build/one && lintian --allow-root --info --display-info --display-experimental --pedantic --show-overrides *.changes' \
        >"$work/lintian.log" 2>&1 || {
        cat "$work/lintian.log"
        fail "lintian"
    }
    # Which words machine code looks like changes with every build; that it looks like none is no fault of the override.
    grep -E '^[EWIPX]:' "$work/lintian.log" | grep -v ' unused-override spelling-error-in-binary ' && fail "lintian has something to say"
    grep -E '^O: kvass: spelling-error-in-binary [A-Z]?[a-z]+ ' "$work/lintian.log" && fail "that is a word, and no machine code"
    ok "lintian is clean at pedantic; overridden: $(grep -c '^O:' "$work/lintian.log" || true)"
    grep '^O:' "$work/lintian.log" || true
}
has() { [ -e "$r/$1" ] || fail "$1 is missing"; }
has_not() { [ ! -e "$r/$1" ] || fail "$1 is still there"; }
step_chroot() {
    say "install, remove, purge in a chroot"
    overlay chroot
    r=$work/chroot/root
    enter "$r"
    cp "$work/debs/kvass_1.0.0-1_$arch.deb" "$r/root/"
    inside "$r" apt-get install -y -q --no-install-recommends /root/kvass_1.0.0-1_"$arch".deb >"$work/apt.log" 2>&1 || fail "install"
    for file in usr/bin/kvass etc/kvass/kvass.yaml lib/systemd/system/kvass.service lib/systemd/system/kvass.socket \
        lib/systemd/system/kvass-coordinator.service lib/systemd/system/kvass-sidecar.service \
        lib/systemd/system/kvass-prometheus@.service usr/share/man/man8/kvass.8.gz usr/share/man/man1/kvass.1.gz \
        usr/share/man/man5/kvass.yaml.5.gz usr/share/bash-completion/completions/kvass usr/share/zsh/vendor-completions/_kvass \
        usr/share/polkit-1/rules.d/60-kvass.rules usr/share/doc/kvass/copyright; do
        has "$file"
    done
    [ "$(inside "$r" stat -c '%U:%G %a' /var/lib/kvass)" = 'kvass:kvass 750' ] || fail "owner or mode of /var/lib/kvass"
    inside "$r" dpkg-query -W -f '${Conffiles}' kvass | grep -q ' /etc/kvass/kvass.yaml ' || fail "kvass.yaml is no conffile"
    inside "$r" kvass config check --role=appliance >/dev/null || fail "the installed kvass.yaml is refused"
    ! inside "$r" sh -c 'ls /etc/systemd/system/*.wants/kvass*' 2>/dev/null || fail "something was enabled"
    inside "$r" bash --norc -c '. /usr/share/bash-completion/bash_completion; _completion_loader kvass; COMP_WORDS=(kvass get sh)
        COMP_CWORD=2; $(complete -p kvass | sed -n "s/.*-F \([^ ]*\).*/\1/p"); echo "${COMPREPLY[*]}"' | grep -q '^shards *$' || fail "bash completion"
    inside "$r" zsh -f -c 'autoload -Uz compinit && compinit -u -d /tmp/zcompdump && echo $_comps[kvass]' | grep -q '^_kvass$' || fail "zsh completion"
    ok "installed, nothing enabled; both shells find the completion"
    echo 'log.level: warn' >>"$r/etc/kvass/kvass.yaml"
    inside "$r" touch /var/lib/kvass/shards/sample
    inside "$r" dpkg --remove kvass >/dev/null
    has_not usr/bin/kvass
    grep -q '^log.level: warn' "$r/etc/kvass/kvass.yaml" || fail "removal lost the configuration"
    has var/lib/kvass/shards/sample
    ok "removal keeps configuration and state"
    inside "$r" dpkg -i /root/kvass_1.0.0-1_"$arch".deb >/dev/null 2>&1
    grep -q '^log.level: warn' "$r/etc/kvass/kvass.yaml" || fail "reinstalling lost the configuration"
    inside "$r" dpkg --purge kvass >/dev/null 2>&1
    has_not etc/kvass
    has_not var/lib/kvass
    inside "$r" id kvass >/dev/null || fail "purging removed the account"
    inside "$r" find / -xdev -name '*kvass*' -not -path '/root/*' -not -path '/proc/*' >"$work/left"
    [ ! -s "$work/left" ] || { cat "$work/left"; fail "files are left"; }
    ok "purging leaves nothing but the account"
}
# What deploy/Containerfile does, by hand: its first stage's COPY and RUN, then its entry point as its user on a read-only root.
containerfile() { # instruction: its text in the first stage, lines joined
    sed -e :a -e '/\\$/{N;s/\\\n *//;ba;}' "$top/deploy/Containerfile" |
        awk -v want="$1" '/^FROM/ { stages++ } stages == 1 && $1 == want { sub(/^[A-Z]+ /, ""); print }'
}
step_container() {
    say "deploy/Containerfile, without an engine"
    overlay container
    r=$work/container/root
    enter "$r"
    [ "$(containerfile COPY)" = "packages/ /tmp/packages/" ] || fail "the COPY of the Containerfile is not what this test does"
    mkdir -p "$r/tmp/packages"
    cp "$work/debs/kvass_1.0.0-1_$arch.deb" "$r/tmp/packages/"
    inside "$r" sh -ec "$(containerfile RUN)" >"$work/container.log" 2>&1 || {
        tail -n 20 "$work/container.log"
        fail "RUN"
    }
    has_not tmp/packages
    ok "RUN: $(inside "$r" dpkg-query -W -f '${Package} ${Version}' kvass) and $(inside "$r" dpkg-query -W -f '${Package}' ca-certificates)"
    entry=$(containerfile ENTRYPOINT | tr -d '[]",')
    command=$(containerfile CMD | tr -d '[]",')
    user=$(containerfile USER)
    mount --bind "$r" "$r"
    mount -o remount,bind,ro "$r"
    as_user() { chroot --userspec="$user" "$r" /usr/bin/env -i "$@"; }
    as_user "$entry" "$command" >"$work/container.log" 2>&1 || fail "$entry $command as $user"
    grep -q coordinator "$work/container.log" || fail "$entry $command says nothing of a coordinator"
    ! as_user touch /here 2>/dev/null || fail "the root is not read-only"
    as_user "$entry" config check --role=coordinator --shard.type=k8s --shard.namespace=mon --config.file=/dev/null >"$work/container.log" 2>&1 ||
        { cat "$work/container.log"; fail "config check as $user"; }
    umount "$r"
    ok "$entry $command and config check as $user, on a read-only root"
}
step_autopkgtest() {
    say "autopkgtest, null runner"
    mkdir -p "$r/root/debs"
    cp "$work"/debs/*.dsc "$work"/debs/*.tar.xz "$work/debs/kvass_1.0.0-1_$arch.deb" "$r/root/debs/"
    inside "$r" dpkg -i /root/kvass_1.0.0-1_"$arch".deb >/dev/null 2>&1
    local status=0
    inside "$r" autopkgtest --no-built-binaries --apt-upgrade /root/debs/kvass_1.0.0-1.dsc -- null >"$work/autopkgtest.log" 2>&1 || status=$?
    # units wants a testbed of its own that boots and may be broken; the null runner is none and says so (status 2). The step booted runs it.
    grep -qE '^main-job +PASS' "$work/autopkgtest.log" && grep -qE '^units +SKIP Test restriction' "$work/autopkgtest.log" && [ "$status" = 2 ] || {
        tail -n 40 "$work/autopkgtest.log"
        fail "autopkgtest: status $status"
    }
    ok "autopkgtest: main-job passes; units is left to a machine that boots"
}
step_demo() {
    say "the demo with the installed program"
    mkdir -p "$r/root/demo/scripts" "$r/root/demo/tests/tools"
    cp -r "$b/build/one/kvass-1.0.0/scripts" "$r/root/demo/"
    cp -r "$b/build/one/kvass-1.0.0/tests/integration" "$r/root/demo/tests/"
    cp "$b/build/one/kvass-1.0.0/tests/tools/kvass-test-exporter" "$r/root/demo/tests/tools/"
    inside "$r" /usr/bin/env KVASS_TEST_BINARY=/usr/bin/kvass top_srcdir=/root/demo top_builddir=/root/demo \
        python3 /root/demo/scripts/demo.py >"$work/demo.log" 2>&1 || {
        tail -n 40 "$work/demo.log"
        fail "the demo"
    }
    ok "the demo: $(tail -n 1 "$work/demo.log")"
}
run_units_test() {
    booted python3 /root/tests/units >"$work/units.log" 2>&1 || {
        grep -vE '^ok' "$work/units.log" | tail -n 40
        booted journalctl -u kvass -n 40 --no-pager
        fail "the units"
    }
    grep -q '^ok: shard-1 is held to three quarters of the memory' "$work/units.log" || fail "no memory limit was seen"
    ok "units on a booted systemd: $(grep -c '^ok' "$work/units.log") checks"
}
renumber() { # package version to: the same package as a later one
    rm -rf "$work/renumbered"
    dpkg-deb -R "$1" "$work/renumbered"
    sed -i "s/^Version: .*/Version: $2/" "$work/renumbered/DEBIAN/control"
    dpkg-deb --root-owner-group -Zgzip -b "$work/renumbered" "$3" >/dev/null
}
run_upgrade_test() { # version type-of-shards
    booted python3 /root/tests/upgrade "/root/kvass_$1_$arch.deb" "$2" >"$work/upgrade.log" 2>&1 || {
        tail -n 20 "$work/upgrade.log"
        fail "the upgrade with --shard.type=$2"
    }
    ok "upgraded under load, shards of type $2: $(grep -c '^ok' "$work/upgrade.log") checks"
    [ "$(booted dpkg-query -W -f '${Version}' kvass)" = "$1" ] || fail "version"
}
step_booted() {
    say "on a booted systemd"
    overlay booted
    r=$work/booted/root
    cp "$work/debs/"*.deb "$r/root/"
    cp -r "$top/debian/tests" "$r/root/"
    rm -f "$r"/etc/systemd/system/multi-user.target.wants/prometheus*
    # What the package depends on comes before the boot: the booted system has no network.
    enter "$r"
    inside "$r" apt-get satisfy -y -q --no-install-recommends "$(dpkg-deb -f "$work/debs/kvass_1.0.0-1_$arch.deb" Depends)" >"$work/apt.log" 2>&1 ||
        fail "dependencies"
    rm -f "$r/usr/sbin/policy-rc.d"
    umount -R -l "$r/dev" "$r/proc"
    boot "$r"
    give_memory_group
    booted dpkg -i /root/kvass_1.0.0-1_"$arch".deb >"$work/dpkg.log" 2>&1 || fail "install"
    run_units_test
    renumber "$work/debs/kvass_1.0.0-2_$arch.deb" 1.0.0-3 "$r/root/kvass_1.0.0-3_$arch.deb"
    run_upgrade_test 1.0.0-2 process
    run_upgrade_test 1.0.0-3 systemd
    booted dpkg --remove kvass >/dev/null 2>&1 || fail "remove"
    ! booted pgrep -u kvass >/dev/null || fail "something of kvass runs after removal"
    booted systemctl is-active kvass.socket | grep -q active && booted systemctl is-active --quiet kvass.socket && fail "the socket is still open"
    has etc/kvass/kvass.yaml
    has var/lib/kvass/state
    ok "removal on a running system ends everything and keeps configuration, state and samples"
    booted dpkg --purge kvass >/dev/null 2>&1 || fail "purge"
    has_not var/lib/kvass
    has_not etc/kvass
    booted systemctl list-units --all --no-legend 'kvass*' | grep -v not-found | grep -q failed && fail "failed units are left"
    ok "purged on a running system"
    booted dpkg -i /root/kvass_1.0.0-1_"$arch".deb >"$work/dpkg.log" 2>&1 || fail "install"
    mkdir -p "$r/root/tests"
    cp -r "$top/docs" "$r/root/"
    cp -r "$top/tests/docs" "$r/root/tests/"
    for document in getting-started moving sizing ha security troubleshooting; do
        booted bash /root/tests/docs/machine.sh real "/root/docs/$document.md" >"$work/docs.log" 2>&1 || {
            tail -n 20 "$work/docs.log"
            fail "docs/$document.md"
        }
        ok "docs/$document.md: $(tail -n 1 "$work/docs.log") on a machine with systemd"
    done
    halt
}

arch=$(dpkg --print-architecture)
b=$work/build/root
if [ -n "${PACKAGE_DEBS:-}" ]; then
    cp -r "$PACKAGE_DEBS" "$work/debs"
fi
steps=${*:-build lintian container chroot autopkgtest demo booted}
say "base system"
make_base
for step in $steps; do
    "step_$step"
done
say "done"
echo "$passed passed, 0 failed, 0 skipped"
