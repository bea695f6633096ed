#!/usr/bin/env bash
# Calm after an outage: a dial that nobody answers is given up, also when the broker took the connection and only says nothing; TLS and MQTT sessions are
# resumed after a break, without skipping a check of the certificate and without losing a manifest.
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

# --- TLS: a line that broke is taken up by a short handshake, and nothing that was signed goes unlooked at
start_broker
D=$FLEETCTL_DIR/devices/$DEV CA=$FLEETCTL_DIR/pki/ca.pem
mkdir "$T/other"
FLEETCTL_DIR=$T/other fleetctl init --fleet demo --broker "localhost:$BROKER_PORT" >>"$T/log/init" 2>&1
OTHER=$T/other/pki
dials() { "$BUILD/bin/link-tls-tool" "$BROKER_PORT" "$D/device.pem" "$D/device.key" "$@" >"$T/dials"; }
dials "$CA" "$CA" "$CA"
[ "$(tr '\n' ' ' <"$T/dials")" = "full resumed resumed " ] && ok "dials: full, then resumed" || fail "dials: $(cat "$T/dials")"
dials "$CA" "$OTHER/ca.pem" "$CA"
[ "$(sed -n 1p "$T/dials") $(sed -n 3p "$T/dials")" = "full full" ] && grep -q "certificate: .*not correctly signed by the trusted CA" "$T/dials" &&
	ok "a kept session of a broker that the CA does not vouch for: $(sed -n 2p "$T/dials")" || fail "dials with another CA: $(cat "$T/dials")"

LINE=$(free_port)
line() { # a line to the broker that can be cut
	[ -z "${LINE_PID:-}" ] || lib_stop "$LINE_PID" KILL
	lib_run line "$SOURCE/tests/tool/cutproxy.py" "$LINE" "$BROKER_PORT" "$T/stats"
	LINE_PID=$LIB_PID
	lib_until 5 port_open "$LINE" || die "no line"
}
resumptions() { grep -c "the TLS session was resumed" "$T/log/agent-$DEV" || true; }
connections() { mqtt_sub operator -t "limpet1/demo/d/$DEV/online" -C 1 -W 10 | jq .conn; } # the counter of its birth
online_again() { is link online && [ "$(connections)" -gt "$CONNECTIONS" ]; }
line
with_mqtt "{host: \"localhost\", port: $LINE, ca: \"ca.pem\", cert: \"device.pem\", key: \"device.key\", reconnect_s: 1}"
lib_until 20 is link online || die "not online: $(field link)"
sleep 1 # a start's words
FULL=$(cat "$T/stats")
[ "$(resumptions)" = 0 ] && ok "the first handshake is a full one: $FULL bytes from the broker" || fail "$(resumptions) resumed at the start"
CONNECTIONS=$(connections)
line
lib_until 20 online_again || fail "the line is cut: $(field link)"
sleep 1
SHORT=$(cat "$T/stats")
[ "$(resumptions)" = 1 ] && [ "$SHORT" -lt $((FULL * 3 / 4)) ] && ok "the line was cut: resumed, $SHORT bytes from the broker" || fail "$(resumptions) resumed, $SHORT bytes, $FULL before"

# a broker that knows nothing of the session: a full handshake by itself
broker() { # starts it again
	lib_stop "$BROKER_PID" "${1:-TERM}"
	lib_run broker mosquitto -c "$T/broker/mosquitto.conf"
	BROKER_PID=$LIB_PID
	lib_until 10 port_open "$BROKER_PORT" || die "the broker does not start again"
}
CONNECTIONS=$(connections)
broker
lib_until 20 online_again && [ "$(resumptions)" = 1 ] && ok "another broker process: a full handshake" || fail "$(resumptions) resumed, $(field link)"

# another broker at the same address
CONNECTIONS=$(connections)
cp "$OTHER"/{broker.pem,broker.key} "$T/broker/"
broker
lib_until 20 link_says "certificate: .*not correctly signed by the trusted CA" && ok "another broker at the same address: $(field link)" || fail "link $(field link)"
is link online && fail "online at a broker of another CA"
cp "$FLEETCTL_DIR"/pki/{broker.pem,broker.key} "$T/broker/"
broker
lib_until 20 online_again && ok "control: the right one is there again" || fail "link $(field link)"

