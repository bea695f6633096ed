#!/usr/bin/env bash
# What must be refused: each bad document with its reason, nothing touched, the app that runs goes on with the same process.
# Positive control: the same document, made right, is accepted at the end.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto docker-registry umoci skopeo jq openssl python3
lib_begin agent_refuse
DEV=refuse-$$ # cgroups bear its name: two runs beside each other must not end each other's
start_fleet $DEV
fleetctl publish "$REG/demo/web:1" >>"$T/log/publish"
fleetctl publish --no-packs "$REG/demo/web:2" >>"$T/log/publish"
start_agent $DEV
TOPIC=limpet1/demo/d/$DEV/desired
KEYS=$FLEETCTL_DIR/keys
FORGE=$SOURCE/tests/tool/forge.py

cat >"$T/web-1.json" <<-END
	{"apps": [{"name": "web", "release": "web:1", "memory": {"max_bytes": 16777216},
	  "health": {"http": {"port": 8080, "path": "/healthz"}, "interval_ms": 300, "start_grace_ms": 500}}],
	 "update": {"probation_ms": 500}}
END
fleetctl apply -f "$T/web-1.json" -d $DEV --wait --timeout 240s >"$T/log/apply" 2>&1 || die "apply web:1: $(cat "$T/log/apply")"

# The document that runs, as JSON, and as the base of all forgeries. rev 1 is taken.
mqtt_sub operator -t "$TOPIC" -C 1 -W 60 >"$T/good.envelope" || die "no retained document"
jq -r .payload "$T/good.envelope" | base64 -d >"$T/good.json"
doc() { jq -c "$@" "$T/good.json"; }
sign() { "$FORGE" desired "${1:-$KEYS/fleet-1.key}"; }
send() { mqtt_pub operator -t "$TOPIC" -q 1 -r -f "$1"; }
pid() { { agentctl $DEV ps -o json || true; } | jq -r .web.pid; }
rev() { agentctl $DEV status -o json 2>/dev/null | jq -r .rev; }
acts_on() { [ "$(rev)" = "$1" ]; }
told() { agentctl $DEV events -n 3 | grep -qiE "$1"; }

PID=$(pid)
REV=1
# refused NAME REASON < envelope: sent, refused with this reason in the newest events, nothing touched
refused() {
	cat >"$T/bad"
	send "$T/bad"
	if lib_until 5 told "$2"; then ok "$1"; else fail "$1: no \"$2\" in: $(agentctl $DEV events -n 3)"; fi
	[ "$(pid)" = "$PID" ] || fail "$1: the app was touched"
	acts_on $REV || fail "$1: acts on rev $(rev)"
}

doc '.rev=2' | "$FORGE" desired | refused "unsigned" "envelope|signature"
openssl ecparam -name prime256v1 -genkey -noout -out "$T/foreign.key" 2>/dev/null
doc '.rev=2' | sign "$T/foreign.key" | refused "signed by a foreign key" "denied.*signature"
doc '.rev=2 | .apps[0].name="x"' | sign "$KEYS/release-1.key" | refused "signed by the release key" "denied.*signature"
doc '.rev=2' | "$FORGE" release "$KEYS/fleet-1.key" | refused "signed as another kind of document" "denied"
doc '.rev=2 | .target={"device":"dev-2"}' | sign | refused "signed for another device" "target.device"
doc '.rev=2 | .fleet="other"' | sign | refused "signed for another fleet" "fleet"
doc '.rev=2 | .target={"group":"line-a"}' | sign | refused "a group's document on the device's topic" "target"
doc '.apps[0].memory.max_bytes=8388608' | sign | refused "same rev with other content" "rev: another document"
# signed, ours and new, but not to be read: a verdict, in the state too
doc '.rev=2 | .colour="red"' | sign | refused "unknown field" "rejected.*colour: unknown field"
state() { agentctl $DEV status -o json 2>/dev/null | jq -r "$1"; }
[ "$(state '.phase,.want,.err.kind,.err.msg' | tr '\n' ' ')" = 'rejected 2 rejected colour: unknown field ' ] &&
	ok "the state says so, with the field's path" || fail "state after an unknown field: $(state '.phase,.want,.err')"
