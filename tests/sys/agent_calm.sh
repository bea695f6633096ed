#!/usr/bin/env bash
# Calm after an outage: a dial that nobody answers is given up, also when the broker took the connection and only says nothing.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto mosquitto_sub mosquitto_passwd jq python3
[ "$(id -u)" = 0 ] || lib_skip "needs root"
lib_begin agent-calm
DEV=calm-$$
init_fleet "$DEV"
AGENTD=$FLEETCTL_DIR/devices/$DEV/agentd.json
link_says() { field link | grep -qE "$1"; }
with_mqtt() { # JQ: changes the clause mqtt of its settings, and the agent starts again
	[ -z "${LIB_AGENT_PIDS[$DEV]:-}" ] || lib_stop "${LIB_AGENT_PIDS[$DEV]}"
	jq ".mqtt |= ($1)" "$AGENTD" >"$T/agentd.json" && cp "$T/agentd.json" "$AGENTD"
	start_agent "$DEV"
}

# --- the deadline covers CONNACK: a broker that takes the connection and says nothing
SILENT=$(free_port)
lib_run silent "$SOURCE/tests/tool/mqtt_peer.py" "$SILENT" silent
lib_until 5 port_open "$SILENT"
with_mqtt "{host: \"127.0.0.1\", port: $SILENT, plaintext: true, reconnect_s: 1}"
lib_until 40 link_says "cannot connect to 127.0.0.1:$SILENT within 30 s" && ok "a silent broker: $(field link)" || fail "link $(field link)"
