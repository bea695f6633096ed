#!/usr/bin/env bash
# What fleetctl reads is all of it, or an error: over a long line, over one that breaks, from a broker of MQTT 3.1.1. What it could not
# read it does not overwrite. And waiting: who is offline or held is told, nobody else is kept from working.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto mosquitto_sub mosquitto_passwd openssl jq ss python3
lib_begin fleet_reads
GROUP=line-a init_fleet dev-1 dev-2
start_broker
N=60
# Many devices that have reported, without an agent each: the operator may write all topics.
python3 - $N >"$T/states" <<-'END'
	import json, sys
	for i in range(int(sys.argv[1])):
	    d = "sim-%03d" % i
	    state = {"v": 1, "ts": 1785499000, "rev": 0, "want": 0, "phase": "pending", "groups": ["line-a"], "agent": "0.1.0", "apps": {}, "pad": "x" * 900}
	    print("limpet1/demo/d/%s/state %s" % (d, json.dumps(state)))
	    print("limpet1/demo/d/%s/online %s" % (d, json.dumps({"v": 1, "on": True, "conn": 1, "ts": 1785499000})))
END
while read -r topic message; do mqtt_pub operator -q 1 -r -t "$topic" -m "$message" & [ "$(jobs -rp | wc -l)" -lt 24 ] || wait -n; done <"$T/states"
for pid in $(jobs -rp | grep -vxF "$BROKER_PID"); do wait "$pid" || true; done # none left: a bare wait would wait for the broker
echo '{"apps":[]}' >"$T/empty.json"
check "control: without a proxy all are there" test "$(fleetctl get devices -o json | jq length)" = $N
fleetctl apply -f "$T/empty.json" -g line-a >>"$T/log/apply" 2>&1

# --- another directory of the same fleet, behind a proxy
PROXY=$(free_port)
cd "$T"
lib_run proxy python3 "$SOURCE/tests/tool/slowproxy.py" "$PROXY" "$BROKER_PORT" 300
lib_until 10 port_open "$PROXY" || die "no proxy"
cp -r "$FLEETCTL_DIR" "$T/far"
rm -rf "$T/far/desired"
sed -i "s/$BROKER_PORT/$PROXY/" "$T/far/fleet.json"
far() { FLEETCTL_DIR=$T/far fleetctl "$@"; }
check "over a line of 300 ms all are there" test "$(far get devices -o json | jq length)" = $N
check "and plan knows the devices" test "$(far plan -f "$T/empty.json" -g line-a -o json | jq -c '[.devices, .old_rev, .rev]')" = "[$N,1,2]"
check "the revision goes on, it does not begin anew" test "$(far apply -f "$T/empty.json" -g line-a -o json | jq .rev)" = 2

# --- a line that breaks in the middle of the answer: its bytes are those of the reports
rev() { mqtt_sub operator -t limpet1/demo/g/line-a/desired -C 1 -W 60 | jq -r .payload | base64 -d | jq .rev; }
for mode in cut hole; do
	echo "$mode 30000" >"$T/$PROXY.mode"
	far get devices -o name >"$T/part-$mode" 2>"$T/why-$mode" && rc=0 || rc=$? &
	pids="$!"
	far plan -f "$T/empty.json" -g line-a >"$T/plan-$mode" 2>&1 && echo 0 >"$T/plan-rc-$mode" || echo $? >"$T/plan-rc-$mode" &
	pids="$pids $!"
	far apply -f "$T/empty.json" -g line-a >"$T/apply-$mode" 2>&1 && echo 0 >"$T/apply-rc-$mode" || echo $? >"$T/apply-rc-$mode" &
	pids="$pids $!"
	far get devices -o json >"$T/json-$mode" 2>/dev/null && echo 0 >"$T/get-rc-$mode" || echo $? >"$T/get-rc-$mode"
	# shellcheck disable=SC2086
	wait $pids || true
	check "$mode: get ends with 5" test "$(cat "$T/get-rc-$mode")" = 5
	check "$mode: what came is shown" test "$(wc -l <"$T/part-$mode")" -gt 0 -a "$(wc -l <"$T/part-$mode")" -lt $N
	check "$mode: and said to be a part" grep -q 'only a part' "$T/why-$mode"
	check "$mode: JSON too" test "$(jq length "$T/json-$mode")" -gt 0
	check "$mode: plan ends with 5" test "$(cat "$T/plan-rc-$mode")" = 5
	check "$mode: apply ends with 5" test "$(cat "$T/apply-rc-$mode")" = 5
	check "$mode: and has published nothing" test "$(rev)" = 2
