#!/bin/sh
# Words that say "not done", in what we ship. British spelling where the two differ in words we use.
: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
cd "$top_srcdir" || exit 1
failed=0
refuse() {
    why=$1 pattern=$2
    found=$(find src bench scripts etc docs deploy debian -name .deps -prune -o -type f ! -name '*.pyc' -print 2>/dev/null | sort | xargs grep -nIE "$pattern" /dev/null |
        grep -vE 'behavior: (merge|replace)$|"Initialized"') # words of kustomize and Kubernetes
    if [ -n "$found" ]; then
        printf '%s\n%s\n' "$why:" "$found"
        failed=1
    fi
}
refuse 'not done yet' '(^|[^A-Za-z])(TODO|FIXME|XXX|HACK|WIP|TBD)([^A-Za-z]|$)'
refuse 'not done yet' '[Nn]ot (yet )?implemented|[Uu]nimplemented|(^|[^A-Za-z])[Ss]tub(s|bed)?([^A-Za-z]|$)|[Ff]or now[,. ]|[Pp]laceholder (code|value|implementation)'
refuse 'American spelling' '(^|[^A-Za-z_])([Bb]ehavior|[Cc]olor|[Nn]eighbor|[Hh]onored|[Ii]nitialize|[Nn]ormalize|[Ss]erialize|[Oo]ptimize|[Rr]ecognize)[sd]?([^A-Za-z_]|$)'
refuse 'a path of one machine' '/work/'
exit $failed
