#!/bin/bash
# limpet mounts add|remove: binds, read-only, files, tmpfs and id-mapped ones come into a running container and go again, with
# and without a user namespace; nothing of it on the host; links of the image stay inside.
. "${SOURCE:?}/tests/sys/lib.sh" || exit 1
[ "$(id -u)" = 0 ] || lib_skip "needs root"
[ -x /bin/busybox ] || lib_skip "needs busybox-static"
lib_need jq
lib_begin runtime-mounts
limpet() { "$BUILD/bin/limpet" --root "$T/state" "$@"; }
end() { local rc=$?; set +e; limpet list -q 2>/dev/null | while read -r id; do limpet delete --force "$id"; done; (exit $rc); lib_end; }
trap end EXIT
mkdir -p "$T/src/sub" "$T/canary"
echo volume >"$T/src/file"
echo canary >"$T/canary/file"
chown -R 4242:4242 "$T/src"
mount_list() { printf '[{"destination":"%s","type":"%s","source":"%s","options":[%s]}]' "$@" >"$T/list"; }
has() { "$BUILD/bin/limpet" --root "$T/state" exec "$id" /bin/busybox "$@"; }
says() { local want=$1; shift; [ "$(has "$@" 2>&1)" = "$want" ]; }
host_mounts() { wc -l </proc/self/mountinfo; }

for userns in '' user; do
	id=m$$$userns
	rm -rf "$T/b"
	mkdir -p "$T/b/rootfs"/{bin,proc,sys,dev,data}
	cp /bin/busybox "$T/b/rootfs/bin/"
	ln -s "$T/canary" "$T/b/rootfs/out"
	limpet spec -b "$T/b"
	jq --arg u "$userns" '.process.args = ["/bin/busybox","sleep","60"] | .process.terminal = false | .root.readonly = false
		| if $u != "" then .linux.namespaces += [{type: "user"}]
			| .linux.uidMappings = [{containerID: 0, hostID: 300000, size: 65536}] | .linux.gidMappings = .linux.uidMappings
		else . end' "$T/b/config.json" >"$T/b/c" && mv "$T/b/c" "$T/b/config.json"
	chown -R "$([ -n "$userns" ] && echo 300000:300000 || echo 0:0)" "$T/b/rootfs"
	limpet run -d -b "$T/b" "$id" </dev/null >"$T/log/run" 2>&1 || die "run: $(cat "$T/log/run")"
	before=$(host_mounts)
	w=${userns:-"no user"}
	check_not "$w: control: nothing there before" has test -e /data/file
	mount_list /data bind "$T/src" '"rbind","ro"'
	check "$w: add a bind" limpet mounts add "$id" "$T/list"
	check "$w: it is seen" says volume cat /data/file
	check_not "$w: read-only" has touch /data/new
	check "$w: remove" limpet mounts remove "$id" "$T/list"
	check_not "$w: gone" has test -e /data/file
	check_rc 1 "$w: remove again is an error" limpet mounts remove "$id" "$T/list" 2>"$T/log/again"
	check "$w: which says why" grep -q 'nothing is mounted on /data that' "$T/log/again"
	mount_list /made/here bind "$T/src/file" '"bind"'
	check "$w: a file, its place is made" limpet mounts add "$id" "$T/list"
	check "$w: it is seen" says volume cat /made/here
	mount_list /scratch tmpfs tmpfs '"size=64k","mode=1777"'
	check "$w: a tmpfs" limpet mounts add "$id" - <"$T/list"
	check "$w: it is one" has sh -c 'echo x >/scratch/f && ! /bin/busybox dd if=/dev/zero of=/scratch/big bs=1k count=200 2>/dev/null'
	mount_list /out bind "$T/src" '"bind"'
	limpet mounts add "$id" "$T/list" 2>"$T/log/link" || true
	check "$w: a link of the image to the host stays inside" test "$(cat "$T/canary/file")" = canary
	check "$w: the host has the mounts that it had" test "$(host_mounts)" = "$before"
	if [ -n "$userns" ]; then
		mount_list /data bind "$T/src" '"bind"'
		limpet mounts add "$id" "$T/list" && says 65534 stat -c %u /data/file && ok "$w: without idmap the owner is nobody" || fail "$w: owner $(has stat -c %u /data/file)"
		limpet mounts remove "$id" "$T/list"
		mount_list /data bind "$T/src" '"bind","idmap"'
		limpet mounts add "$id" "$T/list" && says 4242 stat -c %u /data/file && ok "$w: with it the owner is as on disk" || fail "$w: owner $(has stat -c %u /data/file)"
	fi
	# the container moves the directory that it is in, and puts a link to /proc there
	sealed() { grep -c ' /proc/sys ' "/proc/$(limpet state "$id" | jq .pid)/mountinfo"; }
	mount_list /made/d/sys bind "$T/src" '"bind"'
	check "$w: add below a directory of the container" limpet mounts add "$id" "$T/list"
	has sh -c 'mv /made/d /made/moved && /bin/busybox ln -s /proc /made/d'
	check "$w: control: it went along" says volume cat /made/moved/sys/file
	check "$w: it is taken off where it is now" limpet mounts remove "$id" "$T/list"
	check "$w: and nothing else: /proc/sys is as it was" test "$(sealed)" = 1
	check_not "$w: gone" has test -e /made/moved/sys/file
	mount_list /dev/pts bind "$T/src" '"bind"'
	check_rc 1 "$w: a mount of the start is nobody's to take off" limpet mounts remove "$id" "$T/list" 2>/dev/null
	mount_list /data bind "$T/nowhere" '"bind"'
	check_rc 1 "$w: a source that is not there" limpet mounts add "$id" "$T/list" 2>"$T/log/nowhere"
	check "$w: is named" grep -q "$T/nowhere" "$T/log/nowhere"
	echo '[{"destination":5}]' >"$T/list"
	check_rc 1 "$w: a wrong field" limpet mounts add "$id" "$T/list" 2>"$T/log/wrong"
	check "$w: is named" grep -q 'mounts\[0\].destination' "$T/log/wrong"
	limpet delete --force "$id"
	check_rc 1 "$w: a container that is not there" limpet mounts add "$id" "$T/list" 2>/dev/null
done