done
rm -f "$T/$PROXY.mode"

# --- a broker that knows MQTT 3.1.1 only: the peer refuses 5, as brokers before it do, behind a TLS of its own
OLD=$(free_port) PLAIN=$(free_port) TLS=$(free_port)
printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$PLAIN" >"$T/plain.conf"
lib_run plain mosquitto -c "$T/plain.conf"
lib_run old python3 "$SOURCE/tests/tool/mqtt_peer.py" "$OLD" old "$PLAIN"
lib_until 10 port_open "$PLAIN" && lib_until 10 port_open "$OLD" || die "no old broker"
lib_run tls python3 "$SOURCE/tests/tool/tlsproxy.py" "$TLS" "$OLD" "$FLEETCTL_DIR/pki/broker.pem" "$FLEETCTL_DIR/pki/broker.key"
lib_until 10 port_open "$TLS" || die "no TLS before it"
cp -r "$FLEETCTL_DIR" "$T/eleven"
rm -rf "$T/eleven/desired"
sed -i "s/$BROKER_PORT/$TLS/" "$T/eleven/fleet.json"
eleven() { FLEETCTL_DIR=$T/eleven fleetctl "$@"; }
mosquitto_pub -p "$PLAIN" -r -q 1 -t limpet1/demo/d/dev-1/state -m '{"v":1,"rev":0,"want":0,"phase":"pending","groups":["line-a"],"apps":{}}'
check "MQTT 3.1.1: apply" eleven apply -f "$T/empty.json" -d dev-1
check "MQTT 3.1.1: get" test "$(eleven get devices -o name)" = dev-1
check "MQTT 3.1.1: the document is there" test "$(mosquitto_sub -p "$PLAIN" -t limpet1/demo/d/dev-1/desired -C 1 -W 60 | jq -r .payload | base64 -d | jq .rev)" = 1
check "control: it was refused with MQTT 5 first" grep -q 'level 5' "$T/log/old"
check "MQTT 3.1.1: logs of a device that is not there" eval 'eleven logs dev-9/web --timeout 8s 2>/dev/null; [ $? = 5 ]'

last() { mqtt_sub operator -t "limpet1/demo/$1/desired" -C 1 -W 60 | jq -r .payload | base64 -d | jq -c "$2"; }
# --- waiting for a group: converged, failed, offline and held devices
say() { # DEVICE PHASE REV [MORE]
	mqtt_pub operator -q 1 -r -t "limpet1/demo/d/$1/state" -m "{\"v\":1,\"ts\":$(date +%s),\"rev\":$3,\"want\":$3,\"phase\":\"$2\",\"groups\":[\"crew\"],\"apps\":{}${4:-}}"
}
online() { mqtt_pub operator -q 1 -r -t "limpet1/demo/d/$1/online" -m "{\"v\":1,\"on\":$2,\"conn\":1,\"ts\":$(($(date +%s) - 180))}"; }
for d in one two three; do say $d pending 0; online $d true; done
online three false
fleetctl apply -f "$T/empty.json" -g crew --wait --timeout 240s -o json >"$T/wait.json" 2>"$T/wait.err" &
W=$!
LIB_PIDS+=("$W")
lib_until 20 grep -q '0 of 3 converged.*1 offline' "$T/wait.err" && ok "who is offline is counted apart" || fail "$(cat "$T/wait.err")"
check "meanwhile the directory is free: another apply" fleetctl apply -f "$T/empty.json" -d dev-2
say one converged 1
say two rolled-back 1 ',"err":{"kind":"rolled-back","msg":"its health is bad"}'
wait $W && rc=0 || rc=$?
check "it ends with 3, without the one that is offline" test $rc = 3
check "JSON: each device with its verdict" test "$(jq -c '[.result, (.devices[] | .device + ":" + .verdict)]' "$T/wait.json")" = '["failed","one:done","three:offline","two:failed"]'
check "the reason of who failed" grep -q 'two: rolled-back: its health is bad' "$T/wait.err"
check "and since when the other one is away" grep -qE 'three: offline, last seen [0-9]+[ms]' "$T/wait.err"
fleetctl apply -f "$T/empty.json" -g crew --wait --timeout 8s -o json >"$T/wait.json" 2>"$T/wait.err" && rc=0 || rc=$?
check "a time-out ends with 124" test $rc = 124
check "with JSON" test "$(jq -c '[.result, (.devices | length)]' "$T/wait.json")" = '["timeout",3]'
check "and with reasons" grep -q 'one: converged' "$T/wait.err"
{ lib_until 20 grep -q '0 of 3' "$T/wait.err"; say one converged 3; say two converged 3; } &
LIB_PIDS+=($!)
: >"$T/wait.err"
fleetctl apply -f "$T/empty.json" -g crew --wait --timeout 240s >"$T/wait.out" 2>"$T/wait.err" && rc=0 || rc=$?
check "one that is offline is not converged: 3" test $rc = 3
echo '{"apps":[],"rollout":{"salt":"s","slots":0}}' >"$T/held.json"
check_rc 0 "no slot is open: nothing to wait for" fleetctl apply -f "$T/held.json" -g crew --wait --timeout 240s 2>"$T/held.err"
check "and it is said" grep -q '3 wait for their slot' "$T/held.err"
fleetctl apply -f "$T/empty.json" -g all --wait --timeout 240s -o json >"$T/wait.json" 2>"$T/held.err" && rc=0 || rc=$?
check "all of them follow another document: nobody does it, 3" test "$rc $(jq -r .result "$T/wait.json")" = "3 other"
check_rc 3 "a group that nobody is in" fleetctl apply -f "$T/empty.json" -g crwe --wait --timeout 240s 2>"$T/held.err"
check "is told" grep -q 'warning: no device has reported that it is in group crwe' "$T/held.err"

