#!/usr/bin/env bash
# What starts the agent on a device, as it is shipped: the init script under BusyBox' start-stop-daemon and the tmpfiles entry bring link to its broker, messages
# go to syslog; wrong settings end agentd with their own status, and only when nothing runs.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need busybox jq mosquitto python3
[ "$(id -u)" = 0 ] || lib_skip "needs root"
lib_begin agent-boot
DEV=boot-$$
init_fleet "$DEV"
start_broker

# Directories of the machine as this test would have them: in this mount namespace only.
mkdir -p "$T"/{upper,work}/{etc,lib} "$T/dev" "$T/bin" "$T/fold"
mount -t tmpfs tmpfs "$T/fold" && mkdir -p "$T"/fold/{etc,lib}/{upper,work}
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$T/fold/etc/upper,workdir=$T/fold/etc/work" /etc || lib_skip "no overlay over /etc here"
mount -t overlay overlay -o "lowerdir=/var/lib,upperdir=$T/fold/lib/upper,workdir=$T/fold/lib/work" /var/lib
mount -t tmpfs -o mode=0755 tmpfs "$T/dev"
cp -a /dev/{null,zero,full,random,urandom,tty} "$T/dev/"
mount --move "$T/dev" /dev
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /etc/limpet /etc/default
rm -f /etc/default/limpet
cp "$FLEETCTL_DIR/devices/$DEV"/* /etc/limpet/
jq '.state_dir = "/var/lib/limpet" | .run_dir = "/run/limpet"' "$FLEETCTL_DIR/devices/$DEV/agentd.json" >/etc/limpet/agentd.json
echo "AGENTD_ARGS='--config /etc/limpet/agentd.json --libexec $BUILD/bin'" >/etc/default/limpet
sed "s#/usr/sbin/#$BUILD/bin/#" "$SOURCE/boards/host/S80limpet" >"$T/S80limpet"
for a in start-stop-daemon sleep; do ln -s "$(command -v busybox)" "$T/bin/$a"; done
busybox --list | grep -x start-stop-daemon >/dev/null || lib_skip "this busybox has no start-stop-daemon"
cat >"$T/syslog.py" <<-END
	import socket
	s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	s.bind("/dev/log")
	while True: print(s.recv(2000).decode(), flush=True)
END
lib_run syslog python3 "$T/syslog.py"
lib_until 5 test -S /dev/log || die "no syslog"

s80() { PATH=$T/bin:$PATH busybox sh "$T/S80limpet" "$@"; }
status() { "$BUILD/bin/agentctl" --run-dir /run/limpet status -o json 2>/dev/null || true; }
online() { [ "$(status | jq -r .link)" = online ]; }
boot() { # WHAT: start by the init script, look, stop
	s80 start >>"$T/log/s80" || fail "$1: start: $(cat "$T/log/s80")"
	LIB_UNITS=("$DEV") LIB_AGENT_PIDS[$DEV]=$(cat /run/agentd.pid)
	check "$1: link is online" lib_until 20 online
	[ "$(stat -c %a /run/limpet /var/lib/limpet | tr '\n' ' ')" = "755 700 " ] || fail "$1: modes $(stat -c '%n %a' /run/limpet /var/lib/limpet)"
	s80 stop >>"$T/log/s80" || fail "$1: stop: $(cat "$T/log/s80")"
}
boot "S80limpet"
grep -q '^<30>limpet: core: ' "$T/log/syslog" && grep -q '^<30>limpet: core: stopping' "$T/log/syslog" && ok "messages are in syslog: $(wc -l <"$T/log/syslog") lines" || fail "syslog: $(cat "$T/log/syslog")"
rm -rf /run/limpet && mkdir -m 0700 /run/limpet
boot "a run directory that somebody made 0700"
if command -v systemd-tmpfiles >/dev/null; then
	rm -rf /run/limpet
	systemd-tmpfiles --create "$SOURCE/configs/limpet.tmpfiles" 2>>"$T/log/tmpfiles"
	check "tmpfiles: link's user passes through /run/limpet" setpriv --reuid 65534 --clear-groups test -x /run/limpet
	check_not "tmpfiles: but not into the state" setpriv --reuid 65534 --clear-groups test -x /var/lib/limpet
fi

# --- settings that are wrong
agentd() { timeout 60 "$BUILD/bin/agentd" --config "$T/bad.json" --libexec "$BUILD/bin"; }
bad() { # JQ PATTERN
	jq "$1" /etc/limpet/agentd.json >"$T/bad.json"
	check_rc 78 "agentd ends: $1" agentd 2>"$T/log/bad" >&2
	grep -q "$2" "$T/log/bad" || fail "$1: $(cat "$T/log/bad")"
	rc=0
	"$BUILD/bin/agentctl" --config "$T/bad.json" >"$T/log/ctl" 2>&1 || rc=$?
	[ $rc = 4 ] && grep -q "settings are wrong: .*$2" "$T/log/ctl" || fail "agentctl: $rc, $(cat "$T/log/ctl")"
}
bad '.grous = ["line-a"]' 'bad.json: grous: unknown field'
bad '.device = "GW 1"' 'bad.json: .*device: a name'
bad '.mqtt.port = 0' 'bad.json: mqtt.port: 0 is below 1'
echo '{' >"$T/bad.json"
check_rc 78 "agentd ends: no JSON" agentd 2>>"$T/log/bad" >&2
rm "$T/bad.json"
check_rc 78 "agentd ends: no file" agentd 2>"$T/log/bad" >&2
grep -q "bad.json: No such file" "$T/log/bad" || fail "$(cat "$T/log/bad")"

# up is who said so: systemd hears READY from an agent that runs, not from one that cannot
cat >"$T/notify.py" <<-END
	import socket
	s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	s.bind("$T/notify")
	while True: print(s.recv(200).decode(), flush=True)
END
lib_run notify python3 "$T/notify.py"
lib_until 5 test -S "$T/notify" || die "no notify socket"
export NOTIFY_SOCKET=$T/notify
echo '{' >"$T/bad.json"
check_rc 78 "with a service manager too" agentd 2>>"$T/log/bad" >&2
check_not "READY is not said by one that cannot start" grep -q READY "$T/log/notify"
cp /etc/limpet/agentd.json "$T/now.json"
sed -i 's#"\(trust\|ca\|cert\|key\)": *"#&/etc/limpet/#' "$T/now.json"
lib_run agent "$BUILD/bin/agentd" --config "$T/now.json" --libexec "$BUILD/bin"
LIB_AGENT_PIDS[$DEV]=$LIB_PID
check "control: READY from one that runs" lib_until 20 grep -q READY=1 "$T/log/notify"
unset NOTIFY_SOCKET
core() { pgrep -P "${LIB_AGENT_PIDS[$DEV]}" -f 'agentd: core' | head -n 1; }
jq '.grous = []' "$T/now.json" >"$T/bad.json" && mv "$T/now.json" "$T/good.json" && cp "$T/bad.json" "$T/now.json"
kill -HUP "${LIB_AGENT_PIDS[$DEV]}"
check "settings that became wrong are told" lib_until 10 grep -q 'grous: unknown field' "$T/log/agent"
check "and end no agent that ran" lib_alive "${LIB_AGENT_PIDS[$DEV]}"
cp "$T/good.json" "$T/now.json"
check "mended, it goes on" lib_until 20 online
lib_agent_end "$DEV"
umount /run /etc /var/lib "$T/fold"
