#!/usr/bin/env bash
# The device's own system by SWUpdate: its real daemon with signed images, two slots on files, and U-Boot's real environment, which swupdate and
# fw_setenv write; a script stands for the boot loader that reads it (bootcount, fall-back) and for the reboot. An update is installed, booted,
# confirmed with the words of agentd.json; one that does not come up is left by the boot loader, one that does not become healthy by the agent.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto docker-registry umoci skopeo jq swupdate swupdate-client fw_setenv cpio openssl
lib_begin os_swupdate
DEV=swu-$$
R=$T/swu
trap 'rc=$?; set +e; [ -z "${SWUPDATE_PID:-}" ] || lib_stop "$SWUPDATE_PID"; umount -l /proc/cmdline /etc 2>/dev/null; (exit $rc); lib_end' EXIT
mkdir -p "$R/boot" "$R/sock" "$R/etc" "$R/work"

# --- what an image builder brings: keys, two slots, U-Boot's environment, the daemon's arguments
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$R/key.pem" -out "$R/cert.pem" -subj "/CN=os" -addext extendedKeyUsage=emailProtection \
	-days 30 2>/dev/null
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$R/foreign.key" -out "$R/foreign.pem" -subj "/CN=foreign" \
	-addext extendedKeyUsage=emailProtection -days 30 2>/dev/null
truncate -s 2M "$R/slot-A" "$R/slot-B"
python3 - "$R/env" <<'END'
import struct, sys, zlib
data = b"slot=A\0upgrade_available=0\0bootcount=0\0\0".ljust(0x2000 - 4, b"\0")
open(sys.argv[1], "wb").write(struct.pack("<I", zlib.crc32(data)) + data)
END
# libubootenv and swupdate look for it there; the kernel's command line says which slot is booted
mount -t overlay "$LIB_ID" -o "lowerdir=/etc,upperdir=$R/etc,workdir=$R/work" /etc || lib_skip "no overlayfs here"
echo "$R/env 0x0 0x2000" >/etc/fw_env.config
env_of() { fw_printenv -n "$1" 2>/dev/null; }
printf '#!/bin/sh\necho asked >>%s\n' "$R/reboots" >"$R/reboot"
printf '#!/bin/sh\nexec fw_setenv slot "$(test "$(fw_printenv -n slot)" = A && echo B || echo A)"\n' >"$R/go-back"
chmod +x "$R/reboot" "$R/go-back"
bundle() { # VERSION KEY CERT: published into the directory of sources; prints what a manifest says of it
	local hash s
	rm -rf "$R/bundle"
	mkdir "$R/bundle"
	head -c 1048576 /dev/urandom >"$R/bundle/root.img"
	cp "$R/bundle/root.img" "$R/root-$1.img"
	hash=$(sha256sum <"$R/bundle/root.img" | cut -c1-64)
	{
		printf 'software = { version = "%s"; hardware-compatibility: ["1.0"]; stable: {\n' "$1"
		for s in A B; do
			printf ' slot-%s: { images: ({filename = "root.img"; device = "%s"; type = "raw"; sha256 = "%s";});\n' $s "$R/slot-$s" "$hash"
			printf '  bootenv: ({name = "slot"; value = "%s";}, {name = "upgrade_available"; value = "1";}, {name = "bootcount"; value = "0";}); };\n' $s
		done
		printf '}; }\n'
	} >"$R/bundle/sw-description"
	(
		cd "$R/bundle"
		openssl cms -sign -in sw-description -out sw-description.sig -signer "$3" -inkey "$2" -outform DER -nosmimecap -binary
		printf 'sw-description\nsw-description.sig\nroot.img\n' | cpio -o -H crc >out.swu
	) 2>"$T/log/bundle" || die "bundle: $(cat "$T/log/bundle")"
	fleetctl publish "dir:$T/os:$1" --os "$R/bundle/out.swu" --name os >>"$T/log/bundle" 2>&1 || die "publish: $(tail -n 3 "$T/log/bundle")"
	printf '{"release":"os:%s"}' "$1"
}

