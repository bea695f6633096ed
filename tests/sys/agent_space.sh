#!/usr/bin/env bash
# The disk is full, of bytes or of inodes, before, during and after an update: the agent says so, what runs goes on, and when there is space again
# it goes on too, without a new start of anything. The smallest disk that it starts on at all: 8 MiB, 64 inodes.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto docker-registry umoci skopeo jq mkfs.ext4
lib_begin agent_space
DEV=space-$$
STATE=$T/$DEV/state
mkdir -p "$STATE"
trap 'rc=$?; set +e; mountpoint -q "$STATE" && umount -l "$STATE"; (exit $rc); lib_end' EXIT
start_fleet $DEV
for v in 1 2; do fleetctl publish "$REG/demo/web:$v" --version $v >>"$T/log/publish"; done
pid() { agentctl $DEV ps -o json 2>/dev/null | jq -r ".web.pid // empty"; }
disk() { # MIB INODES
	rm -f "$T/disk"
	truncate -s "$1M" "$T/disk"
	mkfs.ext4 -q -F -N "$2" -m 0 -J size=1 "$T/disk" 2>/dev/null || mkfs.ext4 -q -F -N "$2" -m 0 "$T/disk"
	mount -o loop "$T/disk" "$STATE"
}
apply() { # RELEASE MEMORY
	cat >"$T/m.json" <<-END2
		{"apps": [{"name": "web", "release": "$1", "memory": {"max_bytes": $2}, "restart": {"policy": "always", "delay_ms": 100},
		  "health": {"http": {"port": 8080, "path": "/healthz"}, "interval_ms": 200, "start_grace_ms": 500}}], "update": {"probation_ms": 300}}
	END2
	fleetctl apply -f "$T/m.json" -d $DEV >"$T/log/apply" 2>&1 || fail "apply: $(cat "$T/log/apply")"
}
fill_bytes() { dd if=/dev/zero of="$STATE/filler" bs=1k 2>/dev/null || true; }
fill_inodes() { # an unwritable inode table is as full as a disk
	mkdir -p "$STATE/filler"
	local n=0
	while : >"$STATE/filler/$n"; do n=$((n + 1)); done 2>/dev/null || true
}
free_space() { rm -rf "$STATE/filler"; }
said() { agentctl $DEV events -n 30 | grep -q "$1"; }

# --- the smallest disk: it starts, says no, and stays
disk 8 64
start_agent $DEV
apply web:1 16777216
lib_until 30 is phase rejected && ok "8 MiB, 64 inodes: rejected: $(field err.msg)" || fail "phase $(field phase): $(field err.msg)"
case "$(field err.msg)" in *needs*inodes*|*needs*bytes*|*"No space left"*) ok "it says what it lacks" ;; *) fail "it does not say what it lacks: $(field err.msg)" ;; esac
is cores 0 && ok "core was not started again" || fail "cores $(field cores)"
lib_agent_end $DEV
umount "$STATE"

for kind in bytes inodes; do
	disk 24 400
	start_agent $DEV
	if [ $kind = bytes ]; then REV=2; else REV=6; fi
	apply web:1 16777216
	lib_until 40 converged $REV && ok "$kind: rev $REV converged" || fail "$kind: phase $(field phase): $(field err.msg)"
	PID=$(pid)

	# before: the manifest itself cannot be kept
	fill_$kind
	apply web:2 16777216
	lib_until 20 said 'No space left' && ok "$kind full before: it says so" || fail "$kind: $(agentctl $DEV events -n 5)"
	[ "$(pid)" = "$PID" ] && is cores 0 && ok "the app and core go on" || fail "pid $(pid), cores $(field cores)"
	free_space
	lib_until 60 converged $((REV + 1)) && ok "$kind freed: rev $((REV + 1)) converged by itself" || fail "$kind: rev $(field rev), $(field phase): $(field err.msg)"
	is apps.web.version 2 && is cores 0 && ok "without a new start of core" || fail "version $(field apps.web.version), cores $(field cores)"

	# after: what is confirmed, told and forgotten meanwhile
	fill_$kind
	PID=$(pid)
	kill -KILL "$PID"
	lib_until 20 bash -c "p=\$('$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' ps -o json | jq -r '.web.pid // empty'); [ -n \"\$p\" ] && [ \"\$p\" != $PID ]" &&
		ok "$kind full after: an app that ends is started again" || fail "$kind: the app stays away"
	apply web:2 1099511627776 # more than the machine has: a verdict that cannot be kept
	named() { [ "$(field err.kind)" = no-space ] && field err.msg | grep -q 'disk is full'; }
	lib_until 20 named && ok "$kind: the state names it: $(field err.msg)" || fail "$kind: err $(field err)"
	free_space
	lib_until 20 is err.kind rejected && ok "$kind freed: the verdict is kept" || fail "$kind: err $(field err)"
	apply web:2 15000000
	lib_until 40 converged $((REV + 3)) && ok "$kind: rev $((REV + 3)) converged" || fail "$kind: phase $(field phase): $(field err.msg)"
	is cores 0 && ok "core was never started again" || fail "cores $(field cores)"
	lib_agent_end $DEV
	check "$kind: the state directory is whole" "$BUILD/bin/agentd-core" --check "$STATE" >>"$T/log/check"
	umount "$STATE"
done

# during: the disk fills while the image is installed; it is there as soon as there is space
disk 24 400
start_agent $DEV
fill_bytes
truncate -s -5M "$STATE/filler" # a rest that is not enough beside the reserve
apply web:1 16777216
lib_until 40 is phase rejected && ok "too little left: rejected: $(field err.msg)" || fail "phase $(field phase)"
[ -z "$(ls -A "$STATE/store/tmp")" ] && ok "nothing is left of the try" || fail "left: $(ls "$STATE/store/tmp")"
free_space
apply web:2 16777216
lib_until 40 is phase converged && is cores 0 && ok "and the next converges" || fail "phase $(field phase): $(field err.msg)"
lib_agent_end $DEV
umount "$STATE"
