#!/usr/bin/env bash
# The device's own system by RAUC, with its real service, real signed bundles and two slots on loop devices; a script stands for the boot loader
# and for the reboot. An update is installed, booted, confirmed; one that does not come up is left by the boot loader, one that does not become
# healthy is left by the agent; a bundle with a foreign signature is refused; none of the bad ones is tried again.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto docker-registry umoci skopeo jq rauc mksquashfs dbus-daemon openssl losetup
lib_begin os_rauc
DEV=os-$$
R=$T/rauc
mkdir -p "$R/mnt"
LOOPS=()
trap 'rc=$?; set +e; for l in "${LOOPS[@]}"; do losetup -d "$l"; done; (exit $rc); lib_end' EXIT

# --- what an image builder brings: keys, two slots, RAUC's settings, a boot loader's memory
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$R/key.pem" -out "$R/cert.pem" -subj "/CN=bundles" -days 30 2>/dev/null
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$R/foreign.key" -out "$R/foreign.pem" -subj "/CN=foreign" -days 30 2>/dev/null
for s in A B; do
	truncate -s 4M "$R/slot-$s"
	LOOPS+=("$(losetup -f --show "$R/slot-$s")")
done
cat >"$R/backend" <<END2
#!/bin/sh
cd "$R/boot" || exit 1
case \$1 in
get-primary) cat primary ;;
set-primary) echo "\$2" >primary ;;
get-state) cat "state.\$2" ;;
set-state) echo "\$3" >"state.\$2"; echo "\$2 \$3" >>log ;;
esac
END2
printf '#!/bin/sh\necho asked >>%s\n' "$R/reboots" >"$R/reboot"
chmod +x "$R/backend" "$R/reboot"
mkdir "$R/boot"
echo A >"$R/boot/primary"
echo good >"$R/boot/state.A"
echo bad >"$R/boot/state.B"
cat >"$R/system.conf" <<END2
[system]
compatible=limpet-test
bootloader=custom
statusfile=$R/status
mountprefix=$R/mnt
bundle-formats=plain
[keyring]
path=$R/cert.pem
[handlers]
bootloader-custom-backend=$R/backend
[slot.rootfs.0]
device=${LOOPS[0]}
type=raw
bootname=A
[slot.rootfs.1]
device=${LOOPS[1]}
type=raw
bootname=B
END2
bundle() { # VERSION KEY CERT: published into the directory of sources; prints what a manifest says of it
	rm -rf "$R/bundle"
	mkdir "$R/bundle"
	head -c 1048576 /dev/urandom >"$R/bundle/root.img"
	cp "$R/bundle/root.img" "$R/root-$1.img"
	printf '[update]\ncompatible=limpet-test\nversion=%s\n[image.rootfs]\nfilename=root.img\n' "$1" >"$R/bundle/manifest.raucm"
	rm -f "$R/out.raucb"
	rauc bundle --cert="$3" --key="$2" --keyring="$3" "$R/bundle" "$R/out.raucb" >>"$T/log/bundle" 2>&1 || die "bundle: $(cat "$T/log/bundle")"
	fleetctl publish "dir:$T/os:$1" --os "$R/out.raucb" --name os >>"$T/log/bundle" 2>&1 || die "publish: $(tail -n 3 "$T/log/bundle")"
	printf '{"release":"os:%s"}' "$1"
}

# --- machine
export DBUS_STARTER_BUS_TYPE=session
DBUS_SESSION_BUS_ADDRESS=unix:path=$R/bus
export DBUS_SESSION_BUS_ADDRESS
lib_run dbus dbus-daemon --session --nofork --address="$DBUS_SESSION_BUS_ADDRESS"
lib_until 10 test -S "$R/bus" || die "no bus"
boot() { # SLOT: the boot loader's choice
	SLOT=$1
	[ -z "${RAUC_PID:-}" ] || lib_stop "$RAUC_PID"
	lib_run rauc rauc --conf="$R/system.conf" --override-boot-slot="$SLOT" service
	RAUC_PID=$LIB_PID
	lib_until 10 rauc status || die "no RAUC: $(cat "$T/log/rauc")"
	echo "boot-$RANDOM-$SLOT" >"$R/boot_id"
	start_agent $DEV
}
export LIMPET_BOOT_ID=$R/boot_id

