#!/usr/bin/env bash
# What an app gets and what it cannot do, under the real agent, without any network: images from an OCI layout directory as from a USB stick, the
# manifest by `agentctl apply`. Each "cannot" has its control. Then what a person does on the device: exec, logs, diff, plan, rollback, why.
. "$SOURCE/tests/sys/lib.sh"
lib_need umoci jq openssl python3 mosquitto_passwd
lib_begin agent_apps
DEV=apps-$$
echo 200 >/proc/self/oom_score_adj # apps are not what the agent is, if the kernel lets us
init_fleet $DEV
make_images
no_broker
jq '.apps = {"memory_max_bytes": 268435456, "pids_max": 200}' "$FLEETCTL_DIR/devices/$DEV/agentd.json" >"$T/agentd.json" && cp "$T/agentd.json" "$FLEETCTL_DIR/devices/$DEV/agentd.json"
fleetctl publish "dir:$T/img:1" --name web --version 1 >>"$T/log/publish"
fleetctl publish "dir:$T/img:2" --name web --version 2 >>"$T/log/publish"
fleetctl publish "dir:$T/img:3" --name web --version 3 >>"$T/log/publish"
start_agent $DEV
inside() { ctl exec "$1" -- sh -c "$2"; }
is phase pending && field link | grep -q 'no broker' && ok "a device without a broker says so" || fail "phase $(field phase), link $(field link)"

REL1=$FLEETCTL_DIR/releases/web/1.json
# fleetctl keeps the very envelope that lies in the layout: check that assumption
[ -e "$T/img/blobs/sha256/$(sha256sum "$REL1" | cut -d' ' -f1)" ] || die "the release is not in the layout"
SRC="\"sources\":[\"dir:$T/img\"]"
REST="\"restart\":{\"policy\":\"always\",\"delay_ms\":100,\"max_delay_ms\":200}"
app() { echo "{\"name\":\"$1\",\"release\":$(release web "${3:-1}"),$SRC,$REST,\"stop\":{\"grace_ms\":1500}$2}"; }

# --- three apps: one with every limit, one with less isolation as control, one on the bridge
PORT=$(free_port)
HEALTH=$(free_port) # answers in pieces, and tells how the other side left
lib_run talker python3 -u -c '
import socket, sys, time
l = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    s, _ = l.accept()
    try:
        s.recv(4096)
        s.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        for i in range(10):
            time.sleep(0.01)
            s.sendall(b"x" * 8192)
        s.shutdown(socket.SHUT_WR)
        s.recv(1)
        print("left in peace")
    except OSError as e:
        print("left:", e)
    s.close()' "$HEALTH"
APPS="$(app tight ',"memory":{"max_bytes":16777216,"enforce":"required"},"cpu":{"percent":50,"enforce":"required"},"pids":{"max":20,"enforce":"required"},"userns":"required","seccomp":"required","user":"1000:1000","env":{"SITE":"turin","BEAT":"0.2"},"mounts":[{"type":"tmpfs","target":"/scratch","size_bytes":1048576},{"type":"volume","name":"data","target":"/var/data"}],"health":{"exec":["/bin/true"],"interval_ms":300}'),
$(app flood ',"args":["/bin/sh","-c","while [ ! -e /tmp/go ]; do sleep 0.2; done; busybox yes flooding the log with a line that is not short at all; exec sleep 100000"]'),
$(app chatty ',"log":{"max_bytes":4194304},"args":["/bin/sh","-c","i=0; while [ $i -lt 8000 ]; do i=$((i+1)); echo line $i 0123456789012345678901234567890123456789; done; exec sleep 100000"]'),
$(app loose ",\"capabilities\":[\"CHOWN\"],\"network\":{\"mode\":\"host\"},\"health\":{\"http\":{\"port\":$HEALTH},\"interval_ms\":300}"),
$(app net ",\"network\":{\"mode\":\"bridge\",\"ports\":[{\"host\":$PORT,\"container\":8080}]},\"health\":{\"tcp\":{\"port\":8080},\"interval_ms\":300,\"start_grace_ms\":3000},\"args\":[\"/bin/httpd\",\"-f\",\"-p\",\"8080\",\"-h\",\"/srv\"]")"
ctl apply "$(desired 1 "$APPS")" | grep -q accepted && ok "agentctl apply takes a signed file" || die "apply"
lib_until 40 is phase converged && ok "images from the directory, no network: converged" || die "phase $(field phase): $(field err.msg); $(ctl events -n 5)"
for f in memory cpu pids userns seccomp; do
	[ "$(field apps.tight.enforce.$f.state)" = enforced ] && ok "tight: $f is enforced ($(field apps.tight.enforce.$f.value))" || fail "tight: $f is $(field apps.tight.enforce.$f)"
