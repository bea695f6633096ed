#!/usr/bin/env bash
# Control groups of the OCI command line: limits by the files of the kernel, device rules with a control, pause, update,
# events, ps; on the machine as it is, in a view of cgroup v2 alone, in one of v1 alone, without any.
# The same with every controller on v2: tests/qemu/guest.sh.
. "${SOURCE:?}/tests/sys/lib.sh"
[ "$(id -u)" = 0 ] || lib_skip "needs root"
lib_need jq busybox unshare
lib_begin runtime_cgroup
CYCLES=${CYCLES:-100}
B=$T/bundle
C=/sys/fs/cgroup
ID=cg$$
limpet() { "$BUILD/bin/limpet" --root "$T/state" "$@" </dev/null; }
end_all() {
	local id
	for id in $(limpet list -q 2>/dev/null); do limpet delete --force "$id" || fail "delete $id"; done
}
trap 'end_all; lib_end' EXIT

mkdir -p "$B"/rootfs/{bin,proc,dev,sys,tmp}
cp "$(command -v busybox)" "$B/rootfs/bin/busybox"
for a in sh sleep cat echo dd head; do ln -s busybox "$B/rootfs/bin/$a"; done
limpet spec -b "$B"
jq ".process.terminal=false" "$B/config.json" >"$T/base.json"
bundle() { # ARGS-JSON RESOURCES-JSON [JQ]
	jq --argjson a "$1" --argjson r "$2" ".process.args=\$a | .linux.resources=\$r ${3:+| $3}" "$T/base.json" >"$B/config.json"
}
run() { timeout 240 "$BUILD/bin/limpet" --root "$T/state" "${OPT[@]}" run -b "$B" "$@" </dev/null >"$T/out" 2>&1; }
OPT=()
SLEEP='["sleep","600"]'
up() { # ID: in the background
	run --detach "$1" || fail "run $1: $(cat "$T/out")"
}
status() { limpet state "$1" | jq -r .status; }
pid() { limpet state "$1" | jq .pid; }
# The file of a running container's group: FILE-ON-V1 FILE-ON-V2
dir_of() { # CONTROLLER: its group's directory, or nothing
	local line at
	if [ -d "$C/$1" ] && line=$(grep -E "^[0-9]+:([^:]*,)?$1(,[^:]*)?:" "/proc/$(pid "$ID")/cgroup"); then
		at=$C/$1${line##*:}
	else
		for at in "$C" "$C/unified"; do [ -e "$at/cgroup.controllers" ] && break; done
		at=$at$(sed -n 's/^0:://p' "/proc/$(pid "$ID")/cgroup")
	fi
	echo "$at"
}
is() { # NAME FILE WANT
	if [ "$(cat "$2" 2>&1)" = "$3" ]; then ok "$1"; else fail "$1: $2 holds $(cat "$2" 2>&1), not $3"; fi
}
left() { find "$C" -type d -path "*limpet*$ID*" 2>/dev/null | wc -l; }
has() { [ -d "$C/$1" ]; } # a v1 hierarchy

# --- the machine as it is: every field that it has, as the kernel reads it back
limits() {
	bundle "$SLEEP" '{
		"memory": {"limit": 33554432, "swap": 67108864, "reservation": 1048576, "swappiness": 10},
		"cpu": {"shares": 1000, "quota": 50000, "period": 200000, "burst": 1000, "cpus": "0", "mems": "0"},
		"pids": {"limit": 20}}'
	up "$ID"
	if has memory; then
		is "memory.limit" "$(dir_of memory)/memory.limit_in_bytes" 33554432
		is "memory.swap" "$(dir_of memory)/memory.memsw.limit_in_bytes" 67108864
		is "memory.reservation" "$(dir_of memory)/memory.soft_limit_in_bytes" 1048576
		is "memory.swappiness" "$(dir_of memory)/memory.swappiness" 10
	fi
	if has cpu; then
		is "cpu.shares" "$(dir_of cpu)/cpu.shares" 1000
		is "cpu.quota" "$(dir_of cpu)/cpu.cfs_quota_us" 50000
		is "cpu.period" "$(dir_of cpu)/cpu.cfs_period_us" 200000
	fi
	if has cpuset; then is "cpu.cpus" "$(dir_of cpuset)/cpuset.cpus" 0; fi
	if has pids; then is "pids.limit" "$(dir_of pids)/pids.max" 20; fi

	# update: up, down, one alone, by a file, by standard input, and what must not go
	if has memory; then
		check "update up" limpet update --memory 64m --memory-swap 128m "$ID"
		is "update: memory" "$(dir_of memory)/memory.limit_in_bytes" 67108864
		check "update down" limpet update --memory 8m --memory-swap 16m "$ID"
		is "update: swap" "$(dir_of memory)/memory.memsw.limit_in_bytes" 16777216
		check "update: swap alone counts the memory that is" limpet update --memory-swap 32m "$ID"
		is "update: swap alone" "$(dir_of memory)/memory.memsw.limit_in_bytes" 33554432
		check "update: -1 is no limit" limpet update --memory-swap -1 "$ID"
		check_not "update: 0 is refused" limpet update --memory 0 "$ID" 2>"$T/err"
		check "and by its name" grep -q "memory: limit: 0" "$T/err"
	fi
	if has pids; then
		echo '{"pids": {"limit": 33}}' >"$T/res.json"
		check "update --resources FILE" limpet update --resources "$T/res.json" "$ID"
		is "update: pids" "$(dir_of pids)/pids.max" 33
		check "update --resources -" sh -c "echo '{\"pids\": {\"limit\": 34}}' | '$BUILD/bin/limpet' --root '$T/state' update -r - $ID"
		is "update: pids by standard input" "$(dir_of pids)/pids.max" 34
	fi
	if has cpuset; then
		check_not "update: a processor that is not there" limpet update --cpuset-cpus 4000 "$ID" 2>"$T/err"
		check "says the field and the file" grep -q "cpu.cpus: cpuset.cpus" "$T/err"
	fi
	check_not "update without anything" limpet update "$ID" 2>/dev/null
	check_not "limits are no options of run" limpet run -b "$B" --memory 5m x 2>"$T/err"
	check "and it says so" grep -q "are for update" "$T/err"
	limpet delete --force "$ID" || fail "delete"
}

