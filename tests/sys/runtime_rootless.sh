#!/bin/bash
# limpet for a plain user: one id, ranges by newuidmap, a delegated cgroup v2; every verb as that user; nothing is left.
. "${SOURCE:?}/tests/sys/lib.sh" || exit 1
[ "$(id -u)" = 0 ] || lib_skip "needs root, to become another user"
[ -x /bin/busybox ] || lib_skip "needs busybox-static"
lib_need setpriv jq unshare
U=65534
NAME=$(id -un $U) || lib_skip "no user $U"
lib_begin runtime-rootless
mkdir "$T/home" "$T/run"
chown $U:$U "$T/home" "$T/run"
as() { setpriv --reuid=$U --regid=$U --clear-groups env -i "PATH=$PATH" "XDG_RUNTIME_DIR=$T/run" "$@"; }
as test -x "$BUILD/bin/limpet" || lib_skip "user $U cannot read $BUILD"
as unshare -U true 2>/dev/null || lib_skip "this kernel makes no user namespaces for plain users"
limpet() { as "$BUILD/bin/limpet" "$@"; }
CG=
end() {
	local rc=$?
	set +e
	limpet list -q 2>/dev/null | while read -r id; do limpet delete --force "$id"; done
	if [ -n "$CG" ]; then
		echo $$ >/sys/fs/cgroup/cgroup.procs 2>/dev/null
		find "$CG" -depth -type d -exec rmdir {} + 2>/dev/null
		[ -e "$CG" ] && { echo "FAIL group left: $(find "$CG" -type d)"; rc=1; }
		umount /sys/fs/cgroup
	fi
	umount /etc/subuid /etc/subgid 2>/dev/null
	(exit $rc)
	lib_end
}
trap end EXIT
fresh() { # SCRIPT
	rm -rf "$T/home/b"
	as mkdir -p "$T/home/b/rootfs"/{bin,proc,dev,sys}
	as cp /bin/busybox "$T/home/b/rootfs/bin/sh"
	limpet spec --rootless -b "$T/home/b"
	change --arg s "$1" '.process.args = ["sh","-c",$s] | .process.terminal = false'
}
change() { jq "$@" "$T/home/b/config.json" >"$T/c" && as cp "$T/c" "$T/home/b/config.json"; }
run() { limpet run "$@" -b "$T/home/b" r </dev/null >"$T/log/out" 2>"$T/log/err"; }
says() { grep -qx -- "$1" "$T/log/out"; }

# --- one id
fresh 'id -u; echo $$; exit 5'
check_rc 5 "runs and ends with its status" run
check "as root of its own" says 0
check "as process 1" says 1
check "without a warning" test ! -s "$T/log/err"
check "records lie in the user's run directory" test -d "$T/run/limpet"
check_rc 1 "without one" as env -u XDG_RUNTIME_DIR "$BUILD/bin/limpet" list 2>"$T/log/noroot"
check "it says what to give" grep -q -- '--root DIR' "$T/log/noroot"
elsewhere() { as env -u XDG_RUNTIME_DIR "$BUILD/bin/limpet" --root "$T/home/other" run -b "$T/home/b" r </dev/null >"$T/log/other" 2>&1; }
check_rc 5 "--root" elsewhere
fresh 'echo x >/proc/sys/kernel/hostname; sh -c "exec 3</etc/shadow" || echo closed'
as test -r /etc/shadow && fail "control: user $U reads /etc/shadow" || ok "control: a file that only root reads"
change --arg d /etc '.mounts += [{destination: "/etc", type: "bind", source: $d, options: ["rbind"]}]'
run || true
check "root of the container is not root" says closed
fresh 'exec sleep 60'
change '.linux.resources = {memory: {limit: 10000000}, pids: {limit: 20}}'
run -d
check "limits that do not hold are said once" test "$(wc -l <"$T/log/err")" = 1
check "by name, with what would help" grep -q 'memory.limit, .*pids.limit: not enforced.*Delegate' "$T/log/err"
check "list" test "$(limpet list -q)" = r
check "state" test "$(limpet state r | jq -r .status)" = running
check "exec" test "$(limpet exec r sh -c 'id -u')" = 0
check "ps" grep -q 'sleep 60' <(limpet ps r)
check_rc 1 "delete of one that runs" limpet delete r 2>/dev/null
check "kill" limpet kill r KILL
ended() { [ "$(limpet state r | jq -r .status)" = stopped ]; }
lib_until 5 ended
check "delete" limpet delete r
check "nothing is left" test -z "$(ls "$T/run/limpet")"
fresh 'exec sleep 60'
create() { limpet create -b "$T/home/b" r </dev/null >"$T/log/out" 2>&1; }
check "create" create
check "start" limpet start r
check "delete --force" limpet delete --force r
check "nobody else's: root does not see it" test -z "$("$BUILD/bin/limpet" --root "$T/root" list -q 2>/dev/null)"

# --- ranges
if command -v newuidmap >/dev/null; then
	RANGES='.linux.uidMappings = [{containerID:0,hostID:65534,size:1},{containerID:1,hostID:400000,size:65535}] | .linux.gidMappings = .linux.uidMappings'
	: >"$T/none"
	mount --bind "$T/none" /etc/subuid && mount --bind "$T/none" /etc/subgid
	fresh 'id -u; stat -c %u /bin/sh'
	change "$RANGES"'| .process.user = {uid: 1000, gid: 1000}'
	check_rc 1 "ranges that the user has not are refused" run
	check "with what is missing" grep -q '/etc/subuid' "$T/log/err"
	echo "$NAME:400000:65536" >"$T/none"
	check_rc 0 "ranges by newuidmap" run
	check "another id than 0" says 1000
	check "root's files are root's" says 0
else
	echo "note: no newuidmap (package uidmap): ranges not tried"
fi

# --- a cgroup of its own
if mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null; then
	CG=/sys/fs/cgroup/limpet-rootless-$$
	mkdir "$CG"
	chown $U "$CG" "$CG/cgroup.procs" "$CG/cgroup.subtree_control"
	echo $$ >"$CG/cgroup.procs"
	fresh 'exec sleep 60'
	run -d
	check "a delegated group is used" test -d "$CG/limpet-r" -o -n "$(find "$CG" -mindepth 1 -type d -name '*limpet-r*')"
	check "pause" limpet pause r
	check "paused" test "$(limpet state r | jq -r .status)" = paused
	check "resume" limpet resume r
	check "delete --force" limpet delete --force r
	check "the group goes" test -z "$(find "$CG" -mindepth 1 -type d -name '*limpet-r*')"
fi