# A report about a group's document, with a higher revision, is none about the device's own.
mqtt_pub operator -q 1 -r -t limpet1/demo/d/dev-2/state -m '{"v":1,"rev":9,"want":9,"phase":"converged","source":"group:crew","groups":["crew"],"apps":{}}'
mqtt_pub operator -q 1 -r -t limpet1/demo/d/dev-2/online -m '{"v":1,"on":true,"conn":1}'
fleetctl apply -f "$T/empty.json" -d dev-2 --wait --timeout 240s >"$T/own.out" 2>"$T/own.err" &
W=$!
LIB_PIDS+=("$W")
lib_until 20 grep -q 'dev-2  sent' "$T/own.err" || fail "$(cat "$T/own.err")"
mqtt_pub operator -q 1 -r -t limpet1/demo/d/dev-2/state -m "{\"v\":1,\"rev\":$(last d/dev-2 .rev),\"want\":$(last d/dev-2 .rev),\"phase\":\"converged\",\"source\":\"device\",\"groups\":[\"crew\"],\"apps\":{}}"
wait $W && ok "it is waited for by its own revision" || fail "apply ended with $?: $(cat "$T/own.err")"

# --- who follows which document
plan() { fleetctl plan -f "$T/empty.json" "$@" -o json; }
say one converged 3 ',"groups":["a","b"]'
sed -i 's/.*/{"apps":[]}/' "$T/empty.json"
mqtt_pub operator -q 1 -r -t limpet1/demo/d/one/state -m '{"v":1,"rev":0,"want":0,"phase":"pending","groups":["a","b"],"apps":{}}'
check "all: every device that has reported is in it" test "$(plan -g all | jq .devices)" -ge $((N + 3))
check "all: those without another document act" test "$(plan -g all | jq -r '.targets[] | select(.device == "one") | .does')" = acts
check "all: not those that follow a group's" test "$(plan -g all | jq -r '.targets[] | select(.device == "two") | .follows + ":" + .does')" = "crew:not concerned"
fleetctl apply -f "$T/empty.json" -g b >>"$T/log/apply" 2>&1
check "all: behind a group" test "$(plan -g all | jq -r '.targets[] | select(.device == "one") | .follows')" = b
check "the first group of the settings wins" test "$(plan -g a | jq -r '.targets[] | select(.device == "one") | .follows + ":" + .does')" = a:acts
fleetctl apply -f "$T/empty.json" -g a >>"$T/log/apply" 2>&1
check "and the second one is not concerned" test "$(plan -g b | jq -r '.targets[] | select(.device == "one") | .why')" = "follows group a"
fleetctl apply -f "$T/empty.json" -d one >>"$T/log/apply" 2>&1
check "the device's own wins" test "$(plan -g a | jq -r '.targets[] | select(.device == "one") | .why')" = "has a document of its own"
fleetctl plan -f "$T/empty.json" -g a >"$T/plan"
check "the table says so" grep -qE '^one +yes +not concerned +has a document of its own' "$T/plan"

