#!/bin/sh
# Include direction: a room includes itself and rooms to its left only. net and model stand side by side and do not know each
# other, but for the one structure that http_conf.h names: struct label. k8s implements balancer/lock.h.
: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
src=$top_srcdir/src
find "$src" -name '*.[ch]' -o -name '*.cc' -o -name '*.def' | sort | xargs grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' |
awk -v prefix="$src/" '
BEGIN {
    n = split("base net relabel expfmt configgen discovery proxy shard k8s balancer api cli main.c", rooms, " ")
    for (i = 1; i <= n; i++) {
        rank[rooms[i]] = i
    }
    rank["model"] = rank["net"]
}
{
    file = substr($0, length(prefix) + 1)
    sub(/:.*/, "", file)
    room = file
    sub(/\/.*/, "", room)
    included = $0
    sub(/^[^"]*"/, "", included)
    sub(/".*/, "", included)
    seen++
    if (index(included, "/") == 0) {
        bad(file, included, "is not written with its room")
        next
    }
    other = included
    sub(/\/.*/, "", other)
    if (!(room in rank)) {
        bad(file, included, "the room " room " has no place in tests/lint/layers.sh")
    } else if (!(other in rank)) {
        bad(file, included, "there is no room " other)
    } else if (room == "net" && included == "model/labels.h") {
        next
    } else if (room == "k8s" && included == "balancer/lock.h") {
        next
    } else if (room != other && rank[other] >= rank[room]) {
        bad(file, included, other " is not to the left of " room)
    }
}
function bad(file, included, why) {
    print "src/" file ": #include \"" included "\": " why
    failed = 1
}
END {
    if (seen < 20) {
        print "only " seen " includes found below " prefix
        failed = 1
    }
    exit failed
}'
