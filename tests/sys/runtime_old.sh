#!/usr/bin/env bash
# runtime_old: kernels that lack newer calls or whole parts. Each call alone and all together answer ENOSYS, by a filter on the runtime and
# all that it starts: run, exec, create, start, kill, delete work all the same, or say what is missing.
. "$SOURCE/tests/sys/lib.sh"
lib_need jq cc unshare
[ "$(id -u)" = 0 ] || lib_skip "needs root"
lib_begin old
P=$SOURCE/tests/sys/probes
cc -O1 -static -o "$T/inside" "$P"/{inside,calls,writes}.c
cc -O1 -static -o "$T/deny" "$P/deny.c"
L=$BUILD/bin/limpet R=$T/state B=$T/b C=$T/b/config.json ID=old$$
D=() # what is denied
l() { "$T/deny" "${D[@]}" -- timeout -k 1 120 "$L" --root "$R" "$@" </dev/null; }
finish() {
	local id
	"$L" --root "$R" list -q 2>/dev/null | while read -r id; do "$L" --root "$R" delete --force "$id" || true; done
	lib_end
}
trap finish EXIT

bundle() { # ARGS-AS-JSON, then jq filters
	rm -rf "$B"
	mkdir -p "$B"/rootfs/{proc,sys,dev,tmp,data}
	cp "$T/inside" "$B/rootfs/inside"
	"$L" spec -b "$B"
	jq ".process.terminal = false | .process.args = $1 | .mounts += [{destination: \"/data\", source: \"$T\", options: [\"rbind\", \"ro\"]}]" "$C" >"$C.new"
	mv "$C.new" "$C"
	shift
	local f
	for f in "$@"; do jq "$f" "$C" >"$C.new" && mv "$C.new" "$C"; done
}
stopped() { [ "$("$L" --root "$R" state "$ID" | jq -r .status)" = stopped ]; }
# whole NAME: the whole life with what D denies; the first thing that fails is told.
whole() {
	local step out=$T/out
	for step in run "create --pid-file $T/pid" start exec kill delete; do
		case $step in
		run) bundle '["/inside", "token"]' "${EXTRA[@]}"; l run -b "$B" "$ID" >"$out" 2>&1 && grep -q '^token$' "$out" ;;
		create*) bundle '["/inside", "sleep", "60"]' "${EXTRA[@]}"; l $step -b "$B" "$ID" >"$out" 2>&1 ;;
		exec) l exec "$ID" /inside token >"$out" 2>&1 && grep -q '^token$' "$out" ;;
		kill) l kill "$ID" KILL >"$out" 2>&1 && lib_until 10 stopped ;;
		*) l $step "$ID" >"$out" 2>&1 ;;
		esac || { fail "$1: $step: $(tail -n 2 "$out")"; "$L" --root "$R" delete --force "$ID" || true; return 0; }
	done
	ok "$1"
}

EXTRA=()
lib_say "--- calls"
bundle '["/inside", "calls"]'
D=(fsopen=5); l run -b "$B" "$ID" >"$T/out"
grep -q '^fsopen: 5$' "$T/out" && ok "control: the filter is seen inside" || fail "the filter does not work: $(cat "$T/out")"
all=()
for c in $("$T/deny" --list | grep -v pivot_root); do
	D=("$c"); whole "without $c"
	all+=("$c")
done
D=("${all[@]}"); whole "without all ${#all[@]}"
userns='.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 0, size: 65536}] | .linux.gidMappings = [{containerID: 0, hostID: 0, size: 65536}]'
EXTRA=("$userns"); whole "without all, in a user namespace"
EXTRA=('.root.readonly = false | .mounts |= map(select(.type != "mqueue"))'); whole "without all, a root that can be written"

lib_say "--- parts of the kernel"
EXTRA=() D=(no-user); whole "no user namespaces, none asked for"
bundle '["/inside", "token"]' "$userns"
l run -b "$B" "$ID" >"$T/out" 2>&1 && fail "a user namespace out of nothing" || true
grep -qiE 'user namespace|namespaces' "$T/out" && ok "one asked for: $(tail -n 1 "$T/out" | cut -c1-90)" || fail "one asked for, and said: $(cat "$T/out")"
EXTRA=() D=(no-seccomp); whole "no seccomp, no profile"
bundle '["/inside", "token"]' '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["swapon"], action: "SCMP_ACT_ERRNO"}]}'
l run -b "$B" "$ID" >"$T/out" 2>&1 && fail "a profile without seccomp" || true
grep -q 'linux.seccomp' "$T/out" && ok "a profile: $(tail -n 1 "$T/out" | cut -c1-90)" || fail "a profile, and said: $(cat "$T/out")"
D=(pivot_root=22); whole "root on an initramfs (pivot_root: EINVAL)"
bundle '["/inside", "cwd", "'"$T"'/deny"]' # nothing of the host from any directory above
l run -b "$B" "$ID" >"$T/out" 2>&1 || true
grep -q '^end$' "$T/out" && ! grep -q ESCAPE "$T/out" && ok "and the host's tree is out of reach" || fail "$(cat "$T/out")"
D=(); mount -t tmpfs none /sys/fs/cgroup
EXTRA=(); whole "no control groups at all"
bundle '["/inside", "token"]' '.linux.resources.memory.limit = 16777216'
l run -b "$B" "$ID" >"$T/out" 2>&1 || true
grep -qi 'memory' "$T/out" && ok "a limit then: $(grep -i memory "$T/out" | head -n 1 | cut -c1-100)" || fail "a limit that nobody keeps is not told: $(cat "$T/out")"
umount /sys/fs/cgroup
exit "$([ -e "$T/failed" ] && echo 1 || echo 0)"