# --- plan compares with what runs
REL='{"name":"web","counter":4,"digest":"sha256:'$(printf 'a%.0s' {1..64})'","size":10}'
echo "{\"apps\":[{\"name\":\"web\",\"release\":$REL,\"sources\":[\"dir:/x\"]}]}" >"$T/web.json"
fleetctl apply -f "$T/web.json" -d two >>"$T/log/apply" 2>&1
web() { fleetctl plan -f "$T/web.json" -d two -o json | jq -r ".targets[0].$1"; }
mqtt_pub operator -q 1 -r -t limpet1/demo/d/two/state -m '{"v":1,"rev":1,"want":1,"phase":"converged","source":"device","groups":["crew"],"apps":{"web":{"state":"running","release":"'"$(jq -r '.apps[0].release.digest' "$T/web.json")"'"}}}'
check "it runs this already" test "$(web does)" = unchanged
mqtt_pub operator -q 1 -r -t limpet1/demo/d/two/state -m '{"v":1,"rev":1,"want":1,"phase":"converged","source":"device","groups":["crew"],"apps":{"web":{"state":"running","release":"sha256:bb"}}}'
check "asked for, but another one runs" test "$(web does)" = acts
mqtt_pub operator -q 1 -r -t limpet1/demo/d/two/state -m '{"v":1,"rev":0,"want":1,"phase":"rolled-back","source":"device","groups":["crew"],"err":{"kind":"rolled-back","msg":"web: bad"},"apps":{}}'
check "after a rollback the device refuses the same" test "$(web does)" = refuses
check "and why" test "$(web why)" = "rolled-back at rev 1: web: bad (apply --retry)"

# --- --retry raises a number, which goes on in later documents
fleetctl apply -f "$T/web.json" -d two --retry >>"$T/log/apply" 2>&1
check "--retry: each app's retry is the new revision" test "$(last d/two '[.rev, .apps[0].retry]')" = '[2,2]'
check "--retry: plan does not call it refused" test "$(fleetctl plan -f "$T/web.json" -d two --retry -o json | jq -r '.targets[0].does')" = acts
fleetctl apply -f "$T/web.json" -d two >>"$T/log/apply" 2>&1
check "and stays: without it the settings would be those that failed" test "$(last d/two '[.rev, .apps[0].retry]')" = '[3,2]'
check "control: without --retry there is none" test "$(last d/one '.apps')" = '[]'

# --- forget
fleetctl apply -f "$T/empty.json" -d gw-99 >"$T/typo" 2>&1
check "a device that never reported is told" grep -q 'warning: no device gw-99 has ever reported' "$T/typo"
check_rc 2 "forget wants the name once more" fleetctl forget -d gw-99 </dev/null 2>"$T/forget"
check_rc 2 "and the right one" fleetctl forget -d gw-99 --confirm gw-98 2>>"$T/forget"
check "control: it is there still" grep -qx gw-99 <(fleetctl get devices -o name)
check "forgotten" fleetctl forget -d gw-99 --confirm gw-99 2>>"$T/forget"
check_not "its row is gone" grep -qx gw-99 <(fleetctl get devices -o name)
check_not "and its document" test -n "$(mqtt_sub operator -t limpet1/demo/d/gw-99/desired -C 1 -W 1 2>/dev/null)"
check_rc 1 "what is not there cannot be forgotten" fleetctl forget -d gw-99 --confirm gw-99 2>>"$T/forget"
fleetctl forget -g crew --confirm crew >"$T/withdrawn" 2>&1
check "a group that devices are in: a signed document takes it back" test "$(last g/crew '[.withdrawn, .rev > 4, has("apps")]')" = '[true,true,false]'
check "then the next document counts" test "$(plan -g all | jq -r '.targets[] | select(.device == "three") | .follows')" = all
mqtt_pub operator -q 1 -r -t limpet1/demo/d/one/online -m '{"v":1,"on":true,"conn":9}'
fleetctl forget -d one --confirm one >"$T/withdrawn" 2>&1
check "a device that is online: its report stays" grep -qx one <(fleetctl get devices -o name)
check "and its document is withdrawn" test "$(last d/one .withdrawn)" = true
say one converged 9 ',"source":"group:crew","follows":"group:crew"'
check_rc 0 "wait after a withdrawal: for whatever it follows now" fleetctl wait one --timeout 120s >&2

