#!/bin/sh
# Functions of at most 70 lines, files of at most 600. A function runs from a '{' alone in the first column to the next '}' there;
# lists of initialisers have their '{' behind '='. An exemption that is no longer needed is named: strike it out.
: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
exempt_functions=''
exempt_files=''
find "$top_srcdir/src" -name '*.[ch]' -o -name '*.cc' | sort | xargs awk -v exempt="$exempt_functions" -v exempt_files="$exempt_files" -v prefix="$top_srcdir/" '
function name_of(file) {
    return substr(file, length(prefix) + 1)
}
function judge_file() {
    listed = index(" " exempt_files " ", " " name_of(last_file) " ") != 0
    if (lines > 600 && !listed) {
        print name_of(last_file) ": " lines " lines; at most 600"
        failed = 1
    } else if (lines <= 600 && listed) {
        print name_of(last_file) ": needs no exemption any more; strike it out"
    }
}
FNR == 1 {
    if (lines > 0) {
        judge_file()
    }
    inside = 0
}
{
    lines = FNR
    last_file = FILENAME
}
/^[A-Za-z_].*\(/ {
    head = $0
}
/^\{/ {
    inside = 1
    start = FNR
}
/^\}/ && inside {
    functions++
    inside = 0
    name = head
    sub(/\(.*/, "", name)
    sub(/.*[ *]/, "", name)
    if (FNR - start + 1 > 70 && index(" " exempt " ", " " name " ") == 0) {
        print name_of(FILENAME) ":" start ": " name " has " FNR - start + 1 " lines; at most 70"
        failed = 1
    }
}
END {
    judge_file()
    if (functions < 50) {
        print "only " functions " functions found"
        failed = 1
    }
    exit failed
}'
