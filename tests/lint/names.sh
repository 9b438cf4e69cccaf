#!/bin/sh
# Calls that src/ does without, and where the exceptions live.
: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
cd "$top_srcdir/src" || exit 1
failed=0

# refuse WHY PATTERN [FILE ...]: no file but the named ones may match.
refuse() {
    why=$1 pattern=$2
    shift 2
    found=$(find . -name '*.[ch]' -o -name '*.cc' | sort | xargs grep -nE "$pattern" /dev/null |
        grep -vE '^[^:]*:[0-9]*:[[:space:]]*(/?\*|//)')
    for allowed in "$@"; do
        found=$(printf '%s\n' "$found" | grep -v "^\./$allowed:")
    done
    if [ -n "$found" ]; then
        printf '%s\n%s\n' "$why:" "$found"
        failed=1
    fi
}

start='(^|[^A-Za-z0-9_>.])'
refuse 'unbounded or stateful; use base/bytes.h, snprintf' \
    "$start(strcpy|strcat|stpcpy|sprintf|vsprintf|strtok|strtok_r|gets|alloca)[[:space:]]*\\("
refuse 'no error is told; use strtoll and its end pointer, or base/duration.h' "$start(atoi|atol|atoll|atof)[[:space:]]*\\("
refuse 'a shell or a pause has no place in a daemon' "$start(system|popen|sleep)[[:space:]]*\\("
refuse 'use invariant() of base/invariant.h' '#[[:space:]]*include[[:space:]]*<assert\.h>'
refuse 'only base/timebase.c asks for the time' "$start(time|clock_gettime|gettimeofday)[[:space:]]*\\(" base/timebase.c
refuse 'use mem_alloc and its like: they never return NULL' "$start(malloc|calloc|realloc|strdup|strndup|asprintf|vasprintf)[[:space:]]*\\(" base/mem.c
refuse 'no typedef on structs' '^[[:space:]]*typedef[[:space:]]+struct'
refuse 'only log.c and the commands write to stdio' "$start(printf|puts|putchar|perror)[[:space:]]*\\(" main.c 'cli/[a-z_0-9]*\.[ch]'
# Rooms that still have longer lines; one that has none any more is named, so that it is struck out.
wide=''
for room in base net model relabel expfmt configgen discovery proxy shard k8s balancer api cli; do
    [ -d $room ] || continue
    long=$(grep -nE '^.{121,}' $room/*.[ch] | cut -c1-100)
    case " $wide " in *" $room "*) listed=yes ;; *) listed=no ;; esac
    if [ $listed = no ] && [ -n "$long" ]; then
        printf 'a line over 120 columns:\n%s\n' "$long"
        failed=1
    elif [ $listed = yes ] && [ -z "$long" ]; then
        echo "$room: all lines fit; strike it out of the list in tests/lint/names.sh"
    fi
done
refuse 'a tab' "$(printf '\t')"
refuse 'blanks at the end of a line' '[[:space:]]$'
exit $failed
