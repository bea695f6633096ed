#!/usr/bin/env bash
# The link: will and birth with their connection counter, events kept while the broker is away, 3.1.1 for an old broker, hostile brokers that
# announce 256 MB, talk nonsense or flood, commands that are refused, groups and their slots, a core that does not read, a CA that is not there,
# a link that says what it may not.
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
retained() { mqtt_sub operator -t "$F/d/$DEV/$1" -C 1 -W 60; }
link_pid() { pgrep -f "^agentd: link" -P "$(pgrep -P "${LIB_AGENT_PIDS[$DEV]}" -f '^agentd: core')"; }
lib_until 10 is link online || die "not online"

# --- birth, will, and a late will that lost
BIRTH=$(retained online)
[ "$(jq .on <<<"$BIRTH")" = true ] && ok "birth: $BIRTH" || fail "birth: $BIRTH"
kill -KILL "$(link_pid)"
again() { AGAIN=$(retained online); [ "$(jq .conn <<<"$AGAIN")" -gt "$(jq .conn <<<"$BIRTH")" ]; }
lib_until 20 again && ok "the connection counter rose to $(jq .conn <<<"$AGAIN")" || fail "conn: $AGAIN"
lib_until 20 is link online || fail "link does not come back"
sleep 12 # the will of the killed connection would come now (will delay 10 s)
[ "$(retained online | jq .on)" = true ] && ok "no late will says offline" || fail "online: $(retained online)"
# somebody else says that we are gone: corrected at once
mqtt_pub operator -t "$F/d/$DEV/online" -q 1 -r -m '{"v":1,"on":false,"why":"lost","conn":1}'
lib_until 5 bash -c "$(declare -f retained mqtt_sub mqtt_files); FLEETCTL_DIR=$FLEETCTL_DIR BROKER_PORT=$BROKER_PORT F=$F DEV=$DEV; [ \"\$(retained online | jq .on)\" = true ]" &&
	ok "a false offline is corrected" || fail "online: $(retained online)"