# --- pause, resume, ps, events: any view
verbs() {
	bundle '["sh","-c","while :; do echo x >>/dev/shm/n; sleep 0.05; done"]' '{}'
	up "$ID"
	check "$1: runs" [ "$(status "$ID")" = running ]
	limpet pause "$ID" || fail "$1: pause"
	check "$1: paused" [ "$(status "$ID")" = paused ]
	limpet list | grep -q "$ID.*paused" || fail "$1: list does not say paused"
	local n m
	n=$(wc -l <"/proc/$(pid "$ID")/root/dev/shm/n"); sleep 0.4
	m=$(wc -l <"/proc/$(pid "$ID")/root/dev/shm/n")
	check "$1: stands still" [ "$n" = "$m" ]
	check_rc 1 "$1: no exec into it" limpet exec "$ID" sh -c true 2>/dev/null
	check_rc 1 "$1: not twice" limpet pause "$ID" 2>/dev/null
	limpet resume "$ID" || fail "$1: resume"
	goes_on() { [ "$(wc -l <"/proc/$(pid "$ID")/root/dev/shm/n")" -gt "$1" ]; }
	check "$1: goes on" lib_until 2 goes_on "$m"
	check_rc 1 "$1: resume of what runs" limpet resume "$ID" 2>/dev/null
	check "$1: ps, json" [ "$(limpet ps --format json "$ID" | jq ".[0] == $(pid "$ID") and length >= 1")" = true ]
	limpet ps "$ID" >"$T/ps"
	check "$1: ps, table" awk -v p="$(pid "$ID")" 'NR == 1 {h = $2 == "PID" && $8 == "CMD"} NR > 1 && $2 == p && /while/ {f = 1} END {exit !(h && f)}' "$T/ps"
	check "$1: ps takes the options of ps" sh -c "'$BUILD/bin/limpet' --root '$T/state' ps '$ID' -ef 2>/dev/null | grep -q while"
	limpet events --stats "$ID" >"$T/stats"
	check "$1: events --stats" jq -e --arg id "$ID" '.type == "stats" and .id == $id and (.data | .cpu.usage.total >= 0 and
		.memory.usage.usage >= 0 and .pids.current >= 1 and (.blkio | type == "object") and (.hugetlb | type == "object"))' "$T/stats" >"$T/log/jq"
	"$BUILD/bin/limpet" --root "$T/state" events --interval 1s "$ID" >"$T/stats" &
	LIB_PIDS+=($!)
	two_lines() { [ "$(wc -l <"$T/stats")" -ge 2 ]; }
	check "$1: events go on" lib_until 10 two_lines
	lib_stop $!
	limpet pause "$ID" || fail "$1: pause"
	check "$1: a paused one can be deleted" timeout 120 "$BUILD/bin/limpet" --root "$T/state" delete --force "$ID"
	for v in pause resume update\ --pids-limit\ 5 ps events\ --stats; do
		check_rc 1 "$1: $v of none" limpet $v "$ID" 2>/dev/null
	done
	check "$1: nothing is left" [ "$(left)" = 0 ]
}

