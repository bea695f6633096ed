#!/usr/bin/env bash
# The link: will and birth with their connection counter, events kept while the broker is away, 3.1.1 for an old broker, hostile brokers that
# announce 256 MB or talk nonsense, commands that are refused, groups and their slots.
. "$SOURCE/tests/sys/lib.sh"
lib_need mosquitto docker-registry umoci skopeo jq python3
lib_begin agent_link
DEV=link-$$
GROUP=line-a
start_fleet $DEV
fleetctl publish "$REG/demo/web:1" >>"$T/log/publish"
fleetctl publish "$REG/demo/web:2" >>"$T/log/publish"
start_agent $DEV
F=limpet1/demo
AGENTD=$FLEETCTL_DIR/devices/$DEV/agentd.json
retained() { mqtt_sub operator -t "$F/d/$DEV/$1" -C 1 -W 5; }
link_pid() { pgrep -f "^agentd: link" -P "$(pgrep -P "${LIB_AGENT_PIDS[$DEV]}" -f '^agentd: core')"; }
lib_until 10 is link online || die "not online"

# --- birth, will, and a late will that lost
BIRTH=$(retained online)
[ "$(jq .on <<<"$BIRTH")" = true ] && ok "birth: $BIRTH" || fail "birth: $BIRTH"
kill -KILL "$(link_pid)"
lib_until 20 is link online || fail "link does not come back"
AGAIN=$(retained online)
[ "$(jq .conn <<<"$AGAIN")" -gt "$(jq .conn <<<"$BIRTH")" ] && ok "the connection counter rose to $(jq .conn <<<"$AGAIN")" || fail "conn: $AGAIN"
sleep 12 # the will of the killed connection would come now (will delay 10 s)
[ "$(retained online | jq .on)" = true ] && ok "no late will says offline" || fail "online: $(retained online)"
# somebody else says that we are gone: corrected at once
mqtt_pub operator -t "$F/d/$DEV/online" -q 1 -r -m '{"v":1,"on":false,"why":"lost","conn":1}'
lib_until 5 bash -c "$(declare -f retained mqtt_sub mqtt_files); FLEETCTL_DIR=$FLEETCTL_DIR BROKER_PORT=$BROKER_PORT F=$F DEV=$DEV; [ \"\$(retained online | jq .on)\" = true ]" &&
	ok "a false offline is corrected" || fail "online: $(retained online)"

# --- what link gave up: user, files, system calls
LP=$(link_pid)
[ "$(awk '/^Uid:/{print $2}' /proc/"$LP"/status)" != 0 ] && ok "link is not root" || fail "link is root"
[ "$(awk '/^Seccomp:/{print $2}' /proc/"$LP"/status)" = 2 ] && ok "link has a seccomp filter" || fail "no seccomp"
[ "$(awk '/^NoNewPrivs:/{print $2}' /proc/"$LP"/status)" = 1 ] && ok "link has no new privileges" || fail "new privileges"
[ "$(awk '/^CapEff:/{print $2}' /proc/"$LP"/status)" = 0000000000000000 ] && ok "link has no capabilities" || fail "capabilities"
CP=$(pgrep -P "${LIB_AGENT_PIDS[$DEV]}" -f '^agentd: core')
CAPS=$(awk '/^CapBnd:/{print $2}' "/proc/$CP/status") # 16 module, 17 rawio, 22 boot, 25 time
[ $((0x$CAPS & (1 << 16 | 1 << 17 | 1 << 22 | 1 << 25))) = 0 ] && [ $((0x$CAPS & 1 << 21)) != 0 ] && ok "core keeps what it needs of root: $CAPS" || fail "core's capabilities: $CAPS"
SOCKS=$(find "/proc/$CP/fd" "/proc/${LIB_AGENT_PIDS[$DEV]}/fd" -lname 'socket:*' -printf '%l\n' | tr -dc '0-9\n' | while read -r i; do grep -h " $i " /proc/net/tcp /proc/net/tcp6 /proc/net/udp || true; done | wc -l)
[ "$SOCKS" = 0 ] && ok "core and keeper have no network socket" || fail "core or keeper has $SOCKS network sockets"