doc '.rev=3 | .apps[0].memory.max_byte=1' | sign | refused "unknown field inside" "rejected.*memory.max_byte: unknown field"
doc '.rev=4 | .apps[0].release.digest="sha256:AB"' | sign | refused "bad digest" "rejected.*release.digest"
doc '.rev=5 | .apps[0].name="../x"' | sign | refused "name that is a path" "rejected.*apps.0..name"
doc '.rev=6' | sed 's/"rev":6/"rev":6,"rev":7/' | sign | refused "duplicate key" "duplicate key"
doc '.rev=6' | sed 's/"rev":6/"rev":6.5/' | sign | refused "a fraction" "integers"
python3 -c 'print("["*60000 + "]"*1)' >"$T/deep"; refused "JSON bomb: depth" "too deep" <"$T/deep"
python3 -c 'print("["+"1,"*30000+"1]")' >"$T/wide"; refused "JSON bomb: values" "too many values" <"$T/wide"
python3 -c 'print("[\"" + "a"*90000 + "\"]")' >"$T/large"; refused "too large" "at most 65536" <"$T/large"
doc '.rev=7 | .expires=1000000000 | .issued=999999999' | sign | refused "expired" "rejected.*expires"
doc '.rev=8 | .apps[0].memory.max_bytes=1099511627776' | sign | refused "ceiling above the device's memory" "rejected.*memory.max_bytes"
doc '.rev=9 | .apps[0].capabilities=["SYS_ADMIN"]' | sign | refused "capability that opens the host" "SYS_ADMIN"
doc '.rev=10 | .apps[0].read_only=false' | sign | refused "writing to the store's files" "rejected.*read_only"
doc '.rev=11 | .schema="limpet.desired/9"' | sign | refused "schema of the future" "rejected.*limpet.desired/9"

# replays: an older document, signed and once good
doc '.rev=12 | .apps[0].memory.max_bytes=20971520' | sign >"$T/newer"
doc '.rev=1' | sign >"$T/older"
send "$T/newer"
lib_until 20 bash -c "[ \"\$('$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' status -o json | jq -r '.rev,.phase' | tr '\n' ' ')\" = '12 converged ' ]" || fail "rev 12 does not converge"
PID=$(pid)
REV=12
refused "replayed older rev" "rev: 12 was accepted before" <"$T/older"

