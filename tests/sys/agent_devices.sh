#!/usr/bin/env bash
# Devices that come and go in running apps: real block devices (loop) that the test makes and removes, with user namespaces and
# without. Held until it is there, node and rule come and go, what is not listed is denied, stop and restart, a core that is killed.
. "${SOURCE:?}/tests/sys/lib.sh" || exit 1
lib_need umoci jq openssl python3 losetup
[ "$(id -u)" = 0 ] || lib_skip "needs root"
[ -c /dev/loop-control ] || lib_skip "no loop devices here (CONFIG_BLK_DEV_LOOP)"
# the same once more where cgroup v2 is all there is: rules by a program in place of a list
if [ -z "${LIMPET_V2:-}" ]; then
	v2=0
	LIMPET_V2=1 unshare -m --propagation private sh -c 'mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null || exit 77; exec "$0"' "$0" || v2=$?
	[ $v2 = 0 ] || [ $v2 = 77 ] || { echo "FAIL in a view of cgroup v2"; exit 1; }
	echo "--- cgroups as they are here"
fi
lib_begin agent_devices
DEV=hot-$$
# two numbers of loop devices, which are the whole machine's
free_loop() { local n; while n=$(shuf -i 300-9999 -n 1); [ -e "/sys/block/loop$n" ]; do :; done; echo "$n"; }
A=$(free_loop) B=$(free_loop)
LINK=/dev/disk/by-id/limpet-test-$A-$B
loop() { # add|remove NUMBER
	python3 - "$1" "$2" <<-'END'
		import fcntl, os, sys
		fcntl.ioctl(os.open("/dev/loop-control", os.O_RDWR), {"add": 0x4C80, "remove": 0x4C81}[sys.argv[1]], int(sys.argv[2]))
	END
}
plug() { lib_until 5 loop add "$1" && lib_until 5 losetup "/dev/loop$1" "$T/disk$1"; }
unplug() { losetup -d "/dev/loop$1" 2>/dev/null || true; lib_until 5 loop remove "$1"; }
end() {
	local rc=$? made=${MADE:-}
	set +e
	rm -f "$LINK"
	for n in $A $B; do [ -e "/sys/block/loop$n" ] && unplug $n; done
	[ -z "$made" ] || rmdir $made 2>/dev/null
	(exit $rc)
	lib_end
}
trap end EXIT
for n in $A $B; do
	head -c 65536 /dev/zero | tr '\0' "$([ $n = $A ] && echo a || echo b)" >"$T/disk$n"
done
{ plug $A && unplug $A; } 2>"$T/log/loop" || lib_skip "no loop device can be made here: $(cat "$T/log/loop")"

init_fleet $DEV
make_images
no_broker
fleetctl publish "dir:$T/img:1" --name web --version 1 >>"$T/log/publish"
start_agent $DEV
inside() { ctl exec "$1" -- sh -c "$2"; }
first() { inside "$1" "dd if=$2 bs=1 count=1 2>/dev/null"; } # APP PATH: first byte
shows() { [ "$(first "$1" "$2" 2>/dev/null)" = "$3" ]; }
reads() { [ -n "$(first "$1" "$2" 2>/dev/null)" ]; }
gone() { ! inside "$1" "[ -e $2 ]" 2>/dev/null; }
app() { # NAME MORE
	echo "{\"name\":\"$1\",\"release\":$(release web 1),\"sources\":[\"dir:$T/img\"],\"env\":{\"BEAT\":\"0.2\"},\"stop\":{\"grace_ms\":1500},\"restart\":{\"policy\":\"always\",\"delay_ms\":100,\"max_delay_ms\":200}$2}"
}
BYPATH="{\"by-path\":\"/devices/virtual/block/loop$A\"}"
MAJOR="{\"major\":7,\"minor\":$B}"
BYID="{\"by-id\":\"${LINK##*/}\"}"
device() { echo "{\"match\":$1,\"path\":\"$2\"${3:-}}"; }