# --- commands
ask() { # VERB JSON -> the reply, or nothing
	mqtt_sub operator -t "$F/d/$DEV/reply/#" -C 1 -W "${W:-4}" >"$T/reply" &
	local s=$!
	sleep 0.5
	mqtt_pub operator -t "$F/d/$DEV/cmd/$1" -q 1 ${RETAIN:-} -m "$2"
	wait $s || true
	cat "$T/reply"
}
NOW=$(date +%s)
jq -e --arg d "$DEV" '.out | fromjson | .device == $d' >/dev/null <<<"$(ask status "{\"v\":1,\"id\":\"c1\",\"reply\":\"$F/d/$DEV/reply/me\",\"exp\":$((NOW + 30))}")" && ok "cmd status is answered" || fail "status: $(cat "$T/reply")"
[ -z "$(W=2 ask status "{\"v\":1,\"id\":\"c2\",\"reply\":\"$F/d/dev-2/reply/me\",\"exp\":$((NOW + 30))}")" ] && ok "no answer outside its own tree" || fail "answered: $(cat "$T/reply")"
agentctl $DEV events -n 2 | grep -q "reply topic" && ok "and it is said" || fail "$(agentctl $DEV events -n 2)"
[ -z "$(W=2 ask status "{\"v\":1,\"id\":\"c3\",\"reply\":\"$F/d/$DEV/reply/me\",\"exp\":$((NOW - 30))}")" ] && ok "an expired command is refused" || fail "answered: $(cat "$T/reply")"

# --- a group's rollout: closed, then open; the device's own document wins; withdrawn, the group's may speak again
cat >"$T/web-1.json" <<-END
	{"apps": [{"name": "web", "release": "web:1", "memory": {"max_bytes": 16777216}}], "update": {"probation_ms": 300}}
END
sed 's/web:1/web:2/' "$T/web-1.json" >"$T/web-2.json"
KEY=$FLEETCTL_DIR/keys/fleet-1.key
fleetctl apply -f "$T/web-1.json" -g $GROUP >"$T/log/apply" 2>&1 || die "apply to the group: $(cat "$T/log/apply")"
lib_until 30 is phase converged && ok "the group's document converges" || fail "phase $(field phase): $(field err.msg)"
G=$(mqtt_sub operator -t "$F/g/$GROUP/desired" -C 1 -W 5 | jq -r .payload | base64 -d)
group() { jq -c "$1" <<<"$G" | "$SOURCE/tests/tool/forge.py" desired "$KEY" >"$T/g"; mqtt_pub operator -t "$F/g/$GROUP/desired" -q 1 -r -f "$T/g"; }
group '.rev=5 | .apps[0].memory.max_bytes=20971520 | .rollout={"salt":"r-1","slots":0}'
sleep 1.5
is rev "$(jq .rev <<<"$G")" && ok "a rollout that is closed holds the device: $(field phase)" || fail "rev $(field rev)"
group '.rev=6 | .apps[0].memory.max_bytes=20971520 | .rollout={"salt":"r-1","slots":10000}'
lib_until 20 is rev 6 && ok "opened, it acts" || fail "rev $(field rev): $(field err.msg)"
lib_until 20 is phase converged || fail "phase $(field phase)"
fleetctl apply -f "$T/web-2.json" -d $DEV --wait --timeout 60s >"$T/log/apply" 2>&1 || fail "apply: $(cat "$T/log/apply")"
is apps.web.version 2 && ok "the device's own document wins" || fail "version $(field apps.web.version)"
group '.rev=7 | .apps[0].memory.max_bytes=23068672'
sleep 1.5
is source device && ok "the group's next one waits" || fail "source $(field source)"
is phase converged || fail "it waits beside its own document: $(field phase)"
withdraw() { # NAME < signed document: the same target's next rev, without an opinion
	jq -r .payload | base64 -d | jq -c '{schema,fleet,target,issued,expires,rev:(.rev + 1),withdrawn:true}' | "$SOURCE/tests/tool/forge.py" desired "$KEY" >"$T/w"
	mqtt_pub operator -t "$F/$1/desired" -q 1 -r -f "$T/w"
}
OWN=$(cat "$FLEETCTL_DIR/desired/d-$DEV.json")
mqtt_pub operator -t "$F/d/$DEV/desired" -q 1 -r -n
lib_until 10 bash -c "'$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' events -n 4 | grep -q 'an empty message withdraws nothing'" &&
	is source device && ok "an empty message withdraws nothing" || fail "$(agentctl $DEV events -n 4)"
withdraw "d/$DEV" <<<"$OWN"
lib_until 10 bash -c "'$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' events -n 4 | grep -qE 'rev 7.*counter'" &&
	ok "the device's document is withdrawn: the group is heard again" || fail "$(agentctl $DEV events -n 4)"

# --- events wait for the broker
# every device is in the group "all"
jq -c '.rev=3 | .target={"group":"all"} | .apps[0].memory.max_bytes=25165824 | .apps[0].release.counter=2 | del(.rollout)' <<<"$(jq -r .payload "$FLEETCTL_DIR/desired/d-$DEV.json" | base64 -d)" | "$SOURCE/tests/tool/forge.py" desired "$KEY" >"$T/g"
cp "$T/g" "$T/all"
mqtt_pub operator -t "$F/g/all/desired" -q 1 -r -f "$T/all"
group '.rev=7 | .apps[0].memory.max_bytes=23068672' # as it stands
withdraw "g/$GROUP" <"$T/g"
lib_until 20 is source group:all && ok "the group \"all\" is heard" || fail "source $(field source): $(agentctl $DEV events -n 2)"
lib_until 20 is phase converged || fail "phase $(field phase): $(field err.msg)"

# a session that the broker keeps: who listens need not be there before the device is back
late() { mosquitto_sub -V 5 -i "operator-late-$$" -c -x 600 -q 1 -h localhost -p "$BROKER_PORT" --cafile "$FLEETCTL_DIR/pki/ca.pem" $(mqtt_files operator) -t "$F/d/$DEV/event" "$@"; }
late -E
lib_stop "$BROKER_PID"
lib_until 10 bash -c "[ \"\$('$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' status -o json | jq -r .link)\" != online ]"
kill -KILL "$(field apps.web.pid)"
lib_until 5 bash -c "'$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' events -n 3 | grep -q 'by signal 9'" || fail "no exit event"
lib_run broker mosquitto -c "$T/broker/mosquitto.conf"
BROKER_PID=$LIB_PID
lib_until 10 port_open "$BROKER_PORT" || die "the broker does not start again"
arrived() { late -W 2 >>"$T/event" 2>/dev/null; grep -q '"exit"\|signal 9' "$T/event"; }
lib_until 60 arrived && ok "an event of the dark time arrives later" || fail "event: $(cat "$T/event")"

# --- other brokers: in the clear on loopback, the same agent with another mqtt clause
other() { # PORT
	lib_stop "${LIB_AGENT_PIDS[$DEV]}"
	jq --argjson p "$1" '.mqtt = {"host":"127.0.0.1","port":$p}' "$AGENTD" >"$T/other.json"
	cp "$FLEETCTL_DIR/devices/$DEV/trust.json" "$T/trust.json"
	lib_run "agent-$DEV" "$BUILD/bin/agentd" --config "$T/other.json" --libexec "$BUILD/bin"
	LIB_AGENT_PIDS[$DEV]=$LIB_PID
	lib_until 20 agent_answers $DEV || die "the agent does not start"
}
PLAIN=$(free_port)
printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$PLAIN" >"$T/plain.conf"
lib_run plain mosquitto -c "$T/plain.conf"
OLD=$(free_port)
lib_run old "$SOURCE/tests/tool/mqtt_peer.py" "$OLD" old "$PLAIN"
lib_until 5 port_open "$OLD"
other "$OLD"
lib_until 30 is link online && ok "an old broker: 3.1.1" || fail "link $(field link)"
grep -q 'level 5' "$T/log/old" && grep -q 'level 4' "$T/log/old" && ok "MQTT 5 was tried first" || fail "$(cat "$T/log/old")"
mosquitto_sub -h 127.0.0.1 -p "$PLAIN" -t "$F/d/$DEV/state" -C 1 -W 5 | jq -e .phase >/dev/null && ok "its state is there" || fail "no state over 3.1.1"
for mode in bomb garbage; do
	P=$(free_port)
	lib_run $mode "$SOURCE/tests/tool/mqtt_peer.py" "$P" $mode
	lib_until 5 port_open "$P"
	other "$P"
	lib_until 15 grep -q level "$T/log/$mode" || fail "$mode: it does not connect"
	sleep 2
	PEAK=$(awk '/VmHWM/{print $2}' /proc/"$(link_pid)"/status)
	[ "$PEAK" -lt 16000 ] && ok "$mode: link peaks at $PEAK KB" || fail "$mode: link took $PEAK KB"
	is link online && fail "$mode: online?"
	agent_answers $DEV && ok "$mode: the agent lives: $(field link)" || fail "$mode: the agent is gone"
done
[ -n "$(field apps.web.pid)" ] && ok "the app runs through all of it" || fail "no app"