done
[ "$(field apps.tight.enforce.memory.value)" = 16777216 ] || fail "memory value $(field apps.tight.enforce.memory.value)"
PID=$(field apps.tight.pid)
CG=$(awk -F: '$2 == "memory" || $2 == "" {print $3}' "/proc/$PID/cgroup" | grep limpet | head -1)
[ "$(cat "/sys/fs/cgroup/memory$CG/memory.limit_in_bytes" 2>/dev/null || cat "/sys/fs/cgroup$CG/memory.max")" = 16777216 ] && ok "and the kernel says the same" || fail "the kernel's limit differs"
# the device's own bounds: all apps together, and for those that name none
[ "$(field ceiling.memory.value)/$(field ceiling.pids.value)" = 268435456/200 ] && ok "all apps together have a ceiling" || fail "ceiling: $(field ceiling)"
for f in memory:234881024 pids:100; do
	[ "$(field "apps.loose.enforce.${f%:*}.state")" = enforced ] && [ "$(field "apps.loose.enforce.${f%:*}.value")" = "${f#*:}" ] && ok "an app that names no ${f%:*} has ${f#*:}" || fail "loose: $(field apps.loose.enforce)"
done
all_apps() { find /sys/fs/cgroup -path "*limpet-$DEV/app/$1" 2>/dev/null | head -n 1 | xargs cat; }
[ "$(all_apps pids.max)" = 200 ] && ok "and the kernel says the same of all of them" || fail "pids.max: $(all_apps pids.max)"
adj=$(cat "/proc/$PID/oom_score_adj")
case $(field apps.tight.enforce.oom_score_adj.state) in
enforced) [ "$adj" = 0 ] ;;
degraded) [ "$adj" = "$(field apps.tight.enforce.oom_score_adj.value)" ] ;;
*) false ;;
esac && ok "the kernel's choice when memory is gone: an app is at $adj, as reported" || fail "oom_score_adj $adj: $(field apps.tight.enforce)"
[ "$(ctl exec tight -- cat /proc/self/oom_score_adj)" = "$adj" ] && ok "exec is like it" || fail "exec: $(ctl exec tight -- cat /proc/self/oom_score_adj)"
[ "$(awk '/^Uid:/{print $2}' "/proc/$PID/status")" -gt 100000 ] && ok "tight runs as host uid $(awk '/^Uid:/{print $2}' "/proc/$PID/status")" || fail "tight runs as a host user"
[ "$(awk '/^NoNewPrivs:/{print $2}' "/proc/$PID/status")$(awk '/^Seccomp:/{print $2}' "/proc/$PID/status")" = 12 ] && ok "no new privileges, seccomp filter" || fail "privileges"
[ "$(awk '/^CapBnd:/{print $2}' "/proc/$PID/status")" = 0000000000000000 ] && ok "no capabilities" || fail "capabilities"
[ "$(awk '/^CapEff:/{print $2}' "/proc/$(field apps.loose.pid)/status")" = 0000000000000001 ] && ok "control: loose has the one it asked for" || fail "loose: $(grep CapEff "/proc/$(field apps.loose.pid)/status")"

