#!/usr/bin/env bash
# Namespaces that the kernel refuses: the message names the kind and what to do. The limits are those of a user namespace that this test
# makes, the host's stay as they are.
if [ -z "${NS_INNER:-}" ] && [ "$(id -u)" = 0 ]; then NS_INNER=1 exec unshare -U -r -m --propagation private "$0"; fi
. "$SOURCE/tests/sys/lib.sh"
[ "$(id -u)" = 0 ] || lib_skip "needs root"
lib_need jq busybox
[ -w /proc/sys/user/max_user_namespaces ] || lib_skip "no limits of namespaces here"
lib_begin runtime_ns
lib_limpet ns
LIMITS=/proc/sys/user

mkdir -p "$B/rootfs/bin"
cp "$(command -v busybox)" "$B/rootfs/bin/sh"
"$L" spec --rootless -b "$B"
jq '.process.terminal = false | .process.args = ["sh", "-c", "echo inside"] | .linux.namespaces += [{type: "cgroup"}, {type: "network"}] |
	.linux.namespaces |= unique | del(.linux.resources) | .mounts |= map(select(.type != "sysfs" and .type != "cgroup" and .destination != "/sys"))' "$C" >"$T/plain.json"
jq '.linux.namespaces += [{type: "time"}] | .linux.timeOffsets = {boottime: {secs: 7}}' "$T/plain.json" >"$T/time.json"
run() { RC=0; timeout -k 1 120 "$L" --root "$R" run -b "$B" "$ID" </dev/null >"$T/out" 2>"$T/err" || RC=$?; }
try() { # NAME-OF-THE-LIMIT NAME-IN-CONFIG CONFIG [TEXT]
	local was want=${4:-"switched off, sysctl user.max_$1_namespaces is 0"}
	was=$(cat "$LIMITS/max_$1_namespaces")
	cp "$T/$3.json" "$C"
	run
	[ "$RC" = 0 ] && grep -qx inside "$T/out" || { fail "control $2: $(cat "$T/err")"; return; }
	echo 0 >"$LIMITS/max_$1_namespaces"
	run
	echo "$was" >"$LIMITS/max_$1_namespaces"
	if [ $RC != 0 ] && grep -qF "linux.namespaces: $2: $want" "$T/err"; then ok "$(sed 's/.*linux.namespaces: //' "$T/err")"; else fail "$2: rc $RC: $(cat "$T/err")"; fi
	check_not "$2: nothing is left" "$L" --root "$R" state "$ID" 2>/dev/null
}
try user user plain
try pid pid plain
try net network plain
try ipc ipc plain
try uts uts plain
try mnt mount plain
try cgroup cgroup plain "too many, or nested too deep: raise sysctl user.max_cgroup_namespaces" # made inside, where limits around are not seen
[ ! -e /proc/self/ns/time ] || try time time time

# What is there already stays; one that is entered is not asked for, the kinds beside it are.
jq '.linux.namespaces |= map(if .type == "ipc" then .path = "/proc/self/ns/ipc" else . end)' "$T/plain.json" >"$T/join.json"
try uts uts join