# --- devices: what a rule allows, what none does, in each case with the other beside it
devices() {
	local minor
	# a character device that root may open and no container has
	minor=$(awk '$2 == "fuse" || $2 == "loop-control" || $2 == "tun" {print $1; exit}' /proc/misc)
	[ -n "$minor" ] || { lib_say "     note: $1: no device to try"; return; }
	local node=".linux.devices=[{\"type\": \"c\", \"path\": \"/dev/probe\", \"major\": 10, \"minor\": $minor, \"fileMode\": 438}]"
	local go='["sh","-c","(: </dev/probe) 2>/dev/null; echo probe $?; head -c 1 /dev/zero >/dev/null && echo zero"]'
	local try=(sh -c ": </dev/probe")
	local deny='{"allow": false, "access": "rwm"}'
	bundle "$go" "{\"devices\": [$deny, {\"allow\": true, \"type\": \"c\", \"major\": 10, \"minor\": $minor, \"access\": \"r\"}]}" "$node"
	run "$ID" || true
	check "$1: control: an allowed device opens" grep -q "probe 0" "$T/out"
	bundle "$go" "{\"devices\": [$deny]}" "$node"
	run "$ID" || true
	if grep -q "devices: not enforced" "$T/out"; then
		lib_say "     note: $1: $(grep "not enforced" "$T/out")"
		return
	fi
	check "$1: one without a rule does not" grep -q "probe 1" "$T/out"
	check "$1: the standard ones do" grep -q zero "$T/out"
	bundle "$go" '{"devices": [{"allow": true, "access": "rwm"}]}' "$node"
	run "$ID" || true
	check "$1: all, when a rule says so" grep -q "probe 0" "$T/out"
	bundle "$go" "{}" "$node"
	run "$ID" || true
	check "$1: without rules only the standard ones" grep -q "probe 1" "$T/out"

	bundle "$SLEEP" "{\"devices\": [$deny]}" "$node"
	up "$ID"
	check_not "$1: closed" limpet exec "$ID" "${try[@]}" >"$T/log/exec" 2>&1
	echo "{\"devices\": [$deny, {\"allow\": true, \"type\": \"c\", \"major\": 10, \"minor\": $minor, \"access\": \"rw\"}]}" >"$T/res.json"
	check "$1: opened by update" limpet update --resources "$T/res.json" "$ID"
	check "$1: open" limpet exec "$ID" "${try[@]}" >>"$T/log/exec" 2>&1
	echo "{\"devices\": [$deny]}" >"$T/res.json"
	limpet update --resources "$T/res.json" "$ID" || fail "$1: update"
	check_not "$1: closed again" limpet exec "$ID" "${try[@]}" >>"$T/log/exec" 2>&1
	check "$1: the standard ones stay" limpet exec "$ID" head -c 1 /dev/zero >>"$T/log/exec" 2>&1
	limpet delete --force "$ID" || fail "delete"
}

# --- paths
paths() {
	bundle "$SLEEP" '{}' ".linux.cgroupsPath=\"$1\""
	up "$ID"
	check "cgroupsPath $1 is $2" grep -q ":$2\$" "/proc/$(pid "$ID")/cgroup"
	limpet delete --force "$ID" || fail "delete"
}

# --- what the machine lacks is told, what is wrong is refused
refusals() {
	local f
	for f in '{"memory":{"limit":0}}|memory: limit' '{"memory":{"limit":-2}}|memory.limit' '{"pids":{"limit":4294967296}}|pids: limit' \
		'{"memory":{"limit":9223372036854775808}}|memory.limit' '{"cpu":{"shares":1}}|cpu.shares' \
		'{"hugepageLimits":[{"pageSize":"3MB","limit":1}]}|hugepageLimits\[0\]' \
		'{"unified":{"hugetlb.nothing":"1"}}|unified.hugetlb.nothing' '{"unified":{"../x.y":"1"}}|unified'; do
		bundle '["echo","ran"]' "${f%|*}"
		if run "$ID"; then fail "refused: $f: it ran"; fi
		check "refused by its path: ${f#*|}" grep -q "linux.resources.${f#*|}" "$T/out"
	done
	bundle '["echo","ran"]' '{"rdma": {"mlx5_0": {"hcaHandles": 1}}}'
	run "$ID" || fail "a controller that is not there: $(cat "$T/out")"
	if ! grep -qw rdma /proc/cgroups; then check "a missing controller is told once, and it runs" [ "$(grep -c 'rdma.*CONFIG_CGROUP_RDMA' "$T/out")" = 1 ]; fi
	check "after refusals nothing is left" [ "$(left)" = 0 ]
}

all() { verbs "$1"; devices "$1"; }

limits
all "as it is"
paths "/limpet-$ID/deep/er" "/limpet-$ID/deep/er"
paths "limpet-$ID/rel" ".*/limpet-$ID/rel"
paths "limpet$ID-x.slice:pre:name" "/limpet$ID.slice/limpet$ID-x.slice/pre-name.scope"
check "parents that we made went too" [ -z "$(find $C -type d -path "*limpet*$ID*")" ]
refusals

