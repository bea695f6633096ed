#!/usr/bin/env bash
# The byte budget of a manifest (update.download.max_bytes) is one sum over all that comes for it, and outlives the core: what was spent before a
# kill -9 and what a failed download brought count; so does the bundle of the device's own system, which waits for a manifest that allows it.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto docker-registry umoci skopeo jq
lib_begin agent_budget
DEV=budget-$$
init_fleet $DEV
start_broker
start_registry
says() { case $(field err.msg) in *$1*) true ;; *) false ;; esac; }

# --- an image whose one layer hardly compresses
img=$T/img root=$T/root
umoci init --layout "$img" >>"$T/log/images" 2>&1
image_root "$root"
printf '#!/bin/sh\ntrap "exit 0" TERM\nwhile :; do sleep 1 & wait $!; done\n' >"$root/bin/app"
chmod 0755 "$root/bin/app"
for v in 1 2; do
	head -c 2000000 /dev/urandom >"$root/large"
	umoci new --image "$img:$v" >>"$T/log/images" 2>&1
	umoci insert --image "$img:$v" "$root" / >>"$T/log/images" 2>&1
	umoci config --image "$img:$v" --config.entrypoint /bin/app >>"$T/log/images" 2>&1
	skopeo copy -q --dest-tls-verify=false "oci:$img:$v" "docker://127.0.0.1:$REG_PORT/demo/web:$v" >>"$T/log/images" 2>&1
	fleetctl publish "$REG/demo/web:$v" --version $v --no-packs >>"$T/log/publish" 2>&1
done
SIZE=$(jq -r .payload "$FLEETCTL_DIR/releases/web/2.json" | base64 -d | jq '.platforms[0].packed_bytes')

# an updater: that it is called is not this test's matter
mkdir "$T/bin"
printf '#!/bin/sh\nexit 0\n' >"$T/bin/swupdate"
chmod +x "$T/bin/swupdate"
export PATH=$T/bin:$PATH
AGENTD=$FLEETCTL_DIR/devices/$DEV/agentd.json
jq '.os_updater = "swupdate"' "$AGENTD" >"$T/agentd.json" && cp "$T/agentd.json" "$AGENTD"
start_agent $DEV
apply() { # VERSION DOWNLOAD [OS]
	jq -n --arg r "web:$1" --argjson d "{$2}" --argjson os "${3:-null}" '{apps: [{name: "web", release: $r, memory: {max_bytes: 16777216}}],
		update: {probation_ms: 200, download: $d}} + (if $os then {os: $os} else {} end)' >"$T/m.json"
	fleetctl apply -f "$T/m.json" -d $DEV "${WAIT[@]}" >>"$T/log/apply" 2>&1
}
WAIT=(--wait --timeout 240s)
spent() { jq .bytes "$T/$DEV/state/state/spent" 2>/dev/null || echo 0; }

# --- once around: the sum is that of the server's answers
apply 1 "\"max_bytes\": $((SIZE * 2))" && ok "a budget that suffices" || die "version 1: $(field phase) $(field err.msg)"
SPENT=$(spent)
[ "$SPENT" -gt "$SIZE" ] && [ "$SPENT" -lt $((SIZE + 16384)) ] && ok "$SPENT bytes were spent" || fail "spent: $(spent)"

# --- most of it has come, then core is killed and what had come is lost: the rest of the budget is not enough any more
PARTIAL=$T/$DEV/state/store/partial
here() { [ "$(find "$PARTIAL" -type f -printf '%s\n' | sort -n | tail -n 1)" -ge "$1" ] 2>/dev/null; }
WAIT=()
apply 2 "\"max_bytes\": $((SIZE + SIZE / 4)), \"rate_bytes_s\": 400000"
lib_until 30 here $((SIZE * 2 / 3)) || die "nothing comes: $(field phase) $(field err.msg)"
core=$(pgrep -P "$AGENT_PID" -f 'agentd: core')
lib_run cut sh -c "kill -STOP $core; for p in \$(cat /proc/$core/task/*/children); do grep -q fetch /proc/\$p/cmdline && kill -9 \$p; done; find $PARTIAL -type f -delete; kill -9 $core"
wait "$LIB_PID" || true
lib_until 30 is phase rejected && says max_bytes && ok "after a restart of core what it had spent still counts: $(field err.msg)" || fail "phase $(field phase): $(field err.msg), spent $(spent)"
WAIT=(--wait --timeout 240s)
apply 2 "\"max_bytes\": $((SIZE + SIZE / 4))" && ok "a new manifest has a budget of its own" || fail "version 2: $(field phase) $(field err.msg)"

# --- the system's bundle
head -c 300000 /dev/urandom >"$T/bundle"
D=$(sha256sum <"$T/bundle" | cut -c1-64)
WWW=$(free_port)
mkdir "$T/www"
fleetctl publish "dir:$T/www:7" --os "$T/bundle" --name os --source "layout+http://127.0.0.1:$WWW" >>"$T/log/publish" || die "publish: $(tail -n 3 "$T/log/publish")"
lib_run www python3 -m http.server -b 127.0.0.1 -d "$T/www" "$WWW"
lib_until 10 port_open "$WWW" || die "no web server"
OS='{"release":"os:7"}'
HELD=$T/$DEV/state/store/blobs/$D
dear() { field os.why | grep -q budget; }
apply 2 '"max_bytes": 200000' "$OS" && ok "the apps are here already" || fail "phase $(field phase): $(field err.msg)"
lib_until 20 dear && ok "the bundle is above the budget: $(field os.why)" || fail "os: $(field os)"
[ ! -e "$HELD" ] && ! is os.phase failed && ok "not installed, and no verdict on it" || fail "os: $(field os)"
apply 2 '"max_bytes": 400000' "$OS" || fail "phase $(field phase): $(field err.msg)"
lib_until 40 test -e "$HELD" && ok "with a larger budget it comes" || fail "os: $(field os)"
SPENT=$(spent)
[ "$SPENT" -gt 300000 ] && ok "and its $SPENT bytes are counted" || fail "spent: $(spent)"