# --- arguments arrive as they are, or not at all
words() { ctl exec tight -- sh -c 'for a; do printf "[%s]" "$a"; done' name "$@"; }
[ "$(words one '' three '')" = '[one][][three][]' ] && [ "$(words one two)" = '[one][two]' ] && ok "exec: empty arguments too" || fail "exec: $(words one '' three '')"
ask() { # WORD...: of the control socket, as an older agentctl sends them; reads slowly, prints all
	python3 -c '
import array, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(sys.argv[1])
fds = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))] if sys.argv[2] == "exec" else []
s.sendmsg([b"".join(w.encode() + b"\0" for w in sys.argv[2:])], fds)
kind = b"="
while kind == b"=":
    time.sleep(0.05)
    m = s.recv(200000)
    kind = m[:1]
    sys.stdout.buffer.write(m[1:])
print("\nend", kind.decode())' "$T/$DEV/run/ctl.sock" "$@"
}
ask exec tight 0 echo uno '' tres >"$T/asked" </dev/null && grep "would be lost" "$T/asked" >/dev/null && ! grep uno "$T/asked" && ok "an older agentctl's empty argument is refused, nothing is started" || fail "exec: $(cat "$T/asked")"
[ "$(ask exec tight 0 echo one </dev/null | head -n 1)" = one ] && ok "control: without one it is run" || fail "exec by words"
# --- an answer longer than the socket holds
all_lines() { [ "$(ctl logs -n 9000 chatty | grep -c ' line ')" = 8000 ]; }
lib_until 20 all_lines || fail "chatty: $(ctl logs -n 9000 chatty | grep -c ' line ')"
ask log chatty 9000 >"$T/asked"
[ "$(wc -c <"$T/asked")" -gt 400000 ] && grep "line 8000 " "$T/asked" >/dev/null && [ "$(tail -n 1 "$T/asked")" = 'end +' ] && ok "a long answer is whole for who reads slowly ($(wc -c <"$T/asked") bytes)" || fail "log: $(wc -c <"$T/asked") bytes, $(tail -n 1 "$T/asked")"

# --- a flood into the log is held up, and core is not
ctl exec flood -- sh -c ': >/tmp/go'
written() { for p in $(pgrep -f 'yes flooding the log'); do awk '/^wchar:/{print $2}' "/proc/$p/io" 2>/dev/null; done | sort -n | tail -n 1; }
begins() { [ "$(written)" -gt 100000 ]; }
lib_until 10 begins || fail "flood: it does not begin: $(pgrep -fa 'yes flooding')"
before=$(written) begin=$(date +%s%N)
sleep 2
flows() { [ $(($(written) - before)) -ge 1048576 ]; }
lib_until 10 flows || fail "flood: it stands still"
rate=$(awk -v bytes=$(($(written) - before)) -v ns=$(($(date +%s%N) - begin)) 'BEGIN {printf "%.1f", bytes / ns * 1e9 / 1048576}')
awk -v rate="$rate" 'BEGIN {exit !(rate <= 30)}' && ok "a flood of log lines is held at $rate MiB a second" || fail "flood: $rate MiB a second"
[ "$(ctl logs -n 5 flood | grep -c 'flooding')" -ge 4 ] && ok "control: its newest lines are there" || fail "flood: $(ctl logs -n 5 flood)"
pgrep -f 'yes flooding the log' | xargs kill -KILL 2>/dev/null || true # the second may have gone with the first

