#!/usr/bin/env bash
# runtime_races: what a container or a volume changes while the runtime looks: two names change places (RENAME_EXCHANGE) as fast as can
# be, and a process that waits for exec. TRIES (200): starts of each; 10000 is what docs/security.md tells of.
. "$SOURCE/tests/sys/lib.sh"
lib_need python3 cc
[ "$(id -u)" = 0 ] || lib_skip "needs root"
lib_begin races
cc -O1 -static -o "$T/inside" "$SOURCE"/tests/sys/probes/{inside,calls,writes}.c
python3 -B "$SOURCE/tests/sys/probes/races.py" "$BUILD/bin/limpet" "$T" "${TRIES:-200}" "$@" || fail "a race was lost"
exit "$([ -e "$T/failed" ] && echo 1 || echo 0)"