# --- machine
SWUPDATE_PID=''
boot() { # what U-Boot does with its variables; then the daemon that installs into the other slot, and the agent
	local other=A
	if [ "$(env_of upgrade_available)" = 1 ]; then
		if [ "$(env_of bootcount)" -ge 1 ]; then # came up once and nobody confirmed: the old one
			"$R/go-back"
			fw_setenv upgrade_available 0
		else fw_setenv bootcount 1; fi
	fi
	SLOT=$(env_of slot)
	[ "$SLOT" = B ] || other=B
	! mountpoint -q /proc/cmdline || umount /proc/cmdline
	echo "quiet root=PARTUUID=00000000-0000-0000-0000-00000000000$SLOT rw" >"$R/cmdline"
	mount --bind "$R/cmdline" /proc/cmdline
	[ -z "$SWUPDATE_PID" ] || lib_stop "$SWUPDATE_PID"
	rm -f "$R/sock"/*
	TMPDIR=$R/sock lib_run swupdate swupdate -B uboot -k "$R/cert.pem" -H limpet:1.0 -e "stable,slot-$other"
	SWUPDATE_PID=$LIB_PID
	lib_until 10 test -S "$R/sock/sockinstctrl" || die "no swupdate: $(cat "$T/log/swupdate")"
	echo "boot-$RANDOM-$SLOT" >"$R/boot_id"
	TMPDIR=$R/sock start_agent $DEV
}
export LIMPET_BOOT_ID=$R/boot_id

start_fleet $DEV
fleetctl publish "$REG/demo/web:1" --version 1 >>"$T/log/publish"
AGENTD=$FLEETCTL_DIR/devices/$DEV/agentd.json
jq --arg r "$R/reboot" --arg b "$R/go-back" '.os_updater = "swupdate" | .reboot_command = [$r] | .os_confirm_s = 8 | .os_install_s = 45 |
	.os_confirm_command = ["fw_setenv", "upgrade_available", "0"] | .os_revert_command = [$b]' "$AGENTD" >"$T/agentd.json" && cp "$T/agentd.json" "$AGENTD"
reboots() { [ "$(wc -l <"$R/reboots" 2>/dev/null || echo 0)" -ge "$1" ]; }
apply() { # OS; no user namespace: nobody may mount a procfs in one while something lies over /proc/cmdline
	jq -n --argjson os "$1" '{apps: [{name: "web", release: "web:1", memory: {max_bytes: 16777216}, userns: "off"}], update: {probation_ms: 300}, os: $os}' >"$T/m.json"
	fleetctl apply -f "$T/m.json" -d $DEV >"$T/log/apply" 2>&1 || fail "apply: $(cat "$T/log/apply")"
}
boot

# --- an update that goes well
apply "$(bundle 2 "$R/key.pem" "$R/cert.pem")"
lib_until 60 reboots 1 && ok "installed, and a reboot was asked for" || fail "os: $(field os)"
cmp -s -n 1048576 "$R/root-2.img" "$R/slot-B" && ok "the other slot holds the new system" || fail "slot B holds something else"
[ "$(env_of slot)-$(env_of ustate)" = B-1 ] && ok "swupdate told the boot loader" || fail "environment: $(fw_printenv)"
power_off $DEV
boot
[ "$SLOT" = B ] || fail "booted $SLOT"
lib_until 60 is os.phase good && ok "booted, healthy, confirmed" || fail "os: $(field os)"
is os.slot PARTUUID=00000000-0000-0000-0000-00000000000B && ok "the slot's whole name: $(field os.slot)" || fail "slot $(field os.slot)"
[ "$(env_of upgrade_available)" = 0 ] && ok "confirmed with the boot loader" || fail "environment: $(fw_printenv)"
is os.why null && ok "nothing to complain of" || fail "os: $(field os)"

# --- one that does not come up: the boot loader goes back by itself
apply "$(bundle 3 "$R/key.pem" "$R/cert.pem")"
lib_until 60 reboots 2 && ok "3: installed" || fail "os: $(field os)"
power_off $DEV
fw_setenv bootcount 1 # the new system hung before it had an agent
boot
[ "$SLOT" = B ] || fail "booted $SLOT"
lib_until 30 is os.phase failed && ok "3: fell back, and that is told: $(field os.why)" || fail "os: $(field os)"

# --- one that comes up and has no network: the agent leaves it
apply "$(bundle 4 "$R/key.pem" "$R/cert.pem")"
lib_until 60 reboots 3 && ok "4: installed" || fail "os: $(field os)"
power_off $DEV
lib_stop "$BROKER_PID"
boot
[ "$SLOT" = A ] || fail "booted $SLOT"
lib_until 60 reboots 4 && ok "4: not healthy in time, a reboot was asked for" || fail "os: $(field os)"
[ "$(env_of slot)" = B ] && ok "the boot loader was told" || fail "environment: $(fw_printenv)"
power_off $DEV
lib_run broker mosquitto -c "$T/broker/mosquitto.conf"
fw_setenv upgrade_available 0
boot
lib_until 30 is link online || fail "not online"
is os.phase failed && ok "back in the system before: $(field os.why)" || fail "os: $(field os)"

# --- a foreign signature
apply "$(bundle 5 "$R/foreign.key" "$R/foreign.pem")"
lib_until 60 is os.version 5 && lib_until 180 is os.phase failed && ok "5: a foreign signature is refused: $(field os.why)" || fail "os: $(field os)"
reboots 5 && fail "and rebooted" || ok "no reboot"

# --- an updater that never ends, and says much before: killed with what it started, and tried again
power_off $DEV
cat >"$R/never" <<EOF
#!/bin/sh
yes 'all is well' | head -c 200000
echo 'error: the last line'
sleep 1000 &
echo \$! >>$R/sleepers
wait
EOF
chmod +x "$R/never"
jq --arg n "$R/never" '.os_install_command = [$n] | .os_install_s = 5' "$AGENTD" >"$T/agentd.json" && cp "$T/agentd.json" "$AGENTD"
boot
apply "$(bundle 6 "$R/key.pem" "$R/cert.pem")"
lib_until 60 is os.version 6 && lib_until 180 is os.phase failed && [[ $(field os.why) == *"had not ended after 5 s"*"the last line"* ]] &&
	ok "6: $(field os.why)" || fail "os: $(field os)"
[ "$(wc -l <"$R/sleepers")" -gt 1 ] && ok "it was tried again" || fail "$(cat "$R/sleepers")"
for p in $(cat "$R/sleepers"); do ! lib_alive "$p" || fail "left: $p"; done

# one that closes its output and stays is no different
power_off $DEV
printf '#!/bin/sh\nexec >&- 2>&-\nsleep 1000 &\necho $! >>%s\nwait\n' "$R/silent-sleepers" >"$R/never"
boot
apply "$(bundle 7 "$R/key.pem" "$R/cert.pem")"
lib_until 60 is os.version 7 && lib_until 180 is os.phase failed && [[ $(field os.why) == *"had not ended after 5 s"* ]] && ok "7: $(field os.why)" || fail "os: $(field os)"
for p in $(cat "$R/silent-sleepers"); do ! lib_alive "$p" || fail "left: $p"; done
