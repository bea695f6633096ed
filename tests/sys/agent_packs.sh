#!/usr/bin/env bash
# Updates by packs under the real agent, from a real registry: a cold install by chunks, an update by a patch pack, one by chunks that no old
# file holds, and what happens when a pack is missing, wrong, too dear or outside its hours. Each rootfs is compared with one that came by layers.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto docker-registry umoci skopeo jq python3
lib_begin agent_packs
DEV=packs-$$
init_fleet $DEV
start_broker
start_registry
says() { case $(field err.msg) in *$1*) true ;; *) false ;; esac; }
REPO=$REG/demo/web

# --- six versions: a program that changes a little, one that moves, many small files, one large one of data that do not compress
img=$T/img
umoci init --layout "$img" >>"$T/log/images" 2>&1
root=$T/root
image_root "$root"
mkdir -p "$root/lib/many" "$root/opt"
printf '#!/bin/sh\ntrap "exit 0" TERM\nwhile :; do sleep 1 & wait $!; done\n' >"$root/bin/app"
chmod 0755 "$root/bin/app"
for i in $(seq 300); do printf 'module %s = { value: %s };\n%.0s' "$i" "$((i * 7))" $(seq $((i % 40 + 1))) >"$root/lib/many/m$i.js"; done
cp "$BUILD/bin/fleetctl" "$root/opt/tool"
head -c 3000000 /dev/urandom >"$root/opt/large"
for i in $(seq 12); do head -c 15000 /dev/urandom >"$root/opt/part$i"; done
version() { # VERSION: what stands in $root
	umoci new --image "$img:$1" >>"$T/log/images" 2>&1
	umoci insert --image "$img:$1" "$root" / >>"$T/log/images" 2>&1
	umoci config --image "$img:$1" --config.entrypoint /bin/app >>"$T/log/images" 2>&1
	skopeo copy -q --dest-tls-verify=false "oci:$img:$1" "docker://127.0.0.1:$REG_PORT/demo/web:$1" >>"$T/log/images" 2>&1
}
version 1
edit() { # VERSION
	echo "// version $1" >>"$root/lib/many/m$((10 + $1)).js"
	printf 'version %s of it' "$1" | dd of="$root/opt/tool" bs=1 seek=$((100000 * $1)) conv=notrunc status=none
	printf 'version %s' "$1" | dd of="$root/opt/large" bs=1 seek=$((500000 * ($1 % 5))) conv=notrunc status=none
}
# files that are made of several old ones, one behind the other
cat "$root"/opt/part{1,2,3,4} >"$root/opt/joined-a"
cat "$root"/opt/part{5,6,7,8} >"$root/opt/joined-b"
cat "$root"/opt/part{9,10,11,12} >"$root/opt/joined-c"
rm "$root"/opt/part*
seq 2000 | gzip -9n >"$root/opt/guide.gz"
edit 2; mv "$root/lib/many/m200.js" "$root/opt/moved.js"; rm "$root/lib/many/m201.js"; version 2
edit 3; cp "$root/lib/many/m5.js" "$root/opt/twin.js"; chmod 0600 "$root/opt/twin.js"; version 3
for v in 4 5 6 7; do edit $v; version $v; done

