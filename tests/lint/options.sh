#!/bin/sh
# options.def: every option has help, is read by some part of src/, and stands in the man pages and in the sample, which is current.
# The fields of `unread` belong to roles that are still being joined to the table; one that is read by now is named.
: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
: "${top_builddir:=$top_srcdir/build}"
unread=''
def=$top_srcdir/src/base/options.def
gendocs=$top_builddir/docs/gendocs
man=$top_builddir/docs/man
failed=0
complain() {
    echo "options.def: $*"
    failed=1
}
"$gendocs" sample | diff -u "$top_srcdir/etc/kvass.yaml" - || complain "etc/kvass.yaml is old: run 'make update-docs'"
sed -e 's/\\-/-/g' "$man/kvass.8" >options_lint.8
sed -e 's/\\-/-/g' "$man/kvass.yaml.5" >options_lint.5
count=0
for name in $(sed -nE 's/^OPTION\([A-Z]+, *[a-z0-9_]+, *"([^"]*)".*/\1/p' "$def"); do
    count=$((count + 1))
    field=$(printf '%s' "$name" | tr '.-' '__')
    grep -qE "^OPTION\\([A-Z]+, *$field, *\"$name\"" "$def" || complain "$name: the field is not '$field'"
    read=no listed=no
    grep -rqE "(->|\\.)$field(_ms|_bytes)?([^a-z_]|\$)" "$top_srcdir/src" --include='*.c' --exclude-dir=base && read=yes
    case " $(echo $unread) kvass_config " in *" $field "*) listed=yes ;; esac
    [ $read = yes ] || [ $listed = yes ] || complain "$name: nothing outside base reads '$field'"
    [ $read = no ] || [ $listed = no ] || echo "$name: is read now; strike '$field' out of the lint's list"
    grep -qF "fB--$name\\fR" options_lint.8 || complain "$name: not in kvass.8"
    [ "$name" = kvass.config ] || grep -qF "fB$name\\fR: " options_lint.5 || complain "$name: not in kvass.yaml.5"
    [ "$name" = kvass.config ] || grep -qF "#$name: " "$top_srcdir/etc/kvass.yaml" || complain "$name: not in etc/kvass.yaml"
done
rows=$(grep -cE '^OPTION\(' "$def")
[ "$count" -eq "$rows" ] || complain "$rows rows, of which $count are written as the lint expects"
rm -f options_lint.8 options_lint.5
for page in kvass.1 kvass.8 kvass.yaml.5; do
    file=$man/$page
    [ -f "$file" ] || file=$top_srcdir/docs/man/$page
    if command -v groff >/dev/null; then
        warnings=$(groff -man -Tutf8 -ww "$file" 2>&1 >/dev/null)
        [ -z "$warnings" ] || complain "$page: $warnings"
    fi
    grep -q '^@' "$file" && complain "$page: a mark was not replaced"
done
exit $failed
