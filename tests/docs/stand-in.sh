#!/bin/bash
# systemctl, journalctl and apt of the documents' sandbox: what kvass.service does, as far as one process can show it. Anything that the documents
# do not say is an error.
set -eu
log=$ROOM/kvass.log pid_file=$ROOM/kvass.pid

start() {
    [ ! -e "$pid_file" ] || ! runs "$(cat "$pid_file")" || return 0
    setsid kvass run >>"$log" 2>&1 </dev/null &
    echo $! >"$pid_file"
    api=$(kvass config show | sed -n 's/^web.address: "\([^"]*\)".*/\1/p')
    for _ in $(seq 300); do
        runs "$(cat "$pid_file")" || {
            tail -n 3 "$log" >&2
            exit 1
        }
        ! grep -q 'op=started' <(tail -n 20 "$log") || ! curl -s -o /dev/null "http://$api/-/healthy" || return 0
        sleep 0.1
    done
    exit 1
}
runs() { # a zombie does not: nobody waits for it here
    grep -q '^State:.[^ZX]' "/proc/$1/status" 2>/dev/null
}
signal() { # name: and wait for the end
    local pid
    pid=$(cat "$pid_file")
    kill -s "$1" "$pid"
    for _ in $(seq 400); do
        runs "$pid" || break
        sleep 0.1
    done
    rm -f "$pid_file"
}

case "$(basename "$0") $*" in
'systemctl enable --now kvass' | 'systemctl start kvass') start ;;
'systemctl restart kvass') signal TERM && start ;;
'systemctl stop kvass.socket kvass') signal TERM ;;
'systemctl reload kvass') kill -s HUP "$(cat "$pid_file")" ;;
'systemctl kill --signal=KILL kvass') signal KILL && start ;;
'systemctl disable --now prometheus' | 'systemctl daemon-reload' | 'adduser prometheus kvass') ;;
'systemctl status kvass-prometheus@* --no-pager') pgrep -f storage.tsdb.path=/var/lib/kvass/shards/shard-0/data >/dev/null &&
    printf 'kvass-prometheus@shard-0.service\n     Active: active (running)\n' ;;
'journalctl -u kvass -n 20 --no-pager') tail -n 20 "$log" ;;
'journalctl -u kvass -p warning -n 20 --no-pager') grep -E 'level=(warn|error)' "$log" | tail -n 20 ;;
'journalctl -u kvass-prometheus@shard-0 -n 50 --no-pager') tail -n 50 /var/lib/kvass/shards/shard-0/unit.log ;;
'apt install ./kvass_*.deb prometheus') ;;
*)
    echo "$(basename "$0") $*: not what the stand-in does" >&2
    exit 1
    ;;
esac