start_agent $DEV
tree() { (cd "$1" && find . -path ./proc -prune -o -printf '%P %y %m %U %G %s %l\n' | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum); }
manifest() { # VERSION DOWNLOAD
	cat >"$T/m.json" <<-END
		{"apps": [{"name": "web", "release": "web:$1", "memory": {"max_bytes": 16777216}, "restart": {"policy": "always", "delay_ms": 100}}],
		 "update": {"probation_ms": 200, "download": {${2:-}}}}
	END
}
apply() { manifest "$@"; fleetctl apply -f "$T/m.json" -d $DEV --wait --timeout 240s >>"$T/log/apply" 2>&1; }
rootfs() { echo "$T/$DEV/state/store/images/$(skopeo inspect --raw --tls-verify=false "docker://127.0.0.1:$REG_PORT/demo/web:$1" | sha256sum | cut -d' ' -f1)/rootfs"; }
same_tree() { # VERSION: as the layers have it
	umoci unpack --image "$img:$1" "$T/unpacked" >>"$T/log/images" 2>&1
	diff <(tree "$T/unpacked/rootfs" | grep -v '^ \|^\(proc\|sys\|dev\|tmp\|run\|etc\|etc/host.*\|etc/resolv.conf\) \|  ./etc/') \
		<(tree "$(rootfs "$1")" | grep -v '^ \|^\(proc\|sys\|dev\|tmp\|run\|etc\|etc/host.*\|etc/resolv.conf\) \|  ./etc/') >"$T/log/diff-$1"
	local rc=$?
	rm -rf "$T/unpacked"
	return $rc
}
came_by() { # VERSION ROUTE
	if is apps.web.update.route "$2"; then
		ok "version $1 came by $2: $(field apps.web.update | jq -r '"planned \(.down) down and \(.write) to write, took \(.fetched) and \(.written)"')"
	else fail "version $1 came by $(field apps.web.update)"; fi
	check "version $1: the same files as its layers" same_tree "$1"
}

# --- cold: chunks of the full pack
fleetctl publish "$REPO:1" --version 1 >>"$T/log/publish" 2>&1
apply 1 && ok "cold install" || die "version 1: $(field phase) $(field err.msg); $(agentctl $DEV events -n 8)"
came_by 1 chunks

# --- the byte budget is the whole job's: tree and table of a pack are asked for apart
S=$T/budget REL=$FLEETCTL_DIR/releases/web/1.json
mkdir "$S"
export FETCH=$BUILD/bin/agentd-fetch UNPACK=$BUILD/bin/agentd-unpack
P=$(jq -r .payload "$REL" | base64 -d | jq -c '.platforms[0] | .manifest, (.packs[] | select(.kind == "full" and .codec == "lz4"))')
M=$(head -n 1 <<<"$P" | jq -r .digest)
"$BUILD/bin/ota-tool" "$S" put "$img/blobs/sha256/${M#*:}" "$img/blobs/sha256/$(jq -r .config.digest "$img/blobs/sha256/${M#*:}" | cut -d: -f2)" >>"$T/log/budget"
# shellcheck disable=SC2046
"$BUILD/bin/ota-tool" "$S" fetch $(tail -n 1 <<<"$P" | jq -r '"\(.digest) \(.size)"') BLOB -- "$REPO" >>"$T/log/budget"
cp -a "$S" "$S-2"
BUDGET=0 "$BUILD/bin/pack-tool" "$S" "$REL" chunks lz4 - -- "$REPO" >"$T/free" 2>&1 || fail "without a budget: $(cat "$T/free")"
DOCUMENTS=$(awk '$1 == "documents" {print $2}' "$T/free")
BUDGET=$((DOCUMENTS - 300)) "$BUILD/bin/pack-tool" "$S-2" "$REL" chunks lz4 - -- "$REPO" >"$T/bound" 2>&1 && fail "a budget that is too small" || true
grep denied "$T/bound" >/dev/null && ! grep '^documents ' "$T/bound" >/dev/null && ok "$DOCUMENTS bytes of tree and table do not come for 300 less" || fail "budget: $(cat "$T/bound")"

# --- a patch pack
fleetctl publish "$REPO:2" --version 2 --from 1 --explain >"$T/log/publish-2" 2>&1 || die "publish --from: $(cat "$T/log/publish-2")"
grep -q 'opt/tool' "$T/log/publish-2" && ok "--explain tells of each file" || fail "explain: $(cat "$T/log/publish-2")"
grep 'opt/guide.gz' "$T/log/publish-2" | grep -q 'gzip' && grep -q '1 of the new files is gzip' "$T/log/publish-2" && ok "and names gzip files" || fail "gzip: $(cat "$T/log/publish-2")"
apply 2 && ok "update" || die "version 2: $(field phase) $(field err.msg); $(agentctl $DEV events -n 8)"
came_by 2 patch
[ "$(field apps.web.update.fetched)" -lt 20000 ] && ok "fewer than 20 kB for it" || fail "fetched $(field apps.web.update.fetched)"
[ "$(field apps.web.update.written)" -lt 6000000 ] || fail "written $(field apps.web.update.written)"

# --- any to any
fleetctl publish "$REPO:3" --version 3 >>"$T/log/publish" 2>&1
apply 3 && ok "update without a patch" || die "version 3: $(field phase) $(field err.msg); $(agentctl $DEV events -n 8)"
came_by 3 chunks
[ "$(field apps.web.update.fetched)" -lt 400000 ] && ok "only the chunks that differ" || fail "fetched $(field apps.web.update.fetched)"

# --- the patch's blob is gone from the registry: chunks instead
fleetctl publish "$REPO:4" --version 4 --from 3 >>"$T/log/publish" 2>&1
for d in $(jq -r '.payload' "$FLEETCTL_DIR/releases/web/4.json" | base64 -d | jq -r '.platforms[].packs[] | select(.kind == "patch") | .digest'); do
	rm -rf "$T/registry/docker/registry/v2/blobs/sha256/${d:7:2}/${d:7}"
done
apply 4 && ok "update with its patch missing" || die "version 4: $(field phase) $(field err.msg); $(agentctl $DEV events -n 8)"
came_by 4 chunks
agentctl $DEV events -n 20 | grep 'patch did not do' >/dev/null && ok "and the device says why" || fail "events: $(agentctl $DEV events -n 20)"

# --- an object of the old image has gone bad: the patch cannot be right, chunks are
fleetctl publish "$REPO:5" --version 5 --from 4 >>"$T/log/publish" 2>&1
f=$(rootfs 4)/opt/tool
dd if=/dev/urandom of="$f" bs=1000 count=700 conv=notrunc status=none
apply 5 && ok "update with a bad base" || die "version 5: $(field phase) $(field err.msg); $(agentctl $DEV events -n 8)"
came_by 5 chunks

# --- what it may cost
fleetctl publish "$REPO:6" --version 6 --no-packs >>"$T/log/publish" 2>&1
apply 6 '"max_bytes": 10000' && fail "above its budget" || ok "a budget that is too small is refused"
is phase rejected && says max_bytes && ok "and says so: $(field err.msg)" || fail "phase $(field phase): $(field err.msg)"
fleetctl publish "$REPO:7" --version 7 --from 2 >>"$T/log/publish" 2>&1
apply 7 '"full_fallback": false' && fail "a full download without consent" || ok "a full download without consent is refused"
is phase rejected && says full_fallback && ok "and says so: $(field err.msg)" || fail "phase $(field phase): $(field err.msg)"
now=$(date -u +%s)
window() { date -u -d "@$(($1))" +%H:%M; }
manifest 7 "\"window\": \"$(window "now + 7200")-$(window "now + 10800")\""
fleetctl apply -f "$T/m.json" -d $DEV >>"$T/log/apply" 2>&1
lib_until 10 is phase pending && ok "outside its hours: pending" || fail "phase $(field phase)"
costs() { [ "$(field apps.web.update.down)" -gt 10000 ]; }
lib_until 10 costs && ok "and what it will cost: $(field apps.web.update | tr -d "\n ")" || fail "no costs: $(field apps.web)"
agentctl $DEV plan | grep hours >/dev/null && ok "the plan says so: $(agentctl $DEV plan | head -1)" || fail "plan: $(agentctl $DEV plan)"
# asked for with another app in front: what it costs stays with its release
jq '.apps = [.apps[0] + {name: "first", release: "web:5"}] + .apps | .update.download = {}' "$T/m.json" >"$T/two.json"
fleetctl sign -f "$T/two.json" -d $DEV -o "$T/two" >>"$T/log/apply" 2>&1 || fail "sign: $(tail -n 2 "$T/log/apply")"
agentctl $DEV plan "$T/two" >"$T/plan" 2>&1
grep -qE "^install web: .*: $(field apps.web.update.down) bytes to fetch" "$T/plan" && ok "the plan of a file has the cost of the right app" || fail "plan: $(cat "$T/plan")"
grep -qE "^(fetch|install) first" "$T/plan" && fail "the cost of another one: $(cat "$T/plan")" || ok "and none of an app that is here"
apply 7 "\"window\": \"$(window "now - 3600")-$(window "now + 3600")\"" && ok "within its hours it comes" || fail "phase $(field phase): $(field err.msg)"
came_by 7 chunks

# --- nothing is left over
find "$T/$DEV/state/store/"{staged,partial,tmp} -mindepth 1 | grep . && fail "left in the store" || ok "nothing left in staged, partial, tmp"

# --- layers packed with zstd: the install job may hold the window beside the rest
edit 8
umoci new --image "$img:8" >>"$T/log/images" 2>&1
umoci insert --image "$img:8" "$root" / >>"$T/log/images" 2>&1
umoci config --image "$img:8" --config.entrypoint /bin/app >>"$T/log/images" 2>&1
skopeo copy -q --dest-tls-verify=false --dest-compress-format zstd "oci:$img:8" "docker://127.0.0.1:$REG_PORT/demo/web:8" >>"$T/log/images" 2>&1
skopeo inspect --raw --tls-verify=false "docker://127.0.0.1:$REG_PORT/demo/web:8" | grep -q 'tar+zstd' && ok "version 8 is zstd" || fail "skopeo packed no zstd"
fleetctl publish "$REPO:8" --version 8 --no-packs >>"$T/log/publish" 2>&1
apply 8 && ok "update by zstd layers" || die "version 8: $(field phase) $(field err.msg); $(agentctl $DEV events -n 8)"
came_by 8 layers
