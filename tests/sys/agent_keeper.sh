#!/usr/bin/env bash
# The keeper: feeds a watchdog that agentd.json names, starts core anew on SIGHUP and after SIGKILL, says the magic word at the end.
# The agent has no broker here.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need jq
[ "$(id -u)" = 0 ] || lib_skip "needs root"
lib_begin agent-keeper
DEV=keep-$$
fleetctl init --fleet demo --broker localhost:1 >"$T/log/init" 2>&1
fleetctl keys device "$DEV" --state-dir "$T/$DEV/state" --run-dir "$T/$DEV/run" >>"$T/log/init"
conf=$FLEETCTL_DIR/devices/$DEV/agentd.json
: >"$T/watchdog" # a plain file takes what the device would
jq --arg w "$T/watchdog" 'del(.mqtt) | .watchdog = $w' "$conf" >"$T/conf" && cp "$T/conf" "$conf"
start_agent "$DEV"

core() { pgrep -P "$AGENT_PID" -f 'agentd: core' | head -n 1; }
other_core() { local c; c=$(core) && [ -n "$c" ] && [ "$c" != "$1" ] && agent_answers "$DEV"; }
fed() { [ "$(stat -c %s "$T/watchdog")" -gt "$1" ]; }

check "the watchdog is fed" lib_until 10 fed 0
first=$(core)
kill -HUP "$AGENT_PID"
check "SIGHUP: another core" lib_until 15 other_core "$first"
second=$(core)
kill -KILL "$second"
check "SIGKILL of core: another core" lib_until 15 other_core "$second"
check "the same keeper" lib_alive "$AGENT_PID"
before=$(stat -c %s "$T/watchdog")
check "and it still feeds" lib_until 10 fed "$before"
lib_stop "$AGENT_PID"
check "stopping is no hang: magic close" test "$(tail -c 1 "$T/watchdog")" = V