# what only shows on the way: late refusals, still nothing touched
late() { # NAME REASON < envelope
	cat >"$T/bad"
	send "$T/bad"
	if lib_until 15 told "rejected.*($2)"; then ok "$1"; else fail "$1: no \"$2\" in: $(agentctl $DEV events -n 4)"; fi
	[ "$(pid)" = "$PID" ] || fail "$1: the app was touched"
	lib_until 3 acts_on $REV || fail "$1: acts on rev $(rev)"
}
REL=$FLEETCTL_DIR/releases/web/2.json
jq -r .payload "$REL" | base64 -d >"$T/rel.json"
RELKEY=$KEYS/release-1.key
# forged release documents, put where the agent looks for them
offer() { # < payload; KEY -> digest size of the envelope as a blob in the registry
	"$FORGE" release "$1" >"$T/rel.env"
	local d size
	d=sha256:$(sha256sum "$T/rel.env" | cut -d' ' -f1)
	size=$(stat -c %s "$T/rel.env")
	local at
	at=$(curl -fsS -X POST -o /dev/null -D - "$REG/v2/demo/web/blobs/uploads/" | tr -d '\r' | awk 'tolower($1) == "location:" {print $2}')
	curl -fsS -X PUT -H 'Content-Type: application/octet-stream' --data-binary @"$T/rel.env" "$at&digest=$d" -o /dev/null
	echo "$d $size"
}
with_release() { # REV DIGEST SIZE
	doc --argjson rev "$1" --arg d "$2" --argjson s "$3" --argjson n "$(jq .counter "$T/rel.json")" \
		'.rev=$rev | .apps[0].release.digest=$d | .apps[0].release.size=$s | .apps[0].release.counter=$n | .apps[0].memory.max_bytes=20971520' | sign
}
# shellcheck disable=SC2046
{
	with_release 14 $(jq '.platforms[0].architecture="riscv64"' "$T/rel.json" | offer "$RELKEY") | late "unknown platform" "no image for linux"
	with_release 15 $(offer "$KEYS/fleet-1.key" <"$T/rel.json") | late "release signed by the fleet key" "signature"
	with_release 16 $(jq '.name="other"' "$T/rel.json" | offer "$RELKEY") | late "release of another name" "other"
	with_release 17 $(jq '.counter=77' "$T/rel.json" | offer "$RELKEY") | late "release with another counter" "77"
	with_release 18 $(jq '.platforms[0].manifest.digest="sha256:'"$(printf '%064d' 0)"'"' "$T/rel.json" | offer "$RELKEY") | late "image that is nowhere" "not|404"
}
# the registry gives other bytes than the digest says
LAYER=$(curl -fsS -H 'Accept: application/vnd.oci.image.manifest.v1+json' "$REG/v2/demo/web/manifests/2" | jq -r '.layers[-1].digest')
BLOB=$(find "$T/registry" -path "*/${LAYER#sha256:}/data")
cp "$BLOB" "$T/blob"
head -c "$(stat -c %s "$BLOB")" /dev/urandom >"$T/other" && cp "$T/other" "$BLOB"
# shellcheck disable=SC2046
with_release 19 $(offer "$RELKEY" <"$T/rel.json") >"$T/right"
send "$T/right"
tries() { # what was signed is right: it is told and tried again, by the same document, for as long as it takes
	ctl=$("$BUILD/bin/agentctl" --run-dir "$T/$DEV/run" status -o json)
	jq -e '.rev == 19 and .phase == "downloading" and .err.kind == "source" and .err.next > 0 and (.err.msg | test("sha256:"))' <<<"$ctl"
}
lib_until 15 tries && ok "image with other bytes: $(jq -r .err.msg <<<"$ctl")" || fail "other bytes: $(agentctl $DEV status)"
[ "$(pid)" = "$PID" ] || fail "other bytes: the app was touched"
agentctl $DEV plan | grep -q "last try for web: .*; next try in" && ok "agentctl plan says why" || fail "plan: $(agentctl $DEV plan)"
says_next() { { agentctl $DEV status || true; } | tr -d '\n' | grep -q "next *try in"; }
lib_until 10 says_next || fail "status: $(agentctl $DEV status)"
cp "$T/blob" "$BLOB"

# the control: the same document converges when the bytes are right again
lib_until 60 bash -c "[ \"\$('$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' status -o json | jq -r '.rev,.phase,.err' | tr '\n' ' ')\" = '19 converged null ' ]" &&
	ok "control: the bytes are right again, and it converges" || fail "control: $(agentctl $DEV events -n 5)"
# below the floor now: release 1 was good, release 2 is
doc '.rev=21 | .apps[0].memory.max_bytes=20971520' | sign >"$T/bad"
send "$T/bad"
lib_until 5 told "rejected.*release.counter" && ok "release below the counter floor" || fail "floor: $(agentctl $DEV events -n 3)"
# an empty message is no opinion
PID=$(pid)
mqtt_pub operator -t "$TOPIC" -q 1 -r -n
sleep 1
[ "$(pid)" = "$PID" ] && ok "an empty message stops nothing" || fail "an empty message touched the app"