# another CA in the settings: no session of the old ones helps
cp "$OTHER/ca.pem" "$D/other.pem"
with_mqtt '.ca = "other.pem"'
lib_until 20 link_says "certificate: .*not correctly signed by the trusted CA" && ok "another CA in agentd.json: $(field link)" || fail "link $(field link)"
with_mqtt '.ca = "ca.pem"'
lib_until 20 is link online && ok "control: the old CA again" || fail "link $(field link)"

# --- the session outlives the outage: nothing is subscribed to again, and what was published meanwhile arrives
subscribed() { grep -c " $DEV-[0-9a-f]* 1 limpet1/demo/$1\$" "$T/log/broker" || true; } # TOPIC: how often the device has subscribed to it
denied() { agentctl "$DEV" events -n 50 | grep -c "another client is online" || true; }
app_free() { echo "\"update\":{\"probation_ms\":$1}"; } # a manifest without apps that differs by it
cut() { # COMMAND...: what happens while the line is cut
	CONNECTIONS=$(connections) ASKED=$(subscribed "d/$DEV/desired") OWN=$(subscribed "d/$DEV/cmd/+")
	lib_stop "$LINE_PID" KILL
	lib_until 10 bash -c "[ \"\$('$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' status -o json | jq -r .link)\" != online ]" || fail "the cut is not seen"
	"$@"
	line
	lib_until 20 online_again || fail "not online after the cut: $(field link)"
}
cut true
sleep 1
[ "$(subscribed "d/$DEV/desired")" = "$ASKED" ] && [ "$(subscribed "d/$DEV/cmd/+")" = "$OWN" ] && [ "$ASKED" -gt 0 ] &&
	ok "a session that is still there: nothing is subscribed to again" || fail "desired $ASKED, then $(subscribed "d/$DEV/desired"); cmd $OWN, then $(subscribed "d/$DEV/cmd/+")"
publish() { mqtt_pub operator -t "limpet1/demo/$1/desired" -q 1 -r -f "$2"; }
cut publish "d/$DEV" "$(desired 1 '' "$(app_free 1)")"
lib_until 20 converged 1 && ok "a manifest of the dark time arrives" || fail "rev $(field rev), $(field phase)"
[ "$(subscribed "d/$DEV/desired")" -gt "$ASKED" ] && [ "$(subscribed "d/$DEV/cmd/+")" = "$OWN" ] && ok "and what is retained is asked for again, once something was queued" ||
	fail "desired $ASKED, then $(subscribed "d/$DEV/desired"); cmd $OWN, then $(subscribed "d/$DEV/cmd/+")"

# the queue is full of commands when the manifest comes: what the broker drops is asked for
sed -i '/^max_queued_/d' "$T/broker/conf.d/mosquitto.conf"
printf 'max_queued_messages 3\n' >>"$T/broker/conf.d/mosquitto.conf"
CONNECTIONS=$(connections)
broker
lib_until 20 online_again || fail "link $(field link)"
overflow() {
	for i in $(seq 30); do mqtt_pub operator -t "limpet1/demo/d/$DEV/cmd/status" -q 1 -m "{\"v\":1,\"n\":$i}"; done
	publish "d/$DEV" "$(desired 2 '' "$(app_free 2)")"
}
cut overflow
grep -q "Outgoing messages are being dropped for client $DEV" "$T/log/broker" && ok "control: the broker has dropped messages" || fail "no message was dropped"
lib_until 20 converged 2 && ok "a manifest that had no room in the queue arrives" || fail "rev $(field rev), $(field phase)"

# a broker that forgets everything
ASKED=$(subscribed "d/$DEV/desired") CONNECTIONS=0
sed -i '/^persistence/d' "$T/broker/mosquitto.conf" "$T/broker/conf.d/mosquitto.conf"
broker KILL
lib_until 20 online_again || fail "link $(field link)"
publish "d/$DEV" "$(desired 3 '' "$(app_free 3)")"
lib_until 20 converged 3 && [ "$(subscribed "d/$DEV/desired")" -gt "$ASKED" ] && ok "a broker without our session: subscribed again" || fail "rev $(field rev), $(subscribed "d/$DEV/desired") after $ASKED"
[ "$(denied)" = 0 ] && ok "and the device takes nothing of its own for another's" || fail "$(agentctl "$DEV" events -n 50 | grep another)"
