#!/usr/bin/env bash
# banned.sh: functions that have a safer twin here, and things that only one folder may do.
set -u
cd "$(dirname "$0")/.."
bad=0
forbid() { # forbid WHY PATTERN FILES...
    local why=$1 pattern=$2
    shift 2
    local hits
    hits=$(grep -nE "$pattern" "$@" /dev/null | grep -vE "(:[0-9]+: *(/\*|\*|//)|/\*.*\*/$)")
    [ -z "$hits" ] || { echo "$hits"; echo "banned: $why"; bad=1; }
}
all=$(find src -name '*.[ch]' -o -name '*.inc')
below_cmd=$(find src -path src/cmd -prune -o -name '*.[ch]' -print)
forbid "use snprintf, memcpy, str and buf" '\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|strncpy|strncat)\(' $all
forbid "use strtoull or opts_read" '\b(atoi|atol|atof)\(' $all
forbid "no memory on the stack of unknown size" '\balloca\(' $all
forbid "no shell" '\b(system|popen)\(' $all
forbid "only cmd exits; return an error" '\b(exit|_exit|quick_exit)\(' $(echo "$below_cmd" | grep -v 'wire/spawn.c')
forbid "only cmd prints; use log_line or return text" '\b(printf|puts|putchar)\(' $(echo "$below_cmd" | grep -vE 'src/base/')
forbid "numerics 1: no libm in kern" '[^*_.>a-z]\b(expf?|logf?|tanhf?|sinf?|cosf?|powf?|erff?|exp2f?|log2f?)\(' $(find src/kern -name '*.[ch]' -o -name '*.inc')
forbid "assert() can be compiled out; use ASSERT" '^[^"]*\bassert\(' $all
[ $bad = 0 ] && echo "banned: no fault"
exit $bad