# --- what is inside
inside tight 'echo $SITE' | grep -qx turin && ok "env" || fail "env: $(inside tight env)"
[ "$(inside tight 'ls /proc | grep -c "^[0-9]"')" -lt 8 ] && ok "sees its own processes only" || fail "processes: $(inside tight 'ps')"
[ "$(ls /proc | grep -c '^[0-9]')" -gt 12 ] || fail "control: the host has few processes: $(ps ax)"
# grep reads to the end here: one that leaves at the match ends cat by SIGPIPE
inside tight 'echo x >/scratch/f && cat /scratch/f' | grep -x x >/dev/null && ok "tmpfs is writable" || fail "tmpfs: $(inside tight 'id; ls -ldn /scratch; grep scratch /proc/mounts' 2>&1)"
inside tight 'echo x >/f' 2>/dev/null && fail "the root is writable" || ok "the root is read-only"
inside loose 'echo x >/tmp/f' && ok "control: loose writes its /tmp" || fail "loose cannot write /tmp"
inside tight 'dd if=/dev/zero of=/scratch/big bs=1M count=4' 2>/dev/null && fail "tmpfs has no bound" || ok "tmpfs is bounded"
inside tight 'echo kept >/var/data/f' && ok "volume is writable by its user" || fail "volume: $(inside tight 'ls -ld /var/data; id' 2>&1)"
inside tight 'i=0; while [ $i -lt 40 ]; do sleep 1 & i=$((i+1)); done; wait' >/dev/null 2>"$T/forks" && fail "40 processes under a limit of 20" || ok "pids are bounded"
lib_until 10 inside tight 'true | true' || fail "its processes stay"
# by nc: the static busybox's wget dies on this libc before it connects
reach() { inside "$1" "printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 2 10.88.77.1 $PORT" 2>/dev/null | grep 'version 1' >/dev/null; }
reach net && ok "control: an app on the bridge reaches the published port" || fail "net does not reach port $PORT"
reach tight && fail "tight reaches another app's port" || ok "no network in mode none"
curl -fsS -m 3 "http://127.0.0.1:$PORT/" | grep -q 'version 1' && ok "the bridge's published port answers" || fail "port $PORT does not answer"
[ "$(field apps.loose.health)" = ok ] && grep "in peace" "$T/log/talker" >/dev/null && ! grep "left:" "$T/log/talker" && ok "health by http reads the answer to its end" || fail "loose: $(field apps.loose.health) $(cat "$T/log/talker")"
[ "$(field apps.net.health)" = ok ] && [ "$(field apps.tight.health)" = ok ] && ok "health by tcp and by exec" || fail "health $(field apps.net.health) $(field apps.tight.health)"
check_rc 7 "exec gives back the exit status" ctl exec tight -- sh -c 'exit 7'
check_rc 127 "exec of nothing is 127" ctl exec tight -- /nowhere
echo "into it" | ctl exec tight -- cat | grep -x "into it" >/dev/null && ok "exec passes standard input" || fail "exec stdin"
python3 - "$BUILD/bin/agentctl" "$T/$DEV/run" <<-'END' && ok "exec -t has a terminal" || fail "exec -t"
	import os, pty, sys
	pid, fd = pty.fork()
	if pid == 0:
	    os.execv(sys.argv[1], ["agentctl", "--run-dir", sys.argv[2], "exec", "-t", "tight", "--", "sh", "-c", "test -t 0 && read x && echo got:$x"])
	os.write(fd, b"hello\n")
	out = b""
	while True:
	    try:
	        piece = os.read(fd, 1000)
	    except OSError:
	        break
	    if not piece:
	        break
	    out += piece
	sys.exit(0 if b"got:hello" in out and os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0 else 1)
END

# --- the next version: the volume stays, only what changed starts anew
NET=$(field apps.net.pid)
APPS2=${APPS/"$(release web 1)"/"$(release web 2)"}
F2=$(desired 2 "$APPS2")
"$BUILD/bin/agentctl" --config "$FLEETCTL_DIR/devices/$DEV/agentd.json" diff "$F2" >"$T/diff" && fail "diff says there is no difference"
grep -q '~ apps\[tight\].release.counter: 1 -> 2' "$T/diff" && ok "diff: $(grep -c . "$T/diff") fields" || fail "diff: $(cat "$T/diff")"
ctl plan "$F2" | grep -q 'fetch tight' && ok "plan of a file: $(ctl plan "$F2" | head -1)" || fail "plan: $(ctl plan "$F2")"
is rev 1 && ok "neither of them did anything" || fail "rev $(field rev)"
ctl apply "$F2" >/dev/null
lib_until 30 bash -c "[ \"\$('$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' status -o json | jq -r '.rev, .phase' | tr '\n' ' ')\" = '2 converged ' ]" || fail "rev $(field rev) $(field phase): $(field err.msg)"
[ "$(field apps.tight.version)" = 2 ] && [ "$(inside tight 'cat /var/data/f')" = kept ] && ok "version 2, the volume kept its data" || fail "version $(field apps.tight.version), volume: $(inside tight 'cat /var/data/f' 2>&1)"
[ "$(field apps.net.pid)" = "$NET" ] && ok "the unchanged neighbour was not restarted" || fail "net was restarted"

