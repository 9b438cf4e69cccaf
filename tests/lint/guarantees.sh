#!/bin/sh
# docs/guarantees.md numbers its rules without a gap, and every test it names exists; every rule that a source names is there.
: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
cd "$top_srcdir" || exit 1
list=docs/guarantees.md
failed=0
complain() {
    echo "$list: $*"
    failed=1
}
rules=$(sed -n 's/^\([0-9][0-9]*\)\. .*/\1/p' "$list" | tr '\n' ' ')
count=$(echo "$rules" | wc -w)
[ "$rules" = "$(seq -s ' ' 1 "$count") " ] && [ "$count" -gt 40 ] || complain "the rules are not numbered 1, 2, 3, ...: $rules"
named=0
for test in $(grep -o '`\(unit\|integration\|replay\)/[^`]*`' "$list" | tr -d '`'); do
    named=$((named + 1))
    file=tests/${test%%::*}
    [ -f "$file" ] || complain "there is no $file"
    case $test in
    *::*) grep -qs "\b${test##*::}(" "$file" || complain "no test ${test##*::} in $file" ;;
    esac
done
[ "$named" -ge "$count" ] || complain "only $named tests are named for $count rules"
for rule in $(grep -rhoEi 'guarantees? [0-9]+((, | and )[0-9]+)*' src tests/unit tests/integration tests/replay --include='*.[ch]' --include='*.py' \
    --include='*.scn' | grep -oE '[0-9]+' | sort -un); do
    [ "$rule" -le "$count" ] || complain "a source names rule $rule"
done
exit $failed