APPS="$(app held ",\"devices\":[$(device "$BYPATH" /dev/disk/main ',"required":true')]"),
$(app keep ",\"init\":true,\"devices\":[$(device "$BYPATH" /dev/main ',"access":"r"'),$(device "$MAJOR" /dev/other)]"),
$(app plain ",\"userns\":\"off\",\"devices\":[$(device "$BYPATH" /dev/main),$(device "$BYID" /dev/byid)]"),
$(app stop ",\"devices\":[$(device "$BYPATH" /dev/main ',"required":true,"on_remove":"stop"')]"),
$(app again ",\"devices\":[$(device "$BYPATH" /dev/main ',"on_remove":"restart"')]"),
$(app none '')"
ctl apply "$(desired 1 "$APPS")" | grep -q accepted || die "apply: $(ctl apply "$T/desired-1")"
lib_until 40 is apps.keep.state running || die "not running: $(field err.msg); $(ctl events -n 5)"
lib_until 10 is apps.held.state waiting && ok "an app waits for the device that it requires" || fail "held: $(field apps.held)"
is 'apps.held.devices[0].state' absent && field err.msg | grep -E "^(held|stop) waits for /dev/(disk/)?main, which is not there" >/dev/null && { ctl status || true; } | grep "waits for /dev/" >/dev/null && ok "and report and status say for which" || fail "$(field apps.held.devices)"
is apps.stop.state waiting || fail "stop: $(field apps.stop.state)"
gone keep /dev/main && ok "control: no node before" || fail "a node before"
is phase applying && ok "the set is not converged" || fail "phase $(field phase)"
[ "$(inside keep 'cat /proc/1/comm')" = limpet-init ] && ok "init of the manifest is process 1" || fail "init: $(inside keep 'cat /proc/1/comm')"

plug $A
lib_until 10 is apps.held.state running && ok "it starts when the device comes" || fail "held: $(field apps.held)"
lib_until 10 shows held /dev/disk/main a && ok "and can read it" || fail "held: $(inside held 'ls -lR /dev/disk; dd if=/dev/disk/main bs=1 count=1' 2>&1)"
for a in keep plain again; do lib_until 10 shows $a /dev/main a && ok "$a: the node came while it ran" || fail "$a: $(inside $a 'ls -l /dev/main; dd if=/dev/main bs=1 count=1' 2>&1)"; done
is err null && ok "control: nothing is waited for any more" || fail "err: $(field err)"
lib_until 20 is phase converged && ok "converged" || fail "phase $(field phase)"
inside plain 'echo z | dd of=/dev/main bs=1 count=1 conv=notrunc 2>/dev/null' && [ "$(head -c 1 "$T/disk$A")" = z ] && ok "control: rw can be written" || { sync; [ "$(dd if=/dev/loop$A bs=1 count=1 2>/dev/null)" = z ] && ok "control: rw can be written" || fail "rw: $(inside plain 'ls -ln /dev/main' 2>&1)"; }
inside keep 'echo y | dd of=/dev/main bs=1 count=1' 2>/dev/null && fail "r can be written" || ok "r cannot be written"
gone none /dev/main && ok "an app that does not list it has no node" || fail "none has a node"
is 'apps.keep.devices[0].state' there && is 'apps.keep.devices[1].state' absent && ok "the report says there, and absent" || fail "$(field apps.keep.devices)"
list() { find /sys/fs/cgroup/devices -path "*$DEV*/app/$1/devices.list" -exec cat {} + 2>/dev/null; }
if [ -n "$(list none)" ]; then
	list plain | grep "^b 7:$A rw$" >/dev/null && ok "the rule is in force" || fail "rule: $(list plain)"
	list keep | grep "^b 7:$A r$" >/dev/null && ok "for reading only where that was asked" || fail "rule: $(list keep)"
	list none | grep "7:$A" >/dev/null && fail "none has a rule" || ok "no rule for the others"
	is 'apps.keep.devices[0].why' null || fail "$(field apps.keep.devices)"
fi
# a device that is not listed, put into an app by hand, as root of the host: its node alone is not enough
plug $B
open_dev() { # rw|ro: the other way round than it is sealed, from inside
	python3 - "$(field apps.plain.pid)" "$1" <<-'END'
		import ctypes, os, sys
		libc = ctypes.CDLL(None, use_errno=True)
		ns = os.open(f"/proc/{sys.argv[1]}/ns/mnt", os.O_RDONLY)
		ro, nosuid, noexec, remount, bind = 1, 2, 8, 32, 4096
		flags = nosuid | noexec | remount | bind | (ro if sys.argv[2] == "ro" else 0)
		sys.exit(libc.setns(ns, 0) or libc.mount(None, b"/dev", None, flags, None))
	END
}
if is apps.plain.enforce.devices.state enforced; then
	open_dev rw
	mknod "/proc/$(field apps.plain.pid)/root/dev/smuggled" b 7 $B && chmod 0666 "/proc/$(field apps.plain.pid)/root/dev/smuggled"
	inside plain 'dd if=/dev/smuggled bs=1 count=1' >"$T/log/smuggled" 2>&1 && fail "a device that is not listed can be opened" || grep -q 'not permitted' "$T/log/smuggled" && ok "a node that is not listed is denied by the rules" || fail "$(cat "$T/log/smuggled")"
