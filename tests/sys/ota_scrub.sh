#!/usr/bin/env bash
# Bits rot. The agent reads its store when it has nothing to do: a changed byte of an object, a config or a blob is found, told, fetched again
# and put in its place while the app runs on, and nothing else is touched. Without a network the app runs on and is mended later.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto docker-registry umoci skopeo jq python3 curl
lib_begin ota_scrub
DEV=scrub-$$
start_fleet $DEV
AGENTD=$FLEETCTL_DIR/devices/$DEV/agentd.json
STATE=$T/$DEV/state
STORE=$STATE/store
jq '.scrub = {"interval_s": 1, "bytes": 1073741824}' "$AGENTD" >"$T/agentd.json" && cp "$T/agentd.json" "$AGENTD"
at_least() { [ "$(field "$1")" -ge "$2" ]; }
pid() { agentctl $DEV ps -o json 2>/dev/null | jq -r ".web.pid // empty"; }
objects() { find "$STORE/objects" -type f -printf '%P %i\n' | sort; }
flip() { printf x | dd of="$1" bs=1 seek=20 conv=notrunc status=none; }
whole() { "$SOURCE/tests/tool/hash_store.sh" "$STORE"; }
rounds() { local n; n=$(($(field scrub.rounds) + 2)); lib_until 30 at_least scrub.rounds $n || fail "no more rounds"; }

for v in 1 2; do fleetctl publish "$REG/demo/web:$v" --version $v >>"$T/log/publish"; done
start_agent $DEV
for v in 1 2; do # the store holds two images that share objects; 2 runs, 1 is the set before
	cat >"$T/m$v.json" <<-END
		{"apps": [{"name": "web", "release": "web:$v", "memory": {"max_bytes": 16777216}, "network": {"mode": "host"}, "env": {"LISTEN": "$(free_port)"}}],
		 "update": {"probation_ms": 300}}
	END
done
PORT=$(jq -r '.apps[0].env.LISTEN' "$T/m2.json")
fleetctl apply -f "$T/m1.json" -d $DEV --wait --timeout 240s >"$T/log/apply" 2>&1 || die "apply web:1: $(cat "$T/log/apply")"
fleetctl apply -f "$T/m2.json" -d $DEV --wait --timeout 240s >"$T/log/apply" 2>&1 || die "apply web:2: $(cat "$T/log/apply")"
converged 2 || die "not converged"
PID=$(pid)
[ "$(find "$STORE/images" -mindepth 1 -maxdepth 1 | wc -l)" = 2 ] && ok "two images" || fail "not two images"
rounds
is scrub.bad 0 && ok "two rounds, nothing bad" || fail "bad: $(field scrub.last)"

# --- an object of the image that runs
whole >/dev/null && ok "the store is whole" || fail "whole: $(whole)"
DATA=$(find "$STORE/images" -path '*/srv/data' -size +90k)
INODE=$(stat -c %i "$DATA")
OBJ=$(find "$STORE/objects" -inum "$INODE")
SUM=$(curl -sf "http://127.0.0.1:$PORT/data" | sha256sum)
objects >"$T/before"
flip "$OBJ"
[ "$(curl -sf "http://127.0.0.1:$PORT/data" | sha256sum)" != "$SUM" ] && ok "a byte is wrong" || fail "the byte is not wrong"
right() { [ "$(curl -sf "http://127.0.0.1:$PORT/data" | sha256sum)" = "$SUM" ]; }
lib_until 30 right && ok "found and put right under the running app" || fail "not put right: $(field scrub.last)"
lib_until 10 whole && ok "every name holds what it names" || fail "$(whole)"
[ "$(pid)" = "$PID" ] && ok "the app was not touched" || fail "the app has another pid"
objects >"$T/after"
CHANGED=$(comm -13 "$T/before" "$T/after" | wc -l)
[ "$CHANGED" = 1 ] && [ "$(stat -c %h "$OBJ")" = 2 ] && ok "one object is new, the others are untouched" || fail "$CHANGED new objects: $(diff "$T/before" "$T/after")"
agentctl $DEV events -n 50 | grep -q "scrub.*objects/.*$(basename "$OBJ" | cut -c1-20)" && ok "the event names it" || fail "no event: $(agentctl $DEV events -n 50)"
agentctl $DEV status | grep -q '^! store: 1 damaged' && ok "agentctl status says so" || fail "status: $(agentctl $DEV status)"
[ -z "$(find "$STORE/images" -name damaged)" ] && ok "no mark is left" || fail "a mark is left"

# --- an object that both images share, and no network: the app runs on, an image that is marked is not started
BIG=$(find "$STORE/objects" -type f -links 3 -size -10k | head -n 1) # the large one runs and cannot be written to
[ -n "$BIG" ] && ok "an object that both images share" || fail "no object has three links"
lib_stop "$REG_PID"
flip "$BIG"
marked() { [ "$(find "$STORE/images" -name damaged | wc -l)" = 2 ]; }
lib_until 30 marked && ok "both images are marked" || fail "marks: $(find "$STORE/images" -name damaged)"
[ "$(pid)" = "$PID" ] && ok "the app runs on without its image" || fail "the app ended"
is phase converged && ok "still converged" || fail "phase $(field phase)"
lib_run registry docker-registry serve "$T/registry.yml"
unmarked() { [ "$(find "$STORE/images" -name damaged | wc -l)" = 1 ]; }
lib_until 60 unmarked && ok "mended when the registry is back" || fail "not mended: $(field err)"
[ "$(pid)" = "$PID" ] && ok "the app was not touched" || fail "the app has another pid"
[ -e "$BIG" ] && lib_until 10 whole && ok "the object is back" || fail "$(whole)"
agentctl $DEV rollback >>"$T/log/rollback" 2>&1
lib_until 30 is apps.web.version 1 && ok "the other one is mended when it is wanted" || fail "version $(field apps.web.version): $(field err)"
lib_until 10 bash -c "[ -z \"\$(find '$STORE/images' -name damaged)\" ]" && ok "no mark is left" || fail "a mark is left"

# --- documents
flip "$(find "$STORE/images" -name config | head -n 1)"
lib_until 30 bash -c "'$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' status -o json | jq -e '.scrub.last | test(\"config\")'" &&
	ok "a config that changed is found" || fail "not found: $(field scrub.last)"