# --- rollback by hand, and forward again
ctl rollback | grep -q back || fail "rollback: $(ctl rollback 2>&1)"
lib_until 20 is apps.tight.version 1 && is phase rolled-back && ok "rollback by hand: version 1 again" || fail "version $(field apps.tight.version), $(field phase)"
ctl rollback 2>/dev/null && fail "a second rollback found something" || ok "there is nothing further back"
ctl history | grep -q converged && ok "history" || fail "history: $(ctl history)"
ctl why tight | grep -q . && ok "why" || fail "why"

# --- crashes and OOM, told and bounded; the neighbours do not notice
APPS3="$(app crash ',"args":["/bin/sh","-c","echo no frobnicator here; exit 3"]' 3),$(app hog ',"memory":{"max_bytes":8388608,"enforce":"required"},"args":["/bin/sh","-c","echo no frobnicator here; x=a; while :; do x=$x$x; done"]' 2),$(app calm '' 2)"
ctl apply "$(desired 3 "$APPS3")" >/dev/null
lib_until 30 bash -c "'$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' events -n 40 | grep -q 'oom .*hog'" && ok "OOM is told: $(ctl events -n 40 | grep 'oom .*hog' | tail -1 | cut -c22-)" || fail "no OOM: $(ctl events -n 9)"
ctl events -n 40 | grep -q 'hog: ended by signal 9' && fail "the OOM of a whole app is told as a signal" || ok "and as out of memory, not as signal 9"
lib_until 30 is phase rolled-back && ok "rolled back: $(field err.msg | cut -c1-90)" || fail "phase $(field phase): $(field err.msg)"
lib_until 20 bash -c "[ -n \"\$('$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' ps -o json | jq -r '.tight.pid // empty')\" ]" && ok "the last good set runs again" || fail "it does not"

grep -q 'its last line: no frobnicator here' <<<"$(field err.msg)" && ok "with the last line of its log" || fail "err: $(field err.msg)"
IMAGE3=$T/$DEV/state/store/images/$(jq -r .payload "$FLEETCTL_DIR/releases/web/3.json" | base64 -d | jq -r '.platforms[0].manifest.digest' | cut -d: -f2)
COLLECTS=$(grep -c 'core: collect' "$T/log/agent-$DEV")
lib_until 20 bash -c "[ \$(grep -c 'core: collect' '$T/log/agent-$DEV') -ge $COLLECTS ]"
[ -d "$IMAGE3" ] && ok "what it brought stays for a mended one" || fail "its image was collected"

# --- the list is emptied: everything stops, nothing is left
ctl apply "$(desired 4 "")" >/dev/null
lib_until 30 bash -c "[ \"\$('$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' status -o json | jq -r '.rev, .phase, (.apps | length)' | tr '\n' ' ')\" = '4 converged 0 ' ]" && ok "an empty list stops all" || fail "rev $(field rev) $(field phase) $(field apps)"
lib_until 20 test ! -d "$IMAGE3" && ok "control: another set is good, and it goes" || fail "its image stays"
curl -fsS -m 1 "http://127.0.0.1:$PORT/" >/dev/null 2>&1 && fail "the port answers still" || ok "its port is closed"
WIDE=$(for v in status ps history "events -n 50" plan "why tight"; do
	lib_terminal "stty cols 80; '$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' $v" || true # what is not as asked has another status
done | awk '{n = length($0); if (n > 79) print n ": " $0}' | head -3)
[ -z "$WIDE" ] && ok "79 columns on a terminal" || fail "too wide: $WIDE"
