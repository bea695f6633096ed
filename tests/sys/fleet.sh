#!/usr/bin/env bash
# fleetctl against a real broker and a real registry, without a device.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto mosquitto_sub mosquitto_passwd docker-registry umoci skopeo busybox openssl jq curl ss python3
lib_begin fleet

# --- init ---
GROUP=line-a init_fleet dev-1 dev-2
start_broker
start_registry
make_images
push_images

check_rc 0 "init again keeps all" fleetctl init --fleet demo --broker "localhost:$BROKER_PORT" >"$T/again"
check_not "and makes nothing new" grep -q made "$T/again"
check_rc 4 "another fleet's name is refused" fleetctl init --fleet other
check "keys are private" test "$(stat -c %a "$FLEETCTL_DIR"/keys/root-1.key "$FLEETCTL_DIR"/pki/ca.key "$FLEETCTL_DIR"/devices/dev-1/device.key | sort -u)" = 600
check "the broker's certificate holds for its names" openssl verify -purpose sslserver -verify_hostname localhost -verify_ip 127.0.0.1 \
	-CAfile "$FLEETCTL_DIR/pki/ca.pem" "$FLEETCTL_DIR/pki/broker.pem"
check "a device's certificate is a client's" openssl verify -purpose sslclient -CAfile "$FLEETCTL_DIR/pki/ca.pem" "$FLEETCTL_DIR/devices/dev-1/device.pem"
check_not "and no server's" openssl verify -purpose sslserver -CAfile "$FLEETCTL_DIR/pki/ca.pem" "$FLEETCTL_DIR/devices/dev-1/device.pem" 2>/dev/null
check_rc 1 "no device is called operator" fleetctl keys device operator

# --- words ---
check_rc 2 "an unknown verb is a usage error" fleetctl aply 2>"$T/typo"
check "and the near one is named" grep -q "Did you mean 'apply'" "$T/typo"
check_rc 2 "an unknown option too" fleetctl apply --wat
check_rc 0 "help" fleetctl apply -h >/dev/null
for v in init keys publish plan apply sign forget wait get describe events logs explain; do
	check "help of $v has examples" grep -q Examples: <(fleetctl "$v" -h)
done