start_fleet $DEV
fleetctl publish "$REG/demo/web:1" --version 1 >>"$T/log/publish"
AGENTD=$FLEETCTL_DIR/devices/$DEV/agentd.json
jq --arg r "$R/reboot" '.os_updater = "rauc" | .reboot_command = [$r] | .os_confirm_s = 8' "$AGENTD" >"$T/agentd.json" && cp "$T/agentd.json" "$AGENTD"
reboots() { [ "$(wc -l <"$R/reboots" 2>/dev/null || echo 0)" -ge "$1" ]; }
said() { agentctl $DEV events -n 60 | grep -q "$1"; }
apply() { # OS
	jq -n --argjson os "$1" '{apps: [{name: "web", release: "web:1", memory: {max_bytes: 16777216}}], update: {probation_ms: 300}, os: $os}' >"$T/m.json"
	fleetctl apply -f "$T/m.json" -d $DEV >"$T/log/apply" 2>&1 || fail "apply: $(cat "$T/log/apply")"
}
boot A

# --- an update that goes well
bundle 1 "$R/key.pem" "$R/cert.pem" >/dev/null # to be too old later
apply "$(bundle 2 "$R/key.pem" "$R/cert.pem")"
lib_until 60 reboots 1 && ok "installed, and a reboot was asked for" || fail "os: $(field os)"
cmp -s -n 1048576 "$R/root-2.img" "$R/slot-B" && ok "the other slot holds the new system" || fail "slot B holds something else"
is os.phase rebooting && is os.version 2 && ok "phase rebooting" || fail "os: $(field os)"
[ "$(cat "$R/boot/primary")" = B ] && ok "the boot loader was told" || fail "primary $(cat "$R/boot/primary")"
is phase converged && ok "the apps' manifest converged before" || fail "phase $(field phase)"
power_off $DEV
: >"$R/boot/log"
boot B
lib_until 60 is os.phase good && ok "booted, healthy, confirmed" || fail "os: $(field os)"
is os.slot B && ok "slot B" || fail "slot $(field os.slot)"
grep -qx 'B good' "$R/boot/log" && ok "marked good with the boot loader" || fail "boot loader's log: $(cat "$R/boot/log")"
said 'os-confirmed' && ok "event os-confirmed" || fail "no event"
[ "$(field apps.web.pid)" != null ] && ok "the app runs in the new system" || fail "no app"

# --- one that does not come up: the boot loader goes back by itself
apply "$(bundle 3 "$R/key.pem" "$R/cert.pem")"
lib_until 60 reboots 2 && ok "3: installed" || fail "os: $(field os)"
power_off $DEV
boot B
lib_until 30 is os.phase failed && ok "3: fell back, and that is told: $(field os.why)" || fail "os: $(field os)"
said 'os-failed.*3' && ok "event os-failed" || fail "no event"
sleep 3
reboots 3 && fail "it is tried again" || ok "it is not tried again"

# --- one that comes up and has no network: the agent leaves it
apply "$(bundle 4 "$R/key.pem" "$R/cert.pem")"
lib_until 60 reboots 3 && ok "4: installed" || fail "os: $(field os)"
power_off $DEV
lib_stop "$BROKER_PID"
: >"$R/boot/log"
boot A
lib_until 10 is os.phase trial && ok "4: on trial" || fail "os: $(field os)"
lib_until 60 reboots 4 && ok "4: not healthy in time, a reboot was asked for" || fail "os: $(field os)"
grep -qx 'A bad' "$R/boot/log" && ok "marked bad with the boot loader" || fail "boot loader's log: $(cat "$R/boot/log")"
power_off $DEV
lib_run broker mosquitto -c "$T/broker/mosquitto.conf"
boot B
lib_until 30 is link online || fail "not online"
is os.phase failed && ok "back in the system before: $(field os.why)" || fail "os: $(field os)"