# a parent that somebody else made stays
for d in "$C" "$C"/*; do [ -e "$d/cgroup.procs" ] && mkdir -p "$d/limpet-other-$ID"; done
if [ -e "$C/cpu/cpu.rt_runtime_us" ]; then # real-time: a share of what the group above has
	bundle "$SLEEP" '{"cpu": {"realtimeRuntime": 1000}}' ".linux.cgroupsPath=\"/limpet-rt-$ID/x\""
	run "$ID" && fail "real-time without a budget above"
	grep -q 'linux.resources.cpu.realtimeRuntime.*the group above has 0 us for all below it: raise its cpu.rt_runtime_us' "$T/out" && ok "real-time without a budget above: told what to do" || fail "real-time: $(cat "$T/out")"
	mkdir "$C/cpu/limpet-rt-$ID" && echo 2000 >"$C/cpu/limpet-rt-$ID/cpu.rt_runtime_us"
	up "$ID"
	is "real-time with a budget above" "$C/cpu/limpet-rt-$ID/x/cpu.rt_runtime_us" 1000
	limpet delete --force "$ID"
	rmdir "$C/cpu/limpet-rt-$ID"
fi
bundle "$SLEEP" '{"pids": {"limit": 9}}' ".linux.cgroupsPath=\"/limpet-other-$ID/x\""
up "$ID"
limpet delete --force "$ID" || fail "delete"
other=0
for d in "$C" "$C"/*; do
	[ -e "$d/cgroup.procs" ] || continue
	[ -d "$d/limpet-other-$ID" ] && other=$((other + 1))
	rmdir "$d/limpet-other-$ID"
done
check "a parent of others stays ($other hierarchies)" [ "$other" -gt 0 ]

# memory: the limit kills, events tell of it
if has memory; then
	bundle '["sh","-c","while [ ! -e /dev/shm/go ]; do sleep 0.1; done; dd if=/dev/zero of=/dev/null bs=64M count=1; sleep 600"]' '{"memory": {"limit": 16777216, "swap": 16777216}}'
	up "$ID"
	"$BUILD/bin/limpet" --root "$T/state" events --interval 60s "$ID" >"$T/stats" &
	LIB_PIDS+=($!)
	watches() { ls -l "/proc/$1/fd" | grep -E 'eventfd|memory\.events'; }
	lib_until 5 watches $! || fail "events watches nothing"
	limpet exec "$ID" sh -c ': >/dev/shm/go' || fail "exec"
	check "events: oom" lib_until 5 jq -e '.type == "oom"' "$T/stats"
	lib_stop $!
	limpet delete --force "$ID" || fail "delete"
fi

OPT=(--cgroup-manager disabled)
bundle '["echo","ran"]' '{"pids": {"limit": 9}}'
run "$ID" || fail "--cgroup-manager disabled: $(cat "$T/out")"
check "--cgroup-manager disabled: runs and says what is missing" sh -c "grep -q ran '$T/out' && grep -q 'pids.limit: not enforced' '$T/out'"
OPT=(--cgroup-manager systemd)
run "$ID" && check "--cgroup-manager systemd: nothing of it is needed" grep -q ran "$T/out"
OPT=(--cgroup-manager other)
check_not "--cgroup-manager other" run "$ID"
OPT=()

# cycles leave nothing
bundle '["sleep","600"]' '{"pids": {"limit": 9}}'
n=0
start=$(date +%s%N)
while [ $n -lt "$CYCLES" ]; do
	run --detach "$ID" && limpet pause "$ID" && limpet resume "$ID" && limpet delete --force "$ID" || { fail "cycle $n: $(cat "$T/out")"; break; }
	n=$((n + 1))
done
lib_say "     $n cycles of run, pause, resume, delete: $((($(date +%s%N) - start) / 1000000 / (n ? n : 1))) ms each"
check "they leave nothing" [ "$(left)" = 0 ]

# --- other views of the same machine
if [ -d $C/unified ]; then
	umount $C/unified
	all "v1 alone"
	check "v1 alone: nothing is left" [ "$(left)" = 0 ]
fi
mount -t cgroup2 cgroup2 $C || die "mount cgroup2"
all "v2 alone"
check "v2 alone: nothing is left" [ "$(left)" = 0 ]
mount -o remount,ro,bind $C
bundle '["echo","ran"]' '{"pids": {"limit": 9}}'
run "$ID" || fail "read-only: $(cat "$T/out")"
check "read-only: it runs and says so" sh -c "grep -q ran '$T/out' && grep -q 'pids.limit: not enforced' '$T/out'"
mount -t tmpfs none $C
run "$ID" || fail "none: $(cat "$T/out")"
check "no control groups: it runs and says so" sh -c "grep -q ran '$T/out' && grep -q 'pids.limit: not enforced' '$T/out'"