# --- publish ---
check "publish from the registry" fleetctl publish "$REG/demo/web:1" --version 1.0.0
cp -r "$FLEETCTL_DIR" "$T/second" # another operator's copy of the directory
second() { FLEETCTL_DIR=$T/second fleetctl publish "$@" --no-packs -o json 2>"$T/second.said" | jq .counter; }
fleetctl publish "$REG/demo/web:2" --version 1.1.0 -o json >"$T/pub.json"
check "publish prints JSON" test "$(jq -r .counter "$T/pub.json")" = 2
digest=$(jq -r .digest "$T/pub.json")
check "the release lies beside the image" test "$(curl -fsS "$REG/v2/demo/web/blobs/$digest" | sha256sum | cut -c1-64)" = "${digest#sha256:}"
check "tied by an artifact manifest" test "$(curl -fsS -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
	"$REG/v2/demo/web/manifests/sha256-$(echo "${digest#sha256:}" | cut -c1-12).release" | jq -r '.layers[0].digest')" = "$digest"
check_rc 4 "a counter is published once" fleetctl publish "$REG/demo/web:1" --counter 2
check_rc 1 "a tag that is not there" fleetctl publish "$REG/demo/web:9"
check_rc 5 "a registry that is not there" fleetctl publish "http://127.0.0.1:1/demo/web:1"
# --- two operators who publish ---
FLEETCTL_DIR=$T/stranger fleetctl init --fleet strange --broker localhost:1 >>"$T/log/init" 2>&1
check "control: a stranger's release is put there" test "$(FLEETCTL_DIR=$T/stranger fleetctl publish "$REG/demo/web:1" --counter 90 --no-packs -o json | jq .counter)" = 90
FLEETCTL_DIR=$T/second check_rc 4 "a counter that another directory has used" fleetctl publish "$REG/demo/web:1" --counter 2 --no-packs 2>"$T/second.said"
check "the next free one is named" grep -q 'web@2 is already published, by another directory.*the next free counter is 3' "$T/second.said"
check "the next one is above those of both directories, not of strangers" test "$(second "$REG/demo/web:1")" = 3
check "control: another name counts for itself" test "$(second "$REG/demo/web:1" --name other)" = 1
check_not "all was read" grep -q fleetctl: "$T/second.said"
for list in pages no; do
	PORT=$(free_port)
	lib_run "list-$list" python3 -B "$SOURCE/tests/tool/token_registry.py" "$PORT" "$REG_PORT" "$T/list-$list" open=1 list=$list
	lib_until 10 port_open "$PORT" || die "the registry's proxy does not start"
	[ $list = no ] || { rm -r "$T/second/releases"; mkdir "$T/second/releases"; }
	check "list of tags: $list" test "$(second "http://127.0.0.1:$PORT/demo/web:1")" = "$([ $list = no ] && echo 5 || echo 4)"
done
check "pages were followed" test "$(grep -c 'tags/list?last=' "$T/list-pages")" -ge 4
check "and it is said, in one line" test "$(grep -c 'releases of other operators are not known.*405' "$T/second.said")" = 1
check "publish from a directory" fleetctl publish "dir:$T/img:hog" --name hog --version 1 --counter 7
check "its blob is in the layout" test -n "$(find "$T/img/blobs" -name "$(fleetctl get releases -o json | jq -r '.[]|select(.name=="hog").digest' | cut -c8-)")"
check "in a directory too the other operator's counter is seen" test "$(second "dir:$T/img:hog" --name hog)" = 8
check "umoci still reads the layout" umoci ls --layout "$T/img"

# a layer with other bytes than its digest says
layer=$(jq -r '.layers[0].digest' "$T/img/blobs/sha256/$(jq -r '.manifests[]|select(.annotations["org.opencontainers.image.ref.name"]=="1").digest' "$T/img/index.json" | cut -c8-)")
cp -r "$T/img" "$T/bad"
printf X | dd of="$T/bad/blobs/sha256/${layer#sha256:}" bs=1 seek=100 conv=notrunc 2>/dev/null
check_rc 6 "a damaged layer is refused" fleetctl publish "dir:$T/bad:1" --name bad
check_not "and nothing is kept of it" test -e "$FLEETCTL_DIR/releases/bad"

# what was signed says what is there
tar=$(curl -fsS "$REG/v2/demo/web/blobs/$(curl -fsS -H 'Accept: application/vnd.oci.image.manifest.v1+json' "$REG/v2/demo/web/manifests/2" | jq -r '.layers[0].digest')" | gzip -dc | tar tvf - | awk '$1 ~ /^-/ {s += $3} END {print s}')
check "unpacked bytes are those of tar" test "$(jq -r .payload "$FLEETCTL_DIR/releases/web/2.json" | base64 -d | jq '.platforms[0].unpacked_bytes')" = "$tar"

# --- plan, apply ---
cat >"$T/web.json" <<-'END'
	// comments are allowed; "//" in texts stays
	{"apps": [{"name": "web", "release": "web:1.0.0", /* block */ "env": {"URL": "http://x//y"},
	  "memory": {"max_bytes": 16777216}}]}
END
check_rc 2 "plan says that something would change" fleetctl plan -f "$T/web.json" -d dev-1 --exit-code
check "apply" fleetctl apply -f "$T/web.json" -d dev-1
mqtt_sub operator -t limpet1/demo/d/dev-1/desired -C 1 -W 60 >"$T/envelope" || true
check "it is retained, with its type" test "$(jq -r .payloadType "$T/envelope")" = application/vnd.limpet.desired.v1+json
jq -r .payload "$T/envelope" | base64 -d >"$T/payload"
check "rev 1 for dev-1" jq -e '.rev == 1 and .target.device == "dev-1" and .fleet == "demo" and .apps[0].release.counter == 1' "$T/payload" >/dev/null
check "// in a text stays" jq -e '.apps[0].env.URL == "http://x//y"' "$T/payload" >/dev/null

# the signature, by openssl: PAE of DSSE, r||s as DER
verify() { # ENVELOPE KEY
	jq -r .payload "$1" | base64 -d >"$T/p"
	local t; t=$(jq -r .payloadType "$1")
	{ printf 'DSSEv1 %d %s %d ' ${#t} "$t" "$(stat -c %s "$T/p")"; cat "$T/p"; } >"$T/pae"
	local raw; raw=$(jq -r '.signatures[0].sig' "$1" | base64 -d | od -An -v -tx1 | tr -d ' \n')
	printf 'asn1=SEQUENCE:s\n[s]\nr=INTEGER:0x%s\ns=INTEGER:0x%s\n' "${raw:0:64}" "${raw:64}" >"$T/sig.cnf"
	openssl asn1parse -genconf "$T/sig.cnf" -noout -out "$T/sig.der" >/dev/null
	openssl ec -in "$2" -pubout -out "$T/pub.pem" 2>/dev/null
	openssl dgst -sha256 -verify "$T/pub.pem" -signature "$T/sig.der" "$T/pae" >/dev/null
}
check "openssl verifies the fleet key's signature" verify "$T/envelope" "$FLEETCTL_DIR/keys/fleet-1.key"
check_not "and not with another key" verify "$T/envelope" "$FLEETCTL_DIR/keys/release-1.key"
check "openssl verifies a release" verify "$FLEETCTL_DIR/releases/web/2.json" "$FLEETCTL_DIR/keys/release-1.key"

check_rc 0 "the same again changes nothing" fleetctl plan -f "$T/web.json" -d dev-1 --exit-code
sed -i 's/web:1.0.0/web:latest/; s/16777216/25165824/' "$T/web.json"
fleetctl plan -f "$T/web.json" -d dev-1 >"$T/plan"
check "plan names the releases" grep -q 'web@1 (1.0.0) -> web@2 (1.1.0)' "$T/plan"
check "and the field" grep -q 'memory.max_bytes: 16777216 -> 25165824' "$T/plan"
check "plan -o json" test "$(fleetctl plan -f "$T/web.json" -d dev-1 -o json | jq -r '.apps[0].action')" = change
check "dry run" test "$(fleetctl apply -f "$T/web.json" -d dev-1 --dry-run 2>/dev/null | jq .rev)" = 2
check_rc 4 "--expect-rev" fleetctl apply -f "$T/web.json" -d dev-1 --expect-rev 0
check "still rev 1" test "$(mqtt_sub operator -t limpet1/demo/d/dev-1/desired -C 1 -W 60 | jq -r .payload | base64 -d | jq .rev)" = 1
for bad in '{"apps":[{"name":"web","release":"web@1","memory":{"max_byte":1}}]}' '{"apps":[{"name":"Web","release":"web@1"}]}' \
	'{"apps":[{"name":"web","release":"nope:1"}]}' '{"apps":[],"rollout":{"salt":"x","slots":1}}' '{"apps":[]} x' \
	'{"apps":[{"name":"web","release":"web@1","network":{"mode":"host","ports":[{"host":1,"container":1}]}}]}'; do
	echo "$bad" >"$T/bad.json"
	check_rc 1 "refused: $bad" fleetctl apply -f "$T/bad.json" -d dev-1
done
echo '{"apps":[{"name":"web","release":"web@1","memory":{"max_byte":1}}]}' >"$T/bad.json"
fleetctl apply -f "$T/bad.json" -d dev-1 2>"$T/why" || true
check "with the field's path" grep -q 'apps\[0\].memory' "$T/why"
check "and the field that is near" grep -q 'max_byte: unknown field; did you mean "max_bytes"?' "$T/why"
why() { fleetctl apply -f "$T/bad.json" -d dev-1 2>&1 || true; }
echo '{"apps":[{"name":"web","image":"web@1"}]}' >"$T/bad.json"
check "what is written otherwise is told before what is missed" grep -q 'image: unknown field; known: name, release' <(why)
printf '{"apps": [\n  {"name": "web",\n   "release": oops}]}\n' >"$T/bad.json"
check "a fault of JSON has its line and column" grep -q 'JSON at line 3, column 15' <(why)
echo '{"apps":[{"name":"web","release":"web@1","capabilities":["NET"]}]}' >"$T/bad.json"
check "a list of words is whole" grep -q 'AUDIT_WRITE, SETFCAP' <(why)
echo '{"apps":[{"name":"web","release":"web@1","memory":{"max_bytes":"64Mi"},"health":{"tcp":{"port":80},"interval_ms":"5m"},"mounts":[{"type":"tmpfs","target":"/t","size_bytes":"16M"}]}],"update":{"probation_ms":"90s"}}' >"$T/unit.json"
check "units become numbers" test "$(fleetctl apply -f "$T/unit.json" -d dev-1 --dry-run 2>/dev/null | jq -c '[.apps[0].memory.max_bytes, .apps[0].health.interval_ms, .apps[0].mounts[0].size_bytes, .update.probation_ms]')" = '[67108864,300000,16777216,90000]'
sed 's/64Mi/64Xi/' "$T/unit.json" >"$T/bad.json"
check_rc 1 "control: not every word is a unit" fleetctl apply -f "$T/bad.json" -d dev-1 --dry-run

# a second operator who publishes between our write and our reading
listener limpet1/demo/d/dev-1/desired
mqtt_sub operator -R -t limpet1/demo/d/dev-1/desired -C 1 -W 60 >/dev/null && mqtt_pub operator -q 1 -r -t limpet1/demo/d/dev-1/desired -m '{}' &
LIB_PIDS+=($!)
lib_until 10 listens
check_rc 4 "a lost race is a conflict" fleetctl apply -f "$T/web.json" -d dev-1 --settle 5s
check "what is not ours is overwritten" fleetctl apply -f "$T/web.json" -d dev-1

# nobody answers
check_rc 124 "--wait ends at its timeout" fleetctl apply -f "$T/web.json" -d dev-1 --wait --timeout 4s
check_rc 5 "logs of a device that is not there" fleetctl logs dev-1/web

# --- a device's answers ---
report() { # REV PHASE [MORE]
	mqtt_pub dev-1 -q 1 -r -t limpet1/demo/d/dev-1/state -m "{\"v\":1,\"ts\":1,\"seq\":1,\"rev\":${4:-$1},\"want\":$1,\"phase\":\"$2\",\"since\":1785499000,\"source\":\"device\",\"agent\":\"0.1.0\",\"groups\":[\"line-a\"],\"apps\":{\"web\":{\"state\":\"running\",\"version\":\"1.1.0\",\"mem\":11744051,\"limit\":25165824,\"peak\":13631488,\"restarts\":3,\"oom\":2,\"health\":\"ok\",\"since\":1785499000,\"pid\":812}}${3:-}}"
}
rev() { mqtt_sub operator -t limpet1/demo/d/dev-1/desired -C 1 -W 60 | jq -r .payload | base64 -d | jq .rev; }
mqtt_pub dev-1 -q 1 -r -t limpet1/demo/d/dev-1/online -m '{"v":1,"on":true,"conn":5,"ts":1785499000}'
next=$(($(rev) + 1))
asked() { [ "$(rev)" = "$next" ]; }
: >"$T/progress"
{ lib_until 20 asked; report $next downloading; lib_until 20 grep -q downloading "$T/progress"; report $next converged; } &
LIB_PIDS+=($!)
check_rc 0 "--wait until converged" fleetctl apply -f "$T/web.json" -d dev-1 --wait --timeout 240s 2>"$T/progress"
check "progress in lines" grep -q downloading "$T/progress"
check_not "no cursor tricks without a terminal" grep -q $'\r' "$T/progress"
next=$((next + 1))
{ lib_until 20 asked; report $next converged; } &
LIB_PIDS+=($!)
check "--wait -o json is one document" test "$(fleetctl apply -f "$T/web.json" -d dev-1 --wait -o json --timeout 240s 2>/dev/null | jq -c '[.result, .devices[0].phase]')" = '["done","converged"]'
# why it stands still, while it stands: each reason once, then the wait ends late
next=$((next + 1))
stuck() { report $next "$1" ",\"err\":{\"kind\":\"network\",\"app\":\"web\",\"msg\":\"$2\"}"; }
fleetctl apply -f "$T/web.json" -d dev-1 --wait --timeout 240s 2>"$T/why" &
AP=$!
LIB_PIDS+=("$AP")
said() { grep -qF "$1" "$T/why"; }
lib_until 10 said "sent" || fail "apply does not wait"
mqtt_pub dev-1 -q 1 -r -t limpet1/demo/d/dev-1/state -m "{\"v\":1,\"ts\":1,\"rev\":$((next - 1)),\"want\":$((next - 1)),\"phase\":\"converged\",\"source\":\"device\",\"err\":null,\"denied\":{\"at\":1785499000,\"msg\":\"desired: expired\"},
	\"time\":{\"now\":1785499000,\"clock\":86400,\"synced\":false,\"floor\":1785499000,\"from\":\"rev 7 of device\"},\"apps\":{}}"
check "a refusal shows while it waits" lib_until 10 said "dev-1: denied: desired: expired"
check "get devices has it as the reason" grep -q 'dev-1.*denied: desired: expired' <(fleetctl get devices)
fleetctl describe dev-1 >"$T/described"
check "describe has it" grep -q '^denied .* ago: desired: expired' "$T/described"
check "and a clock that nobody has set" grep -q '^time .*takes 2026-07-31T.* its clock is not synchronised and says 1970-01-02T00:00:00Z' "$T/described"
check "and where the bound comes from" grep -q 'not before 2026-07-31T.*, by rev 7 of device' "$T/described"
stuck downloading "lookup regstry.lan: no such host"
check "the reason shows while it waits" lib_until 10 said "dev-1: web: lookup regstry.lan: no such host"
stuck downloading "lookup regstry.lan: no such host"
stuck applying "waits for /dev/ttyUSB0"
check "the next one too" lib_until 10 said "dev-1: web: waits for /dev/ttyUSB0"
check "each once" test "$(grep -c 'dev-1: ' "$T/why")" = 3
report $next converged
wait $AP || fail "apply --wait ends with $?"
check_not "control: a clock that is right is not spoken of" grep -qE '^(time|denied) ' <(fleetctl describe dev-1)
next=$((next + 1))
{ lib_until 20 asked; report $next rolled-back ',"err":{"kind":"timeout","msg":"health: /healthz answers 404","app":"web"}' $((next - 1)); } &
LIB_PIDS+=($!)
check_rc 3 "--wait ends with 3 when it was rolled back" fleetctl apply -f "$T/web.json" -d dev-1 --wait --timeout 240s 2>"$T/why"
check "with the reason" grep -q '/healthz answers 404' "$T/why"
check_rc 3 "wait says the same" fleetctl wait dev-1 --timeout 120s
check_rc 0 "wait --for" fleetctl wait dev-1 --for phase=rolled-back --timeout 120s
for what in devices apps trust releases; do
	check "get $what -o json" jq -e 'length > 0' <(fleetctl get $what -o json) >/dev/null
	check "get $what: at most 100 columns" test "$(fleetctl get $what | awk '{if (length > m) m = length} END {print m}')" -le 100
done
check "get devices says online" test "$(fleetctl get devices -o json | jq -r '.[0].online')" = true
check "get -o name" test "$(fleetctl get devices -o name)" = dev-1
check "get -g" test "$(fleetctl get devices -g nobody -o json | jq length)" = 0
check "describe" grep -q 'oom 2' <(fleetctl describe dev-1)
check_not "no colours without a terminal" grep -q $'\033' <(fleetctl get devices)
# a group: slots decide who acts
echo '{"apps":[],"rollout":{"salt":"s","slots":10000}}' >"$T/group.json"
mqtt_pub operator -q 1 -r -t limpet1/demo/d/dev-1/desired -n
check "a group's device acts when its slot is open" test "$(fleetctl plan -f "$T/group.json" -g line-a -o json | jq .acting)" = 1
sed -i 's/10000/0/' "$T/group.json"
check "and not when it is closed" test "$(fleetctl plan -f "$T/group.json" -g line-a -o json | jq .acting)" = 0
check_rc 0 "waiting for nobody ends" fleetctl apply -f "$T/group.json" -g line-a --wait --timeout 120s
fleetctl apply -f "$T/web.json" -d dev-1 >>"$T/log/apply"
listener limpet1/demo/d/+/event
fleetctl events -f -n 1 --timeout 120s -o json >"$T/events" &
EV=$!
LIB_PIDS+=("$EV")
lib_until 10 listens
mqtt_pub dev-1 -q 1 -t limpet1/demo/d/dev-1/event -m '{"v":1,"ts":1785500000,"seq":1,"kind":"oom","app":"web","msg":"killed at 12.0M of 12.0M"}'
wait $EV || fail "events ends with $?"
check "events -o json" test "$(jq -r .kind "$T/events")" = oom
# a device whose certificate was stolen drives no terminal: escapes, C1, DEL, marks of direction, lines that are not ours
mqtt_pub dev-2 -q 1 -r -t limpet1/demo/d/dev-2/online -m '{"v":1,"on":true,"conn":5,"ts":1785499000,"why":"\u001b[2J"}'
mqtt_pub dev-2 -q 1 -r -t limpet1/demo/d/dev-2/state -m '{"v":1,"rev":1,"want":1,"phase":"\u001b]0;owned\u0007","agent":"\u009b2J\u007f","groups":["x"],"host":{"arch":"\u001bc"},
	"err":{"kind":"\u202ekind","msg":"gone\u001b[2J\u2066\ndev-1  converged\rforged"},"apps":{"web":{"state":"\u001b[31m","version":"\u009b","health":"\u200f","last_exit":{"code":1,"reason":"\u0085"}}}}'
check "control: the broker has them" test "$(mqtt_sub operator -t limpet1/demo/d/dev-2/state -C 1 -W 60 | grep -o '\\u001b' | wc -l)" = 4
tame() { if LC_ALL=C grep -qP '[^\t\n\x20-\x7e]' "$1"; then LC_ALL=C cat -v "$1"; return 1; fi; }
for v in "get devices" "get devices -o wide" "get devices -o json" "get apps" "get apps -o json" "describe dev-2" "describe dev-2 -o json"; do
	# shellcheck disable=SC2086
	fleetctl $v >"$T/hostile" 2>&1
	check "$v: nothing drives the terminal" tame "$T/hostile"
	check "$v: it is there" grep -qE 'owned|2J|31m|health' "$T/hostile"
done
check "no line is forged" test "$(fleetctl get devices | grep -c '^dev-1')" = 1
check "JSON says it whole" test "$(fleetctl get devices -d dev-2 -o json | jq -r '.[0].state.agent' | od -An -tx1 | tr -d ' ')" = c29b324a7f0a
for format in table json; do
	listener limpet1/demo/d/+/event
	fleetctl events -n 1 --timeout 120s -o $format >"$T/hostile" 2>/dev/null &
	EV=$!
	LIB_PIDS+=("$EV")
	lib_until 10 listens
	mqtt_pub dev-2 -q 1 -t limpet1/demo/d/dev-2/event -m '{"v":1,"ts":1785500000,"seq":1,"kind":"\u001b]0;k\u0007","app":"\u009bapp","msg":"\u202e2J\u001b[2J\nforged"}'
	wait $EV || fail "events ends with $?"
	check "events, $format: nothing drives the terminal" tame "$T/hostile"
	check "events, $format: one line" test "$(grep -c 2J "$T/hostile")" = 1
done
listener limpet1/demo/d/dev-2/cmd/+
{ cmd=$(mqtt_sub dev-2 -t limpet1/demo/d/dev-2/cmd/+ -C 1 -W 60) &&
	mqtt_pub dev-2 -q 1 -t "$(echo "$cmd" | jq -r .reply)" -m "{\"v\":1,\"id\":$(echo "$cmd" | jq .id),\"n\":0,\"more\":false,\"out\":\"one\\u001b[2J\\n\\ttwo\\u009b\\u202e\\n\"}"; } &
LIB_PIDS+=($!)
lib_until 10 listens
check "logs: clean, with their lines" test "$(fleetctl logs dev-2/web | od -An -c | tr -d ' \n')" = 'one?[2J\n\ttwo??\n'
mqtt_pub dev-2 -q 1 -r -t limpet1/demo/d/dev-2/state -n
mqtt_pub dev-2 -q 1 -r -t limpet1/demo/d/dev-2/online -n
# logs: a device's part is played by mosquitto's own tools
listener limpet1/demo/d/dev-1/cmd/+
{ cmd=$(mqtt_sub dev-1 -t limpet1/demo/d/dev-1/cmd/+ -C 1 -W 60) &&
	mqtt_pub dev-1 -q 1 -t "$(echo "$cmd" | jq -r .reply)" -m "{\"v\":1,\"id\":$(echo "$cmd" | jq .id),\"n\":0,\"more\":false,\"out\":\"heartbeat 1\\n\"}"; } &
LIB_PIDS+=($!)
lib_until 10 listens
check "logs" test "$(fleetctl logs dev-1/web -n 5)" = "heartbeat 1"

# --- the shipped ACL ---
D=limpet1/demo/d/dev-1
got() { [ -n "$(mqtt_sub "$1" -t "$2" -C 1 -W 3 2>/dev/null)" ]; }
check "a device reads its own desired state" lib_until 10 got dev-1 $D/desired
check_not "and no other device's" got dev-2 $D/desired
check_not "nor its report" got dev-2 $D/state
check "the operator does" lib_until 10 got operator $D/state
mqtt_pub operator -q 1 -r -t limpet1/demo/trust/1 -m x
mqtt_pub operator -q 1 -r -t limpet1/demo/g/line-a/desired -m x
check "devices read trust" lib_until 10 got dev-2 limpet1/demo/trust/1
check "and groups" lib_until 10 got dev-2 limpet1/demo/g/line-a/desired
mqtt_pub operator -q 1 -r -t limpet1/demo/g/line-a/desired -n
mqtt_pub dev-2 -q 1 -r -t $D/state -m foreign 2>/dev/null || true
mqtt_pub dev-2 -q 1 -r -t limpet1/demo/d/dev-2/state -m '{"own":1}'
check "a device writes its own report" lib_until 10 got operator limpet1/demo/d/dev-2/state
check_not "and no other device's" grep -q foreign <(mqtt_sub operator -t $D/state -C 1 -W 2)
mqtt_pub dev-2 -q 1 -r -t limpet1/demo/d/dev-2/desired -m forged 2>/dev/null || true
check_not "nor its own desired state" got operator limpet1/demo/d/dev-2/desired
mqtt_pub dev-2 -q 1 -r -t limpet1/demo/trust/1 -m forged 2>/dev/null || true
check_not "nor trust" grep -q forged <(mqtt_sub operator -t limpet1/demo/trust/1 -C 1 -W 2)
check_not "nobody without a certificate" timeout 5 mosquitto_sub -i nobody -h localhost -p "$BROKER_PORT" --cafile "$FLEETCTL_DIR/pki/ca.pem" -t '#' -C 1 -W 2 2>/dev/null
mqtt_pub operator -q 1 -r -t limpet1/demo/trust/1 -n

# --- the dashboard's listener: WebSockets, password, looks only ---
viewer() { python3 "$SOURCE/tests/sys/viewer.py" "$WS_PORT" "$FLEETCTL_DIR/pki/ca.pem" "$@" 2>/dev/null; }
check "the viewer's password" viewer viewer viewer-secret connect
check_not "and no other" viewer viewer wrong connect
check_not "nobody else" viewer operator viewer-secret connect
check "the viewer reads reports" test -n "$(viewer viewer viewer-secret read $D/state)"
before=$(mqtt_sub operator -t $D/desired -C 1 -W 60 | sha256sum)
viewer viewer viewer-secret write $D/desired || true
check "and writes nothing" test "$(mqtt_sub operator -t $D/desired -C 1 -W 60 | sha256sum)" = "$before"

# --- keys ---
check "rotate the fleet key" fleetctl keys rotate fleet
check "trust 2 is on the broker" test "$(mqtt_sub operator -t limpet1/demo/trust/2 -C 1 -W 60 | jq -r .payloadType)" = application/vnd.limpet.trust.v1+json
check_rc 0 "what the retired key signed is still read" fleetctl plan -f "$T/web.json" -d dev-1 --exit-code 2>"$T/lost"
check_not "control: nothing is missed" grep -q "gave no document" "$T/lost"
check "apply signs with the new key" fleetctl apply -f "$T/web.json" -d dev-1
mqtt_sub operator -t limpet1/demo/d/dev-1/desired -C 1 -W 60 >"$T/envelope"
check "openssl says so" verify "$T/envelope" "$FLEETCTL_DIR/keys/fleet-2.key"
check "rotate root: old and new sign" fleetctl keys rotate root
check "two signatures" test "$(jq '.signatures|length' "$FLEETCTL_DIR/trust/3.json")" = 2
mv "$FLEETCTL_DIR/keys/fleet-2.key" "$T/"
check_rc 6 "a missing key is a refusal" fleetctl apply -f "$T/web.json" -d dev-1
mv "$T/fleet-2.key" "$FLEETCTL_DIR/keys/"
next=$(($(rev) + 1))
mqtt_pub operator -q 1 -r -t limpet1/demo/d/dev-1/desired -n
mqtt_pub dev-1 -q 1 -r -t limpet1/demo/d/dev-1/state -n
fleetctl plan -f "$T/web.json" -d dev-1 >/dev/null 2>"$T/lost"
check "a document that the broker lost is missed" grep -q "warning: the broker gave no document for dev-1, though this directory signed rev $((next - 1)) for it" "$T/lost"
check "revisions rise though the broker forgot them" test "$(fleetctl plan -f "$T/web.json" -d dev-1 -o json | jq .rev)" = $next

# --- the broker goes ---
lib_stop "$BROKER_PID"
check_rc 5 "no broker" fleetctl get devices
