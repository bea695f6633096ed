#!/usr/bin/env bash
# What the broker's "online" topic says: a birth, "lost" after a crash (the control), and after a clean stop "shutdown" and no will.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto mosquitto_sub mosquitto_passwd jq
[ "$(id -u)" = 0 ] || lib_skip "needs root"
lib_begin agent-online
DEV=online-$$
init_fleet "$DEV"
start_broker
conf=$FLEETCTL_DIR/devices/$DEV/agentd.json
jq '.health_interval_s = 1' "$conf" >"$T/conf" && cp "$T/conf" "$conf"
online() { mqtt_sub operator -t "limpet1/demo/d/$DEV/online" -C 1 -W 60; }
says() { online | jq -e "$1" >/dev/null; }

# shellcheck disable=SC2046
lib_run states mosquitto_sub -V 5 -I operator- -h localhost -p "$BROKER_PORT" --cafile "$FLEETCTL_DIR/pki/ca.pem" $(mqtt_files operator) -t "limpet1/demo/d/$DEV/state" -F %p
start_agent "$DEV"
check "a birth" lib_until 10 says '.on == true and .conn > 0'
check "a state" lib_until 5 test -s "$T/log/states"
sleep 8 # metrics go out, with QoS 0
states() { wc -l <"$T/log/states"; }
[ "$(states)" -le 2 ] && ok "what does not change is told once: $(states) states in the first seconds" || fail "$(states) states"
seen=$(states)
more() { [ "$(states)" -gt "$seen" ]; }
agentctl "$DEV" apply "$(DEV=$DEV desired 1 '' '"update":{"probation_ms":1}')" >>"$T/log/apply"
check "control: what changes is told" lib_until 10 more
before=$(online | jq .conn)
core=$(pgrep -P "$AGENT_PID" -f 'agentd: core' | head -n 1)
link=$(pgrep -P "$core" -f 'agentd: link' | head -n 1)
kill -KILL "$AGENT_PID" "$core" "$link"
wait "$AGENT_PID" 2>/dev/null || true
check "control: after a crash the will" lib_until 20 says '.on == false and .why == "lost"'

start_agent "$DEV"
check "a birth of a later connection" lib_until 10 says ".on == true and .conn > $before"
sleep 2
lib_stop "$AGENT_PID"
check "a clean stop says so" lib_until 5 says '.on == false and .why == "shutdown"'
sleep 12 # the will's delay is 10 s
check "and no will follows" says '.why == "shutdown"'