fi
open_dev ro
lib_until 10 shows keep /dev/other b && ok "by major and minor" || fail "other: $(field apps.keep.devices)"

# udev's links, or anybody's
for d in /dev/disk/by-id /dev/disk; do [ -d $d ] || MADE="${MADE:-} $d"; done # deepest first: so they go again
mkdir -p /dev/disk/by-id
ln -s "../../loop$B" "$LINK"
echo change >"/sys/block/loop$B/uevent"
lib_until 10 shows plain /dev/byid b && ok "by-id, made after the device, found at its next event" || fail "by-id: $(field apps.plain.devices)"

# it goes
# it is sealed: no app may put a link where root will look; and one that stands there (its /dev was opened by hand) is not followed
for a in keep plain; do
	inside $a 'ln -s /proc /dev/link || rm /dev/null' 2>/dev/null && fail "$a: can write to its /dev" || ok "$a: its /dev is sealed"
	inside $a 'echo x >/dev/null && echo y >/dev/shm/f && head -c 1 /dev/zero >/dev/null' && ok "$a: control: what lies in it can be used" || fail "$a: /dev cannot be used"
done
P_PLAIN=$(field apps.plain.pid)
count() { awk -v at="$1" '$5 == at' "/proc/$P_PLAIN/mountinfo" | wc -l; }
open_dev rw && [ "$(count /proc/sys)" = 1 ] || fail "control: its /dev cannot be opened, or no /proc/sys: $(count /proc/sys)"
unlink() { inside plain 'rm -f /dev/main && ln -s /proc/sys /dev/main'; }
unlink && ok "control: in an open /dev a link takes the node's place" || fail "no link"
P_KEEP=$(field apps.keep.pid) P_AGAIN=$(field apps.again.pid)
unplug $A
for a in keep plain held; do lib_until 10 gone $a /dev/main && [ "$a" = held ] || { gone $a /dev/main && ok "$a: the node went with the device" || fail "$a: the node is still there"; }; done
is apps.plain.pid "$P_PLAIN" && [ "$(count /proc/sys)" = 1 ] && ok "a link at its place is not followed: /proc/sys is as it was" || fail "mounts: $(cat "/proc/$P_PLAIN/mountinfo")"
lib_until 10 gone held /dev/disk/main && is apps.held.state running && ok "who requires it and keeps runs on without it" || fail "held: $(field apps.held)"
[ "$(field apps.keep.pid)" = "$P_KEEP" ] && ok "keep: the same process" || fail "keep was started again"
lib_until 10 is apps.stop.state waiting && ok "stop: it does not run without it" || fail "stop: $(field apps.stop.state)"
again() { is apps.again.state running && [ "$(field apps.again.pid)" != "$P_AGAIN" ]; }
lib_until 10 again && ok "restart: it was started again" || fail "again: $(field apps.again)"
[ -z "$(list none)" ] || { list plain | grep "7:$A" >/dev/null && fail "a rule stayed: $(list plain)" || ok "the rule went too"; }
ctl events -n 30 | grep device-gone >/dev/null && ok "told as an event" || fail "events: $(ctl events -n 30)"

# core dies, and meanwhile the one comes and the other goes
CORE=$(pgrep -P "$AGENT_PID" -f 'agentd: core' | head -n 1)
kill -STOP "$AGENT_PID" # the keeper starts no new one yet
kill -KILL "$CORE"
plug $A
rm -f "$LINK"
unplug $B
kill -CONT "$AGENT_PID"
lib_until 20 is apps.stop.state running && ok "a new core finds what came" || fail "stop: $(field apps.stop)"
lib_until 10 reads keep /dev/main && ok "and gives it to who runs" || fail "keep: $(field apps.keep.devices)"
lib_until 10 gone keep /dev/other && ok "and takes what went, that its predecessor gave" || fail "other: $(field apps.keep.devices)"
[ "$(field apps.keep.pid)" = "$P_KEEP" ] && ok "the same process" || fail "keep was started again"
for i in 1 2 3 4 5; do unplug $A; plug $A; done
lib_until 10 reads keep /dev/main && ok "in and out five times" || fail "keep: $(field apps.keep.devices)"
[ "$(find "$T/$DEV/run" -name '.node*' | wc -l)" = 0 ] && ok "no node stays on the host" || fail "nodes: $(find "$T/$DEV/run" -name '.node*')"
