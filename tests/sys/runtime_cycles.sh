#!/usr/bin/env bash
# runtime_cycles: create, start, kill and delete, again and again; and a runtime killed at a random instant of any verb. Nothing stays:
# mounts, control groups, processes, state, network cards. What is half made, stopped in create or frozen can still be deleted.
# CYCLES (500) and KILLS (100): how often; 10000 and 1000 are what docs/security.md tells of.
. "$SOURCE/tests/sys/lib.sh"
lib_need python3
[ "$(id -u)" = 0 ] || lib_skip "needs root"
lib_begin cycles
cc -O1 -static -o "$T/inside" "$SOURCE"/tests/sys/probes/{inside,calls,writes}.c
python3 -B "$SOURCE/tests/sys/probes/cycles.py" "$BUILD/bin/limpet" "$T" "${CYCLES:-500}" "${KILLS:-100}" || fail "something stays"
exit "$([ -e "$T/failed" ] && echo 1 || echo 0)"
