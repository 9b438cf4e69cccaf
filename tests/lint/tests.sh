#!/bin/sh
# No test lies about unused: every unit test, integration test, fuzzer and lint is named in a Makefile.inc of its folder or above.
: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
cd "$top_srcdir/tests" || exit 1
failed=0
count=0
for file in $(find unit integration fuzz lint replay -type f \( -name 'test_*.c' -o -name 'test_*.py' -o -name 'fuzz_*.c' -o -name 'fuzz_*.sh' \
    -o -path 'lint/*.sh' -o -name '*.scn' \) | sort); do
    count=$((count + 1))
    name=${file##*/}
    folder=${file%/*}
    grep -qsF "$name" "$folder/Makefile.inc" "${folder%/*}/Makefile.inc" || {
        echo "tests/$file is named in no Makefile.inc: it never runs"
        failed=1
    }
done
[ "$count" -gt 30 ] || {
    echo "only $count tests found"
    failed=1
}
exit $failed
