#!/usr/bin/env bash
# docs/protocol.md is the contract: every member that a device sends during an install, an OOM kill, a refusal and a stop stands there, and
# each topic has the QoS and the retained flag of the table.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto mosquitto_sub docker-registry umoci skopeo jq
[ "$(id -u)" = 0 ] || lib_skip "needs root"
lib_begin agent-protocol
DEV=proto-$$
start_fleet "$DEV"
for i in web:1 web:2 hog:1; do fleetctl publish "$REG/demo/$i" >>"$T/log/publish"; done
listener 'limpet1/demo/d/#'
conf=$FLEETCTL_DIR/devices/$DEV/agentd.json
jq '.health_interval_s = 1 | .groups = ["line-a"]' "$conf" >"$T/conf" && cp "$T/conf" "$conf"
# shellcheck disable=SC2046
lib_run heard mosquitto_sub -V 5 -I operator- -h localhost -p "$BROKER_PORT" --cafile "$FLEETCTL_DIR/pki/ca.pem" $(mqtt_files operator) \
	-q 1 --retain-as-published -F '%q %r %t %p' -t 'limpet1/demo/d/#'
lib_until 10 listens
start_agent "$DEV"

manifest() { # VERSION
	cat >"$T/m.json" <<-END
		{"id": "m-$1", "apps": [{"name": "web", "release": "web:$1", "memory": {"max_bytes": 16777216}, "cpu": {"percent": 90}, "pids": {"max": 32},
		  "network": {"mode": "bridge"}, "health": {"http": {"port": 8080, "path": "/healthz"}, "interval_ms": 300, "start_grace_ms": 500}},
		 {"name": "hog", "release": "hog:1", "memory": {"max_bytes": 16777216, "swap_bytes": 0}, "restart": {"policy": "always", "delay_ms": 60000}}],
		 "update": {"probation_ms": 1000}}
	END
}
manifest 1
fleetctl apply -f "$T/m.json" -d "$DEV" >>"$T/log/apply" 2>&1
lib_until 20 grep -q '"kind":"oom"' "$T/log/heard" || fail "no OOM"
many_lines() { [ "$(fleetctl logs "$DEV/web" -n 100 | wc -l)" -ge 4 ]; }
lib_until 20 many_lines || fail "control: web says too little"
fleetctl logs "$DEV/web" -n 2 >"$T/lines" || fail "no logs"
check "logs -n 2 are two lines" test "$(wc -l <"$T/lines")" = 2
check "logs -n 3 are three" test "$(fleetctl logs "$DEV/web" -n 3 | wc -l)" = 3
check_rc 2 "logs of no app: usage" fleetctl logs "$DEV" 2>/dev/null
fleetctl logs "$DEV/nobody" -n 2 >/dev/null 2>&1 && fail "control: logs of an app that is not there"
manifest 2
fleetctl apply -f "$T/m.json" -d "$DEV" >>"$T/log/apply" 2>&1
lib_until 20 grep -q '"id":"m-2"' "$T/log/heard" || fail "no state of the second manifest"
sleep 2
lib_agent_end "$DEV"
lib_until 10 grep -q '"why":"shutdown"' "$T/log/heard" || fail "no last word"

# what each topic must be: WORD QOS RETAINED; a device's desired and commands are not its own
while read -r word qos retained; do
	got=$(awk -v t="/$word" '{p = $3; sub(/.*\/d\/[^\/]*/, "", p)} p == t || index(p, t "/") == 1 {print $1, $2}' "$T/log/heard" | sort -u)
	if [ "$got" = "$qos $retained" ]; then ok "$word: QoS $qos, retained $retained"; else fail "$word: '$got', not '$qos $retained'"; fi
done <<-END
	state 1 1
	online 1 1
	health 0 0
	event 1 0
	progress 0 0
	reply 1 0
END

# sections: "## state" ... to the next one, so that a member is looked for where it belongs
section() { awk -v want="## $1" 'index($0, want) == 1 {on = 1; next} /^## / {on = 0} on' "$SOURCE/docs/protocol.md"; }
members() { # TOPIC: every member's name; names of apps are no members
	awk -v t="/$1" '{p = $3; sub(/.*\/d\/[^\/]*/, "", p)} p == t || index(p, t "/") == 1' "$T/log/heard" | sed -E 's/^[^{]*//' |
		jq -r 'paths | map(select(type == "string")) | if .[0] == "apps" then .[2:] else . end | .[]' | sort -u
}
for word in state online health event progress reply; do
	section "$word" >"$T/section"
	[ "$word" = reply ] && section "cmd and reply" >"$T/section"
	n=0
	for member in $(members "$word"); do
		n=$((n + 1))
		grep -qE "[\"\`]$member[\"\`]" "$T/section" || fail "$word: \"$member\" is sent and not in docs/protocol.md"
	done
	if [ $n -ge 4 ]; then ok "$word: $n members"; else fail "$word: only $n members seen"; fi
done
for kind in $(grep -oE '"kind":"[a-z-]+"' "$T/log/heard" | sort -u | cut -d'"' -f4); do
	grep -qF "\`$kind\`" "$SOURCE/docs/protocol.md" || grep -qF "\"$kind\"" "$SOURCE/docs/protocol.md" || fail "kind $kind is not in docs/protocol.md"
done