# --- a foreign signature
apply "$(bundle 5 "$R/foreign.key" "$R/foreign.pem")"
lib_until 60 is os.phase failed && lib_until 5 is os.version 5 && ok "5: a foreign signature is refused: $(field os.why)" || fail "os: $(field os)"
reboots 5 && fail "and rebooted" || ok "no reboot"

# --- right bytes, right signature of RAUC's, but no release key stands behind them
bundle 5.1 "$R/key.pem" "$R/cert.pem" >/dev/null
jq -n '{apps: [], os: {release: "os:5.1"}}' >"$T/m.json"
F=$(fleetctl apply -f "$T/m.json" -d $DEV --dry-run)
jq -r .payload "$FLEETCTL_DIR/releases/os/$(jq .os.release.counter <<<"$F").json" | base64 -d | "$SOURCE/tests/tool/forge.py" release "$FLEETCTL_DIR/keys/fleet-1.key" >"$T/forged"
D=$(sha256sum <"$T/forged" | cut -c1-64)
cp "$T/forged" "$T/os/blobs/sha256/$D"
INSTALLS=$(grep -c 'installing' "$T/log/rauc" || true)
apply "$(jq -c --arg d "sha256:$D" --argjson s "$(stat -c %s "$T/forged")" '.os | .release.digest = $d | .release.size = $s' <<<"$F")"
lib_until 60 is os.version 5.1 && lib_until 30 is os.phase failed || fail "os: $(field os)"
grep -q 'release keys: 0 of 1 signatures' <<<"$(field os.why)" && ok "5.1: a fleet key alone gives the updater nothing: $(field os.why)" || fail "os: $(field os)"
[ "$(grep -c 'installing' "$T/log/rauc" || true)" = "$INSTALLS" ] && ok "and the updater was not asked" || fail "the updater was asked"
lib_until 20 bash -c "[ -z \"\$(find '$T/$DEV/state/store/blobs' -size +1M)\" ]" && ok "no bundle stays in the store" || fail "a bundle stays"
# one below what was good here
apply '{"release":"os@1"}'
lib_until 20 is err.kind rejected && grep -q 'os.release.counter' <<<"$(field err.msg)" && [ "$(field os.version)" = 5.1 ] && ok "an older system is refused: $(field err.msg)" ||
	fail "below the floor: $(field err.msg) $(field os)"

# --- wrong bytes for a digest
OS=$(bundle 6 "$R/key.pem" "$R/cert.pem")
printf x | dd of="$T/os/blobs/sha256/$(sha256sum <"$R/out.raucb" | cut -c1-64)" bs=1 seek=1000 conv=notrunc status=none
apply "$OS"
cp "$R/out.raucb" "$T/right"
something_else() { field os.why | grep -q 'is something else'; }
INSTALLS=$(grep -c 'installing' "$T/log/rauc" || true)
lib_until 60 is os.version 6 && lib_until 30 something_else && ok "6: wrong bytes are never given to the updater: $(field os.why)" || fail "os: $(field os)"
is os.phase failed && fail "6: one wrong answer of a source is final"
[ "$(grep -c 'installing' "$T/log/rauc" || true)" = "$INSTALLS" ] || fail "6: the updater was asked"
is phase converged && ok "and the apps' manifest converged" || fail "phase $(field phase)"
cp "$T/right" "$T/os/blobs/sha256/$(sha256sum <"$T/right" | cut -c1-64)"
lib_until 90 reboots 5 && ok "6: the right ones come later, and it is installed" || fail "os: $(field os)"