# --- why there is no TLS, in words
wrong() { # NAME REGEX: of the directory $T/wrong
	FLEETCTL_DIR=$T/wrong fleetctl get devices >"$T/wrong.out" 2>&1 && rc=0 || rc=$?
	check "$1: ends with 5" test $rc = 5
	check "$1: says why" grep -qE "$2" "$T/wrong.out"
}
cp -r "$FLEETCTL_DIR" "$T/wrong"
sed -i 's/"localhost"/"127.1"/' "$T/wrong/fleet.json"
wrong "a name that is not in the certificate" 'certificate names .*DNS:localhost.*, and not "127\.1"'
sed -i "s/127.1/localhost/; s/$BROKER_PORT/$PLAIN/" "$T/wrong/fleet.json"
wrong "a port without TLS" "TLS on this port|speaks no TLS"
rm -rf "$T/wrong"
FLEETCTL_DIR=$T/wrong fleetctl init --fleet demo --broker "localhost:$BROKER_PORT" >>"$T/log/init" 2>&1
wrong "another CA" "not of this fleet's CA"
check_not "control: names are no matter there" grep -q 'certificate names' "$T/wrong.out"

# --- who is away is told at once, and its ages do not go on
mqtt_pub operator -q 1 -r -t limpet1/demo/d/two/state -m "{\"v\":1,\"ts\":$(($(date +%s) - 7200)),\"rev\":3,\"want\":3,\"phase\":\"converged\",\"since\":$(($(date +%s) - 7260)),\"apps\":{\"web\":{\"state\":\"running\",\"since\":$(($(date +%s) - 7260))}}}"
mqtt_pub operator -q 1 -r -t limpet1/demo/d/two/online -m "{\"v\":1,\"on\":false,\"conn\":2,\"ts\":$(($(date +%s) - 7200))}"
check "get devices: since when" grep -qE '^two +converged +3 +no, 2h[0-9m]* +1m' <(fleetctl get devices)
check "get apps: it was running when it was heard of last" grep -qE '^two +web +\(running\).* 1m' <(fleetctl get apps)
check "describe: its age stands still" grep -q 'was up 1m' <(fleetctl describe two)
check_rc 5 "logs: at once" timeout 60 "$BUILD/bin/fleetctl" logs two/web 2>"$T/away"
check "with the time" grep -q 'two is offline, last seen 2h' "$T/away"
check_rc 5 "logs of an id that never was" timeout 60 "$BUILD/bin/fleetctl" logs nobody/web 2>"$T/away"
check "says so" grep -q 'no device nobody has ever reported' "$T/away"

# --- what was asked, what happened before, what must be signed again
check "get manifest" test "$(fleetctl get manifest -d two | jq -c '[.rev, .apps[0].name]')" = '[3,"web"]'
check_rc 1 "of a target without one" fleetctl get manifest -d three 2>/dev/null
check "get documents" grep -qE '^device +two +3 .* 1 ' <(fleetctl get documents)
mqtt_pub operator -q 1 -r -t limpet1/demo/d/two/online -m '{"v":1,"on":true,"conn":3}'
listener limpet1/demo/d/two/cmd/events
{ cmd=$(mqtt_sub operator -t limpet1/demo/d/two/cmd/events -C 1 -W 60) &&
	mqtt_pub operator -q 1 -t "$(echo "$cmd" | jq -r .reply)" -m "{\"v\":1,\"id\":$(echo "$cmd" | jq .id),\"n\":0,\"more\":false,\"out\":\"{\\\"kind\\\":\\\"oom\\\",\\\"app\\\":\\\"web\\\",\\\"ts\\\":1785500000,\\\"msg\\\":\\\"one\\\"}\\n\"}"; } &
LIB_PIDS+=($!)
lib_until 10 listens
check "events --past asks the device" grep -qE '^2026-.*two +oom +web: one' <(fleetctl events -d two --past 5)
check_rc 2 "and only one device" fleetctl events --past 5 2>/dev/null
check_not "control: no document is of a retired key" grep -q retired <(fleetctl get documents)
fleetctl keys rotate fleet >"$T/rotate" 2>&1
check "rotate lists what must be signed again" grep -qE '^device +two .*signed by a retired key' "$T/rotate"
fleetctl apply -f "$T/web.json" -d two >>"$T/log/apply" 2>&1
check_not "signed again it is off the list" grep -qE '^device +two .*retired' <(fleetctl get documents)
check_rc 2 "-f is missing: usage" fleetctl plan -d two 2>/dev/null
check_rc 2 "no target: usage" fleetctl plan -f "$T/web.json" 2>/dev/null
check "help VERB" grep -q -- --expect-rev <(fleetctl help apply)
