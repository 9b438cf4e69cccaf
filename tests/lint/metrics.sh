#!/bin/sh
# metrics.def: every row is used, named kvass_*, sorted and explained; counters end in _total; docs/metrics.md is current.
: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
: "${top_builddir:=$top_srcdir/build}"
def=$top_srcdir/src/base/metrics.def
failed=0
complain() {
    echo "metrics.def: $*"
    failed=1
}
rows=$(grep -E '^METRIC\(' "$def")
[ -n "$rows" ] || complain 'no rows'
printf '%s\n' "$rows" >metrics_lint.rows
while IFS= read -r row; do
    # A string may hold commas and brackets: split at the quotes.
    id=$(printf '%s' "$row" | sed -E 's/^METRIC\(([A-Z0-9_]+),.*/\1/')
    kind=$(printf '%s' "$row" | sed -E 's/^METRIC\([A-Z0-9_]+, *([A-Z]+),.*/\1/')
    name=$(printf '%s' "$row" | cut -d '"' -f 2)
    help=$(printf '%s' "$row" | sed -E 's/.*"([^"]*)"\)$/\1/')
    case $name in
    kvass_[a-z0-9_]*) ;;
    *) complain "$id: '$name' does not start with kvass_" ;;
    esac
    case $kind:$name in
    COUNTER:*_total | GAUGE:* | HISTOGRAM:*_seconds) ;;
    COUNTER:*) complain "$name: a counter ends in _total" ;;
    *) complain "$name: $kind is no kind, or a histogram without _seconds" ;;
    esac
    case $help in
    *.) ;;
    *) complain "$name: the help does not end with a full stop" ;;
    esac
    grep -rqE "(METRIC_|metric_[a-z]+\()$id([^A-Z0-9_]|\$)" "$top_srcdir/src" --include='*.c' || complain "$name: METRIC_$id is not used in src/"
done <metrics_lint.rows
cut -d '"' -f 2 metrics_lint.rows >metrics_lint.names
LC_ALL=C sort -u metrics_lint.names | cmp -s - metrics_lint.names || complain 'rows are not sorted by name, or a name stands twice'
rm -f metrics_lint.rows metrics_lint.names
"$top_builddir/docs/gendocs" metrics | diff -u "$top_srcdir/docs/metrics.md" - || complain "docs/metrics.md is old: run 'make update-docs'"
exit $failed
