#!/usr/bin/env bash
# User namespaces of apps: on by default, and what is told where ids cannot be shifted: of one volume, of all (a kernel without
# id-mapped mounts), and an app that requires them then.
. "${SOURCE:?}/tests/sys/lib.sh" || exit 1
lib_need umoci jq openssl python3 unshare
[ "$(id -u)" = 0 ] || lib_skip "needs root"
lib_begin agent_userns
DEV=user-$$
init_fleet $DEV
make_images
no_broker
fleetctl publish "dir:$T/img:1" --name web --version 1 >>"$T/log/publish" 2>&1
# ramfs shifts no ids, as UBIFS, JFFS2 and kernels before 5.12 do not
mkdir -p "$T/$DEV/state/volumes/odd/data"
mount -t ramfs ramfs "$T/$DEV/state/volumes/odd/data"
end() {
	local rc=$?
	set +e
	[ -z "${AGENT_PID:-}" ] || { kill "$AGENT_PID" 2>/dev/null; wait "$AGENT_PID" 2>/dev/null; }
	umount -l "$T/$DEV/state/volumes/odd/data"
	(exit $rc)
	lib_end
}
trap end EXIT
app() { echo "{\"name\":\"$1\",\"release\":$(release web 1),\"sources\":[\"dir:$T/img\"],\"env\":{\"BEAT\":\"0.2\"},\"stop\":{\"grace_ms\":1500}$2}"; }
VOLUME=',"mounts":[{"type":"volume","name":"data","target":"/data"}]'
uid_of() { awk '/^Uid:/{print $2}' "/proc/$(field "apps[\"$1\"].pid")/status"; }

start_agent $DEV
ctl apply "$(desired 1 "$(app plain "$VOLUME"),$(app odd "$VOLUME"),$(app off "$VOLUME,\"userns\":\"off\"")")" | grep -q accepted || die "apply"
lib_until 40 is phase converged || die "phase $(field phase): $(field err.msg)"
is apps.plain.enforce.userns.state enforced && is apps.plain.enforce.userns.why null && ok "on by default" || fail "$(field apps.plain.enforce.userns)"
[ "$(uid_of plain)" -gt 100000 ] && ok "host uid $(uid_of plain)" || fail "host uid $(uid_of plain)"
ctl exec plain -- sh -c 'echo x >/data/f' && [ "$(stat -c %u "$T/$DEV/state/volumes/plain/data/f")" = 0 ] && ok "its volume is shifted: written as root, on disk too" || fail "volume: $(ls -ln "$T/$DEV/state/volumes/plain/data")"
[ "$(uid_of off)" = 0 ] && ok "control: off is off" || fail "off runs as $(uid_of off)"
field apps.odd.enforce.userns.why | grep -q '^/data: .*shift ids' && ok "a volume that cannot be shifted is told: $(field apps.odd.enforce.userns.why)" || fail "odd: $(field apps.odd.enforce)"
ctl exec odd -- sh -c 'echo x >/data/f' 2>/dev/null && fail "odd wrote to what is nobody's" || ok "and is nobody's"

# two names whose hashes meet: each has ids of its own, the same at each start and after a new agent, until app and volumes are gone
meet() { python3 -c 'import sys
def h(s):
    v = 2166136261
    for c in s.encode(): v = (v ^ c) * 16777619 % 2**32
    return v % 8192
print(h(sys.argv[1]) == h(sys.argv[2]))' "$@"; }
[ "$(meet hmi-1 stream-1)$(meet hmi-1 plain)" = TrueFalse ] || fail "control: these names do not meet"
BOTH="$(app hmi-1 "$VOLUME"),$(app stream-1 "$VOLUME")"
REST="$(app plain "$VOLUME"),$(app odd "$VOLUME"),$(app off "$VOLUME,\"userns\":\"off\"")"
ctl apply "$(desired 2 "$REST,$BOTH")" | grep -q accepted || die "apply: two"
lib_until 40 converged 2 || die "phase $(field phase): $(field err.msg)"
U1=$(uid_of hmi-1) U2=$(uid_of stream-1)
[ "$U1" -gt 100000 ] && [ "$U2" -gt 100000 ] && [ $((U1 - U2)) -ge 65536 -o $((U2 - U1)) -ge 65536 ] && ok "ids of their own: $U1, $U2" || fail "ids $U1, $U2"
power_off $DEV
start_agent $DEV
up() { is 'apps["hmi-1"].state' running && is 'apps["stream-1"].state' running; }
lib_until 40 up && [ "$(uid_of hmi-1)/$(uid_of stream-1)" = "$U1/$U2" ] && ok "the same after a power cut" || fail "ids $(uid_of hmi-1), $(uid_of stream-1)"
ctl apply "$(desired 3 "$REST")" >/dev/null && lib_until 40 converged 3 || fail "phase $(field phase)"
ctl apply "$(desired 4 "$REST,$(app stream-1 "$VOLUME")")" >/dev/null && lib_until 40 converged 4 || fail "phase $(field phase)"
[ "$(uid_of stream-1)" = "$U2" ] && ok "and when it comes back to its volume" || fail "id $(uid_of stream-1), not $U2"

kill "$AGENT_PID"
wait "$AGENT_PID" 2>/dev/null || true
export LIMPET_SYS_DENY=80 # no mount_setattr: as before Linux 5.12
start_agent $DEV
unset LIMPET_SYS_DENY
lib_until 20 is apps.plain.enforce.userns.state degraded && ok "a kernel without id-mapped mounts: degraded" || fail "$(field apps.plain.enforce.userns)"
[ -n "$(field apps.plain.enforce.userns.why)" ] && ok "with why: $(field apps.plain.enforce.userns.why)" || fail "no why"
is apps.plain.state running && [ "$(uid_of plain)" = 0 ] && ok "the app runs without" || fail "$(field apps.plain)"
ctl apply "$(desired 5 "$(app plain ',"userns":"required"')")" >"$T/log/required" 2>&1 || true
refused() { is phase rejected || grep -qi userns "$T/log/required"; }
lib_until 10 refused && ok "required there is refused: $(head -n 1 "$T/log/required")" || fail "phase $(field phase): $(cat "$T/log/required")"
