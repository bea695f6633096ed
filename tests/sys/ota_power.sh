#!/usr/bin/env bash
# Power goes at any write. The real agent, with broker and registry, updates, is rolled back, collects and rotates its trust on an ext4 whose
# device logs every write and flush (tests/tool/blklog.py). Then the disk of every prefix of the log, and of 1,000 random subsets (with torn
# writes) of what came after the last flush, is mounted, and the agent's own start-up is run on it: a complete set must be there to run, no
# name may hold other bytes than it says, and no counter that was told as durable may be lost.
. "${SOURCE:?}/tests/sys/lib.sh"
FS=${FS:-ext4}
export FS
lib_need mosquitto docker-registry umoci skopeo jq python3 qemu-storage-daemon "mkfs.$FS"
[ -e /dev/fuse ] || lib_skip "no /dev/fuse here"
lib_begin ota_power
DEV=power-$$
if [ -n "${OTA_POWER_MADE:-}" ]; then # in a guest: names the directory, device and ports of a fleet that was made outside (ota_power_f2fs.sh)
	rm -rf "$T"
	. "$OTA_POWER_MADE"
	export FLEETCTL_DIR=$T/fleet
fi
W=$T/power
STATE=$T/$DEV/state
mkdir -p "$W" "$STATE"
trap 'rc=$?; set +e; mountpoint -q "$STATE" && umount -l "$STATE"; (exit $rc); lib_end' EXIT

if [ -n "${OTA_POWER_MADE:-}" ]; then
	start_broker
	start_registry "$REG_PORT"
else
	start_fleet $DEV
	for v in 1 2 3; do fleetctl publish "$REG/demo/web:$v" --version $v >>"$T/log/publish"; done
fi
told() { grep -qE "^[0-9]+ $1( |\$)" "$W/points"; }
manifest() { # FILE RELEASE MEMORY
	cat >"$1" <<-END
		{"apps": [{"name": "web", "release": "$2", "memory": {"max_bytes": $3}, "restart": {"policy": "always", "delay_ms": 100},
		  "health": {"http": {"port": 8080, "path": "/healthz"}, "interval_ms": 200, "start_grace_ms": 500}}], "update": {"probation_ms": 300}}
	END
}
apply() { # RELEASE MEMORY REV PHASE
	manifest "$T/m.json" "$1" "$2"
	fleetctl apply -f "$T/m.json" -d $DEV >"$T/log/apply" 2>&1 || fail "apply $1: $(cat "$T/log/apply")"
	lib_until 30 bash -c "'$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' status -o json | jq -e '.want == $3 and .phase == \"$4\"'" &&
		ok "rev $3 ($1): $4" || fail "rev $3: $(field phase), $(field err.msg)"
}

# --- the state before: rev 1 runs
case $FS in
ext4) truncate -s 32M "$W/base" && mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 -J size=4 "$W/base" ;;
f2fs) truncate -s 64M "$W/base" && mkfs.f2fs -q -f "$W/base" >"$T/log/mkfs" ;; # 52 MB at least, of which 8 are free
esac
mount -t "$FS" -o loop "$W/base" "$STATE"
start_agent $DEV
apply web:1 16777216 1 converged
lib_until 10 is link online || fail "not online"
lib_agent_end $DEV
umount "$STATE"

# --- what power goes in
lib_run record python3 -B "$SOURCE/tests/tool/ota_power.py" record "$W" "$STATE"
RECORD_PID=$LIB_PID
lib_until 20 test -S "$W/tell" || die "no recorder: $(cat "$T/log/record" "$W/qsd.log")"
export LIMPET_TELL=$W/tell
start_agent $DEV
unset LIMPET_TELL
apply web:2 16777216 2 converged
agentctl $DEV rollback >>"$T/log/rollback" 2>&1 || fail "rollback: $(cat "$T/log/rollback")"
lib_until 20 is apps.web.version 1 && ok "rolled back to version 1" || fail "version $(field apps.web.version)"
apply web:2 16000000 3 converged
apply web:3 16777216 4 rolled-back
fleetctl keys rotate release --keep >>"$T/log/rotate" 2>&1 || fail "rotate: $(cat "$T/log/rotate")"
lib_until 20 is trust 2 && ok "trust 2 in force" || fail "trust $(field trust)"
apply web:2 15000000 5 converged
lib_until 20 told collected && ok "collected" || fail "never collected"
lib_agent_end $DEV
lib_stop "$RECORD_PID"
mountpoint -q "$STATE" && fail "the recorder left its mount"

# --- power goes
check "no cut loses anything" python3 -B "$SOURCE/tests/tool/ota_power.py" replay "$W"
# the check itself must be able to fail: the last document of the store with one byte changed
mount -t "$FS" -o loop "$W/disk" "$STATE"
check "the state as it ended starts" "$BUILD/bin/agentd-core" --check "$STATE" >"$T/log/check" 2>&1
OBJ=$(find "$STATE/store/objects" -type f -size +100k | head -n 1)
printf x | dd of="$OBJ" bs=1 seek=1000 conv=notrunc status=none
check_rc 2 "one changed byte is found" "$BUILD/bin/agentd-core" --check "$STATE" >>"$T/log/check" 2>&1
umount "$STATE"