# another client with this device's name as its id does not end the connection; one that says a birth as this device is told
CONN=$(retained online | jq .conn)
mosquitto_sub -V 5 -i "$DEV" -h localhost -p "$BROKER_PORT" --cafile "$FLEETCTL_DIR/pki/ca.pem" $(mqtt_files operator) -t "$F/d/$DEV/state" -C 1 -W 60 >/dev/null || fail "no client with that id"
is link online && [ "$(retained online | jq .conn)" = "$CONN" ] && ok "who takes the device's name as client id takes nothing away" || fail "link $(field link), conn $CONN, $(retained online)"
mqtt_pub operator -t "$F/d/$DEV/online" -q 1 -m '{"v":1,"on":true,"conn":7,"boot":1}'
told_of_twin() { agentctl $DEV events -n 5 | grep -q 'denied.*another client is online as this device'; }
lib_until 5 told_of_twin && ok "a twin is told" || fail "$(agentctl $DEV events -n 3)"

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
	listener "$F/d/$DEV/reply/#"
	mqtt_sub operator -t "$F/d/$DEV/reply/#" -C 1 -W "${W:-60}" >"$T/reply" &
	local s=$!
	lib_until 10 listens
	mqtt_pub operator -t "$F/d/$DEV/cmd/$1" -q 1 ${RETAIN:-} -m "$2"
	wait $s || true
	cat "$T/reply"
}
NOW=$(date +%s)
jq -e --arg d "$DEV" '.out | fromjson | .device == $d' >/dev/null <<<"$(ask status "{\"v\":1,\"id\":\"c1\",\"reply\":\"$F/d/$DEV/reply/me\",\"exp\":$((NOW + 300))}")" && ok "cmd status is answered" || fail "status: $(cat "$T/reply")"
[ -z "$(W=2 ask status "{\"v\":1,\"id\":\"c2\",\"reply\":\"$F/d/dev-2/reply/me\",\"exp\":$((NOW + 300))}")" ] && ok "no answer outside its own tree" || fail "answered: $(cat "$T/reply")"
agentctl $DEV events -n 2 | grep -q "reply topic" && ok "and it is said" || fail "$(agentctl $DEV events -n 2)"
[ -z "$(W=2 ask status "{\"v\":1,\"id\":\"c3\",\"reply\":\"$F/d/$DEV/reply/me\",\"exp\":$((NOW - 30))}")" ] && ok "an expired command is refused" || fail "answered: $(cat "$T/reply")"

# --- a group's rollout: closed, then open; the device's own document wins; withdrawn, the group's may speak again
cat >"$T/web-1.json" <<-END
	{"apps": [{"name": "web", "release": "web:1", "memory": {"max_bytes": 16777216}, "log": {"max_bytes": 1048576}}], "update": {"probation_ms": 300}}
END
sed 's/web:1/web:2/' "$T/web-1.json" >"$T/web-2.json"
KEY=$FLEETCTL_DIR/keys/fleet-1.key
fleetctl apply -f "$T/web-1.json" -g $GROUP >"$T/log/apply" 2>&1 || die "apply to the group: $(cat "$T/log/apply")"
lib_until 30 is phase converged && ok "the group's document converges" || fail "phase $(field phase): $(field err.msg)"
G=$(mqtt_sub operator -t "$F/g/$GROUP/desired" -C 1 -W 60 | jq -r .payload | base64 -d)
group() { jq -c "$1" <<<"$G" | "$SOURCE/tests/tool/forge.py" desired "$KEY" >"$T/g"; mqtt_pub operator -t "$F/g/$GROUP/desired" -q 1 -r -f "$T/g"; }
group '.rev=5 | .apps[0].memory.max_bytes=20971520 | .rollout={"salt":"r-1","slots":0}'
held() { agentctl $DEV plan | grep -q 'held: rev 5: slot .* of rollout r-1, open to 0' && is err.kind held; }
lib_until 10 held && ok "and both plan and state say why" || fail "plan: $(agentctl $DEV plan), err: $(field err)"
is rev "$(jq .rev <<<"$G")" && ok "a rollout that is closed holds the device: $(field phase)" || fail "rev $(field rev)"
group '.rev=6 | .apps[0].memory.max_bytes=20971520 | .rollout={"salt":"r-1","slots":10000}'
lib_until 20 is rev 6 && ok "opened, it acts" || fail "rev $(field rev): $(field err.msg)"
lib_until 20 is phase converged || fail "phase $(field phase)"
fleetctl apply -f "$T/web-2.json" -d $DEV --wait --timeout 240s >"$T/log/apply" 2>&1 || fail "apply: $(cat "$T/log/apply")"
is apps.web.version 2 && ok "the device's own document wins" || fail "version $(field apps.web.version)"
# an answer that is longer than what fits between core, link and broker at once
agentctl $DEV exec web -- sh -c 'i=0; while [ $i -lt 8000 ]; do i=$((i + 1)); echo "a line that is long enough to count, $i"; done >/proc/1/fd/1' || fail "no lines"
listener "$F/d/$DEV/reply/long"
# shellcheck disable=SC2046
lib_run replies mosquitto_sub -V 5 -I operator- -h localhost -p "$BROKER_PORT" --cafile "$FLEETCTL_DIR/pki/ca.pem" $(mqtt_files operator) -t "$F/d/$DEV/reply/long" -F %p
lib_until 10 listens
mqtt_pub operator -t "$F/d/$DEV/cmd/logs" -q 1 -m "{\"v\":1,\"id\":\"long\",\"reply\":\"$F/d/$DEV/reply/long\",\"exp\":$(($(date +%s) + 300)),\"app\":\"web\",\"lines\":7000}"
lib_until 20 grep -q '"more":false' "$T/log/replies" || fail "the answer does not end"
WHOLE=$(jq -rj .out "$T/log/replies" | grep -c 'long enough to count') || true
[ "$WHOLE" -gt 6900 ] && ok "a log of $WHOLE lines is answered whole, in $(wc -l <"$T/log/replies") pieces" || fail "$WHOLE lines of 7000"
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
arrived() { late -C 1 -W 10 >>"$T/event" 2>/dev/null; grep -q '"exit"\|signal 9' "$T/event"; }
lib_until 60 arrived && ok "an event of the dark time arrives later" || fail "event: $(cat "$T/event")"

# --- a core that does not read for a while: of all that came the last word counts, and nobody has to say it again
core_pid() { pgrep -P "${LIB_AGENT_PIDS[$DEV]}" -f '^agentd: core'; }
BIG=$(head -c 700 /dev/zero | tr '\0' x)
for rev in $(seq 20 33); do
	jq -nc --arg v "$BIG" --argjson r "$rev" --argjson d "$(jq -r .payload "$FLEETCTL_DIR/desired/d-$DEV.json" | base64 -d)" \
		'$d | .rev = $r | .apps[0].release.counter = 2 | .apps[0].env = ([range(60) | {key: "E\(.)", value: $v}] | from_entries)' |
		"$SOURCE/tests/tool/forge.py" desired "$KEY" >"$T/rev-$rev"
done
CORE=$(core_pid)
kill -STOP "$CORE"
for rev in $(seq 20 33); do mqtt_pub operator -t "$F/d/$DEV/desired" -q 1 -r -f "$T/rev-$rev"; done
kill -CONT "$CORE"
lib_until 20 is rev 33 && ok "after a pause of core the last of 14 large documents is there" || fail "rev $(field rev), want $(field want)"
[ "$(core_pid)" = "$CORE" ] || fail "core is another: $CORE, $(core_pid)"
lib_until 20 is phase converged || fail "phase $(field phase): $(field err.msg)"

# --- other brokers, the same agent with another mqtt clause
with_mqtt() { # JSON
	lib_stop "${LIB_AGENT_PIDS[$DEV]}"
	jq --argjson m "$1" '.mqtt = $m + {reconnect_s: 1}' "$AGENTD" >"$T/other.json"
	cp "$FLEETCTL_DIR/devices/$DEV/trust.json" "$T/trust.json"
	lib_run "agent-$DEV" "$BUILD/bin/agentd" --config "$T/other.json" --libexec "${LIBEXEC:-$BUILD/bin}"
	LIB_AGENT_PIDS[$DEV]=$LIB_PID
	lib_until 20 agent_answers $DEV || die "the agent does not start"
}
other() { with_mqtt "{\"host\":\"127.0.0.1\",\"port\":$1,\"plaintext\":true}"; } # in the clear: PORT
link_says() { field link | grep -qF "$1"; }
PLAIN=$(free_port)
printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$PLAIN" >"$T/plain.conf"
lib_run plain mosquitto -c "$T/plain.conf"
lib_until 5 port_open "$PLAIN"

# a file that is named and cannot be had means no link, whoever listens: never one in the clear
MQTT=$(jq -c --arg d "$FLEETCTL_DIR/devices/$DEV" --arg ca "$T/ca.pem" '.mqtt | .ca = $ca | .cert = $d + "/" + .cert | .key = $d + "/" + .key' "$AGENTD")
with_mqtt "$(jq -c --argjson p "$PLAIN" '.port = $p | .host = "127.0.0.1" | del(.cert, .key)' <<<"$MQTT")"
lib_until 10 link_says "open $T/ca.pem: No such file" && ok "no CA, no link: $(field link)" || fail "link $(field link)"
: >"$T/ca.pem"
lib_until 20 link_says "$T/ca.pem is empty" && ok "an empty one: $(field link)" || fail "link $(field link)"
echo "no certificate" >"$T/ca.pem"
lib_until 30 link_says "CA certificates" && ok "no certificate in it: $(field link)" || fail "link $(field link)"
is link online && fail "online"
mosquitto_sub -h 127.0.0.1 -p "$PLAIN" -t '#' -C 1 -W 1 && fail "the broker in the clear was told something"
! grep -q "connected .* as $DEV" "$T/log/plain" && ok "no MQTT in the clear" || fail "$(tail -n 3 "$T/log/plain")"
rm "$T/ca.pem"
with_mqtt "$MQTT"
lib_until 10 link_says "open $T/ca.pem: No such file" || fail "link $(field link)"
cp "$FLEETCTL_DIR/pki/ca.pem" "$T/ca.pem"
lib_until 40 is link online && ok "control: the file is there again, and so is the device" || fail "link $(field link)"
with_mqtt "{\"host\":\"192.0.2.1\",\"port\":$PLAIN,\"plaintext\":true}"
lib_until 10 link_says "needs TLS" && ok "plain text leads to no other machine: $(field link)" || fail "link $(field link)"
for bad in '{"host":"127.0.0.1"}' '{"host":"127.0.0.1","plaintext":true,"ca":"ca.pem"}' '{"host":"127.0.0.1","ca":"ca.pem","key":"device.key"}'; do
	jq --argjson m "$bad" '.mqtt = $m' "$AGENTD" >"$T/bad.json"
	rc=0
	timeout 60 "$BUILD/bin/agentd-core" --config "$T/bad.json" >"$T/log/bad" 2>&1 || rc=$?
	[ $rc = 78 ] && grep -q 'mqtt: \(ca\|plaintext\|cert\)' "$T/log/bad" || fail "$bad: $rc, $(cat "$T/log/bad")"
done
ok "settings of the broker that contradict themselves are refused: $(cat "$T/log/bad")"

# a broker that floods: core answers, stays, and reads a few of them
FLOOD=$(free_port)
lib_run docs "$SOURCE/tests/tool/mqtt_peer.py" "$FLOOD" docs "$F/d/$DEV/desired"
FLOOD_PID=$LIB_PID
lib_until 5 port_open "$FLOOD"
other "$FLOOD"
lib_until 15 is link online || fail "flood: link $(field link)"
CORE=$(core_pid) APP=$(field apps.web.pid) SLOW=0
SECONDS=0
for _ in $(seq 20); do timeout 20 "$BUILD/bin/agentctl" --run-dir "$T/$DEV/run" status -o json >"$T/status" || SLOW=$((SLOW + 1)); done
while [ $SECONDS -lt 4 ]; do sleep 0.2; done
[ $SLOW = 0 ] && ok "flood: status is answered 20 of 20 times" || fail "flood: $SLOW of 20 were not answered"
[ "$(core_pid)" = "$CORE" ] && [ "$(field apps.web.pid)" = "$APP" ] && ok "flood: the same core, the same app" || fail "flood: core $CORE, $(core_pid)"
READ=$(agentctl $DEV events -n 200 | grep -c 'denied.*fleet keys: 8 signatures') TOOK=$SECONDS
[ "$READ" -gt 0 ] && [ "$READ" -le $((8 + TOOK + 2)) ] && ok "flood: $READ documents looked at in $TOOK s" || fail "flood: $READ documents looked at in $TOOK s"
lib_stop "$FLOOD_PID" KILL

# a link that is not ours any more: it may not speak for the console, and not out of turn
mkdir "$T/libexec"
ln -s "$BUILD"/bin/* "$T/libexec/"
rm "$T/libexec/agentd-link"
cat >"$T/libexec/agentd-link" <<-END
	#!/usr/bin/env python3
	import os, socket, time
	s = socket.socket(fileno=3)
	s.recv(65536)
	s.send(b"up 5")
	for line in open("$T/say", "rb"):
	    s.send(line[:-1] + b"\n" + b"x" * 20)
	open("$T/said", "a").write("%d\n" % os.getpid())
	while s.recv(65536): pass
END
chmod 0755 "$T/libexec/agentd-link"
says() { # LINES: until that link has said them once more
	: >"$T/said"
	printf '%b' "$1" >"$T/say"
	LIBEXEC=$T/libexec other "$PLAIN"
	lib_until 20 test -s "$T/said" || fail "no link said anything"
}
broken() { grep -c 'violates the protocol' "$T/log/agent-$DEV"; }
says 'doc device\ndoc group:all\n'
lib_until 10 is link online && [ "$(broken)" = 0 ] && ok "control: a link that says what link may say is heard" || fail "$(tail -n 3 "$T/log/agent-$DEV")"
says 'doc local\n'
lib_until 5 grep -q 'violates the protocol.*source' "$T/log/agent-$DEV" && ok "not for the console" || fail "$(tail -n 3 "$T/log/agent-$DEV")"
says "$(printf 'doc device\\n%.0s' $(seq 20))"
lib_until 5 grep -q 'violates the protocol.*more from device' "$T/log/agent-$DEV" && ok "not out of turn" || fail "$(tail -n 3 "$T/log/agent-$DEV")"
others() { [ "$(sort -u "$T/said" | wc -l)" -ge 2 ]; }
lib_until 10 others && agent_answers $DEV && ok "another link takes its place" || fail "$(cat "$T/said")"

# --- a broker's certificate that has ended, on a device whose clock is not set: what it knows of the time counts
P=$T/pki-2
mkdir "$P"
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$P/key" -out "$P/csr" -subj /CN=localhost 2>>"$T/log/openssl"
openssl x509 -req -in "$P/csr" -CA "$FLEETCTL_DIR/pki/ca.pem" -CAkey "$FLEETCTL_DIR/pki/ca.key" -days 2 -out "$P/pem" -extfile <(echo subjectAltName=DNS:localhost) 2>>"$T/log/openssl"
SHORT=$(free_port)
printf 'listener %s 127.0.0.1\nallow_anonymous true\ncafile %s\ncertfile %s\nkeyfile %s\nuser root\n' "$SHORT" "$FLEETCTL_DIR/pki/ca.pem" "$P/pem" "$P/key" >"$T/short.conf"
lib_run short mosquitto -c "$T/short.conf"
lib_until 5 port_open "$SHORT"
D=$FLEETCTL_DIR/devices/$DEV
says_at() { timeout 200 "$SOURCE/tests/tool/link_core.py" "$BUILD/bin/agentd-link" "$T/link-core" "$SHORT" "$(($(date +%s) + $1 * 86400))" "$FLEETCTL_DIR/pki/ca.pem" "$D/device.pem" "$D/device.key"; }
SAID=$(says_at 1) && [ "$SAID" = "up 5" ] && ok "control: it ends later than the device's time: $SAID" || fail "$SAID"
SAID=$(says_at 3) && [[ $SAID == *"has expired"* ]] && ok "it has ended: $SAID" || fail "$SAID"

# --- an old broker, and brokers that talk nonsense
OLD=$(free_port)
lib_run old "$SOURCE/tests/tool/mqtt_peer.py" "$OLD" old "$PLAIN"
lib_until 5 port_open "$OLD"
other "$OLD"
lib_until 30 is link online && ok "an old broker: 3.1.1" || fail "link $(field link)"
grep -q 'level 5' "$T/log/old" && grep -q 'level 4' "$T/log/old" && ok "MQTT 5 was tried first" || fail "$(cat "$T/log/old")"
mosquitto_sub -h 127.0.0.1 -p "$PLAIN" -t "$F/d/$DEV/state" -C 1 -W 60 | jq -e .phase >/dev/null && ok "its state is there" || fail "no state over 3.1.1"
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
