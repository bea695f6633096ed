#!/usr/bin/env bash
# runtime_spec: what the OCI runtime-spec says of config.json, the life of a container, its hooks and its state, seen from
# inside and outside of real containers. On the machine as it is; LIMPET_V2_VIEW=1: in a view with cgroup v2 alone.
. "$SOURCE/tests/sys/lib.sh"
lib_need jq busybox script python3
[ "$(id -u)" = 0 ] || lib_skip "needs root"
if [ -n "${LIMPET_V2_VIEW:-}" ]; then mount -t cgroup2 cgroup2 /sys/fs/cgroup || lib_skip "no cgroup2 can be mounted here"; fi
lib_begin rspec
lib_limpet rs

mkdir -p "$T"/template/{bin,etc,tmp,data}
cp "$(command -v busybox)" "$T/template/bin/busybox"
for a in sh echo cat ls sleep true id mount stat hostname readlink env cut head grep tty stty test kill wc od sed tr mkdir; do ln -s busybox "$T/template/bin/$a"; done
bundle() { # a bundle with a busybox rootfs that runs: sh -c $1; further arguments: jq filters on config.json
	rm -rf "$B"
	mkdir "$B"
	cp -a "$T/template" "$B/rootfs"
	"$L" spec -b "$B"
	jq --arg c "$1" '.process.terminal = false | .process.args = ["sh", "-c", $c] | .root.readonly = false' "$C" >"$C.new"
	mv "$C.new" "$C"
	shift
	local f
	for f in "$@"; do set_config "$f"; done
}
set_config() { jq "$1" "$C" >"$C.new" && mv "$C.new" "$C"; }
run() { RC=0; timeout -k 1 120 "$L" --root "$R" run -b "$B" "$ID" <"${STDIN:-/dev/null}" >"$T/out" 2>"$T/err" || RC=$?; }
# sees NAME WANT: run it; it prints exactly WANT.
sees() {
	run
	if [ "$(cat "$T/out")" = "$2" ] && [ $RC = 0 ]; then ok "$1"; else fail "$1: \"$(cat "$T/out")\" (rc $RC $(cat "$T/err")), not \"$2\""; fi
}
# refused NAME TEXT: it must not start, and say TEXT.
refused() {
	run
	if [ $RC != 0 ] && grep -qF -- "$2" "$T/err"; then ok "$1"; else fail "$1: rc $RC, said: $(cat "$T/err")"; fi
}

lib_say "--- process"
bundle 'echo $0 $FOO; pwd; umask; id -u; id -g; id -G' '.process.env += ["FOO=bar"] | .process.cwd = "/data" | .process.user = {uid: 7, gid: 8, additionalGids: [9, 70000], umask: 63}'
sees "user, groups, umask, environment, directory" "sh bar
/data
0077
7
8
8 9 70000"
bundle 'grep -E "Cap|NoNewPrivs|Groups" /proc/self/status | tr "\t" " "' '.process.capabilities = {bounding: ["CAP_CHOWN", "CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL", "CAP_CHOWN"], inheritable: ["CAP_KILL"], ambient: ["CAP_KILL"]}'
sees "five capability sets, no_new_privs, no group of ours" "Groups:  
CapInh: 0000000000000020
CapPrm: 0000000000000021
CapEff: 0000000000000021
CapBnd: 0000000000000021
CapAmb: 0000000000000020
NoNewPrivs: 1"
bundle 'grep -E "Cap(Prm|Eff|Amb)" /proc/self/status | tr "\t" " "' '.process.user.uid = 5 | .process.capabilities = {bounding: ["CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"], inheritable: ["CAP_KILL"], ambient: ["CAP_KILL"]}'
sees "ambient capabilities reach a plain user" "CapPrm: 0000000000000020
CapEff: 0000000000000020
CapAmb: 0000000000000020"
bundle 'ulimit -H -n; ulimit -S -n; ulimit -c; cat /proc/self/oom_score_adj' '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 100, hard: 200}, {type: "RLIMIT_CORE", soft: 0, hard: 0}] | .process.oomScoreAdj = 321'
sees "limits and oom_score_adj" "200
100
0
321"
bundle 'cut -d" " -f19,41 /proc/self/stat; cat /proc/self/personality' '.process.scheduler = {policy: "SCHED_BATCH", nice: 5} | .linux.personality = {domain: "LINUX32"} | .process.ioPriority = {class: "IOPRIO_CLASS_BE", priority: 6}'
sees "scheduler and personality" "5 3
00000008"
bundle 'hostname; cat /proc/sys/kernel/domainname; cat /proc/sys/net/ipv4/ip_forward; cat /proc/sys/kernel/shm_rmid_forced' '.hostname = "box" | .domainname = "sea" | .linux.sysctl = {"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1"}'
sees "names and sysctls" "box
sea
1
1"
bundle 'true' '.linux.sysctl = {"kernel.panic": "1"}'
refused "a sysctl of the whole machine is refused" "linux.sysctl.kernel.panic"
bundle 'true' '.linux.namespaces |= map(select(.type != "network")) | .linux.sysctl = {"net.ipv4.ip_forward": "1"}'
refused "a network sysctl without a network of its own is refused" "needs a namespace of its own"
bundle '' '.process.args = ["nothing-there"]'
run
[ $RC = 127 ] && grep -q 'executable file `nothing-there` not found in $PATH: No such file or directory' "$T/err" && ok "a program that is not there: 127" || fail "rc $RC: $(cat "$T/err")"
for v in 1.0.0 1.0.2-dev 1.2.1 1.7.0; do
	bundle 'echo fine' ".ociVersion = \"$v\""
	sees "ociVersion $v" fine
done
bundle 'true' '.ociVersion = "2.0.0"'
refused "ociVersion 2" "ociVersion"
bundle 'echo fine' '.extra = {a: 1} | .linux.extra = [1] | .process.extra = null | .linux.intelRdt = {closID: "x"}'
sees "unknown properties pass, intelRdt with a note" fine
grep -q intelRdt "$T/err" && ok "and it is said" || fail "no note: $(cat "$T/err")"

lib_say "--- mounts"
bundle 'stat -f -c %T /t; stat -c %a /t; grep " /t " /proc/self/mountinfo | sed "s/.* \/t \([^ ]*\) .*/\1/"; grep -c copied /t/file' '.mounts += [{destination: "/t", type: "tmpfs", options: ["nosuid", "noexec", "noatime", "size=64k", "mode=711", "tmpcopyup"]}]'
mkdir "$B/rootfs/t"; echo copied >"$B/rootfs/t/file"
sees "tmpfs with its options and what the image had there" "tmpfs
711
rw,nosuid,noexec,noatime
1"
mkdir -p "$T/src/below"
mount -t tmpfs below "$T/src/below"
echo deep >"$T/src/below/f"
bundle 'cat /data/below/f; echo x >/data/n 2>/dev/null || echo ro; echo x >/data/below/n 2>/dev/null && echo rw' ".mounts += [{destination: \"/data\", source: \"$T/src\", type: \"none\", options: [\"rbind\", \"ro\"]}]"
sees "rbind with ro: the top alone" "deep
ro
rw"
bundle 'echo x >/data/below/n 2>/dev/null || echo ro' ".mounts += [{destination: \"/data\", source: \"$T/src\", type: \"none\", options: [\"rbind\", \"rro\"]}]"
sees "rbind with rro: all of it" "ro"
bundle 'ls /data/below | wc -l' ".mounts += [{destination: \"/data\", source: \"$T/src\", type: \"none\", options: [\"bind\"]}]"
sees "bind: nothing below" 0
echo one >"$T/src/one"
bundle 'cat /etc/one /deep/er/one' ".mounts += [{destination: \"/etc/one\", source: \"$T/src/one\", options: [\"bind\"]}, {destination: \"/deep/er/one\", source: \"$T/src/one\", options: [\"bind\", \"ro\"]}]"
sees "files are bound, their places made" "one
one"
mkdir -p "$T/b/rel"; bundle 'cat /data/f' '.mounts += [{destination: "/data", source: "rel", options: ["bind"]}]'
mkdir "$B/rel"; echo beside >"$B/rel/f"
sees "a relative source is one of the bundle" beside
mount --make-shared "$T/src/below"
bundle 'echo ready; read x; cat /data/late/f 2>/dev/null || echo nothing' ".mounts += [{destination: \"/data\", source: \"$T/src/below\", options: [\"rbind\", \"rslave\"]}]"
mkfifo "$T/go"; mkdir -p "$T/src/below/late"
STDIN=$T/go; { lib_until 20 grep -q ready "$T/out"; mount -t tmpfs late "$T/src/below/late"; echo late >"$T/src/below/late/f"; echo go; } >"$T/go" &
sees "rslave: what the host mounts later is seen" "ready
late"
wait
umount "$T/src/below/late"
bundle 'mount -t tmpfs inner /data/late && echo mounted' ".mounts += [{destination: \"/data\", source: \"$T/src/below\", options: [\"rbind\"]}] | .process.capabilities |= map_values(. + [\"CAP_SYS_ADMIN\"])"
STDIN=''
sees "a mount inside" mounted
check_not "does not come out, although the source is shared" grep -q "$T/src/below/late" /proc/self/mountinfo
umount "$T/src/below"
bundle 'grep -E "^[0-9]+ [0-9]+ [0-9:]+ [^ ]+ / " /proc/self/mountinfo | grep -c "shared:"' '.linux.rootfsPropagation = "shared"'
sees "rootfsPropagation" 1
bundle 'echo x >/x 2>/dev/null || echo ro' '.root.readonly = true'
sees "a read-only rootfs" ro
bundle 'cat /proc/kcore | wc -c; ls /data | wc -l; echo x >/etc/f 2>/dev/null || echo ro' '.linux.maskedPaths = ["/proc/kcore", "/data", "/nowhere"] | .linux.readonlyPaths = ["/etc", "/nowhere"]'
touch "$B/rootfs/data/secret"
sees "masked and read-only paths, those that are not there" "0
0
ro"
bundle 'id -u; stat -c %u:%g /data/f' ".linux.namespaces += [{type: \"user\"}] | .linux.uidMappings = [{containerID: 0, hostID: 300000, size: 1000}] | .linux.gidMappings = [{containerID: 0, hostID: 300000, size: 1000}] | .mounts += [{destination: \"/data\", source: \"$T/own\", options: [\"bind\", \"idmap\"]}]"
mkdir "$T/own"; touch "$T/own/f"; chown -R 300000:300000 "$B/rootfs"
sees "a user namespace with given ids, an id-mapped volume" "0
0:0"
bundle 'stat -c %u:%g /data/f' ".mounts += [{destination: \"/data\", source: \"$T/own\", options: [\"bind\"], uidMappings: [{containerID: 0, hostID: 77, size: 10}], gidMappings: [{containerID: 0, hostID: 88, size: 10}]}]"
sees "a mount with ids of its own" "77:88"
bundle 'true' '.mounts += [{destination: "/data", type: "nosuchfs"}]'
refused "a file system that the kernel has not" "/data"

lib_say "--- devices"
bundle 'for d in null zero full random urandom tty; do stat -c "%n %t:%T %a" /dev/$d; done; readlink /dev/fd; readlink /dev/stdin; readlink /dev/ptmx; stat -c "%F %a %u:%g %t:%T" /dev/own /dev/sub/dir/blk /dev/pipe' '.linux.devices = [{path: "/dev/own", type: "c", major: 10, minor: 229, fileMode: 384, uid: 3, gid: 4}, {path: "/dev/sub/dir/blk", type: "b", major: 7, minor: 0}, {path: "/dev/pipe", type: "p"}]'
sees "default devices, links, devices of the bundle" "/dev/null 1:3 666
/dev/zero 1:5 666
/dev/full 1:7 666
/dev/random 1:8 666
/dev/urandom 1:9 666
/dev/tty 5:0 666
/proc/self/fd
/proc/self/fd/0
pts/ptmx
character special file 600 3:4 a:e5
block special file 666 0:0 7:0
fifo 666 0:0 0:0"

lib_say "--- namespaces"
bundle 'readlink /proc/self/ns/net; readlink /proc/self/ns/uts' '.linux.namespaces |= map(select(.type != "network" and .type != "uts")) | del(.hostname)'
sees "namespaces that are not listed are the host's" "$(readlink /proc/self/ns/net /proc/self/ns/uts)"
unshare -n -i -u -p --fork sleep 60 & LIB_PIDS+=($!)
lib_until 5 pgrep -P $! && HOLD=$(pgrep -P $!)
bundle 'for n in net ipc uts; do readlink /proc/self/ns/$n; done; test $$ -gt 1 && echo not-first' ".linux.namespaces = [{type: \"mount\"}, {type: \"pid\", path: \"/proc/$HOLD/ns/pid\"}, {type: \"network\", path: \"/proc/$HOLD/ns/net\"}, {type: \"ipc\", path: \"/proc/$HOLD/ns/ipc\"}, {type: \"uts\", path: \"/proc/$HOLD/ns/uts\"}] | del(.hostname)"
sees "namespaces joined by path, the pid namespace too" "$(readlink /proc/$HOLD/ns/net /proc/$HOLD/ns/ipc /proc/$HOLD/ns/uts)
not-first"
kill -KILL "$HOLD"
bundle true ".linux.namespaces |= map(if .type == \"network\" then .path = \"$C\" else . end)"
refused "a file that is no namespace" "linux.namespaces"
bundle true '.linux.namespaces |= map(if .type == "network" then .path = "/proc/self/ns/ipc" else . end)'
refused "a namespace of another kind" "is not a net namespace"
bundle 'cat /proc/uptime' '.linux.namespaces += [{type: "time"}] | .linux.timeOffsets = {boottime: {secs: 10000000}}'
run
[ "$(cut -d. -f1 <"$T/out")" -gt 10000000 ] && ok "a time namespace with an offset" || fail "uptime $(cat "$T/out" "$T/err")"
bundle 'true' '.linux.namespaces |= map(select(.type != "mount"))'
refused "without a mount namespace" "linux.namespaces"
bundle 'kill -0 1; echo $?' '.linux.namespaces |= map(select(.type != "pid"))'
sees "the host's pid namespace: /proc shows it" 0

lib_say "--- terminal"
bundle 'tty; stty size; test -t 0 -a -t 1 -a -t 2 && echo all; stat -c %t:%T /dev/console' '.process.terminal = true | .process.consoleSize = {height: 11, width: 22}'
lib_terminal "$L --root $R run -b $B $ID" >"$T/out" || true
grep -q /dev/pts/0 "$T/out" && grep -q '^all$' "$T/out" && grep -q '^88:' "$T/out" && ok "a terminal in the foreground" || fail "$(cat "$T/out")"
python3 - "$L" "$R" "$B" "$ID" "$T/console" >"$T/out" 2>"$T/err" <<'P' || true
import array, os, socket, subprocess, sys
limpet, root, bundle, name, path = sys.argv[1:]
s = socket.socket(socket.AF_UNIX); s.bind(path); s.listen(1)
subprocess.run([limpet, "--root", root, "create", "-b", bundle, "--console-socket", path, name], check=True)
c, _ = s.accept()
fds = array.array("i")
_, anc, _, _ = c.recvmsg(64, socket.CMSG_LEN(4))
fds.frombytes(anc[0][2][:4])
subprocess.run([limpet, "--root", root, "start", name], check=True)
text = b""
try:
    while True:
        b = os.read(fds[0], 4096)
        if not b: break
        text += b
except OSError: pass
print(text.decode().replace("\r", ""))
subprocess.run([limpet, "--root", root, "delete", "--force", name], check=True)
P
grep -q '^11 22$' "$T/out" && grep -q '^all$' "$T/out" && ok "the master comes over --console-socket, with consoleSize" || fail "$(cat "$T/out" "$T/err")"
bundle true
check_rc 1 "--console-socket without a terminal is refused" "$L" --root "$R" create -b "$B" --console-socket "$T/console" "$ID" 2>/dev/null

lib_say "--- life"
l() { "$L" --root "$R" "$@"; }
status() { l state "$ID" | jq -r .status; }
is() { [ "$(status)" = "$1" ]; }
bundle 'trap "echo term; exit 4" TERM; echo up; while :; do sleep 0.1; done' '.annotations = {"a.b": "c", "x": "y"}'
RC=0; l create -b "$B" --pid-file "$T/pid" "$ID" </dev/null >"$T/out" 2>&1 || RC=$?
[ $RC = 0 ] && ok create || fail "create: $(cat "$T/out")"
[ "$(status)" = created ] && ok "state: created" || fail "state is $(status)"
l state "$ID" | jq -e --arg b "$(realpath "$B")" '.id and .ociVersion and .pid > 0 and .bundle == $b and .annotations["a.b"] == "c"' >/dev/null && ok "state has all that the specification asks" || fail "$(l state "$ID")"
[ "$(cat "$T/pid")" = "$(l state "$ID" | jq .pid)" ] && ok "the pid file says the same" || fail "pid file $(cat "$T/pid")"
[ ! -s "$T/out" ] && ok "the program has not begun" || fail "$(cat "$T/out")"
check_rc 1 "an id is given once" l create -b "$B" "$ID" 2>/dev/null
set_config '.process.args = ["false"]'
check "start" l start "$ID"
lib_until 5 grep -q up "$T/out" && ok "runs what config.json said at create" || fail "$(cat "$T/out")"
[ "$(status)" = running ] && ok "state: running" || fail "state is $(status)"
check_rc 1 "start twice is refused" l start "$ID" 2>/dev/null
check_rc 1 "delete while it runs is refused" l delete "$ID" 2>/dev/null
check "kill TERM" l kill "$ID" SIGTERM
lib_until 5 is stopped && ok "state: stopped" || fail "state is $(status)"
grep -q term "$T/out" && ok "it had the signal" || fail "$(cat "$T/out")"
check_rc 1 "kill when stopped is refused" l kill "$ID" 15 2>/dev/null
check_rc 1 "start when stopped is refused" l start "$ID" 2>/dev/null
check "delete" l delete "$ID"
check_rc 1 "state of nothing is an error" l state "$ID" 2>/dev/null
check_rc 1 "delete of nothing is an error" l delete "$ID" 2>/dev/null
check "delete --force of nothing is none" l delete --force "$ID"
check_rc 1 "kill of nothing is an error" l kill "$ID" 2>/dev/null
bundle 'sleep 100'
for i in 1 2 3; do l create -b "$B" "$ID-$i" </dev/null >/dev/null 2>&1; done
l start "$ID-2"
[ "$(l list -q | sort | tr '\n' ' ')" = "$ID-1 $ID-2 $ID-3 " ] && ok "list -q" || fail "$(l list)"
[ "$(l list -f json | jq -r '.[] | select(.status == "running") | .id')" = "$ID-2" ] && ok "list as JSON" || fail "$(l list -f json)"
check "delete --force --regex" l delete --force --regex "^$ID-[12]\$"
[ "$(l list -q)" = "$ID-3" ] && ok "took those that match" || fail "$(l list -q)"
l delete --force "$ID-3"
bundle 'exit 42'; run
[ $RC = 42 ] && ok "run ends as its program does" || fail "rc $RC"
bundle 'sh -c "kill -9 \$PPID" & sleep 5; exit 0'; run
[ $RC = 0 ] && ok "pid 1 is out of reach of its children's KILL" || fail "rc $RC"
bundle 'echo kept'; check "run --keep" l run --keep -b "$B" "$ID" >/dev/null
[ "$(status)" = stopped ] && l delete "$ID" && ok "stays until delete" || fail "not kept"
bundle 'sleep 100'; check "run --detach" l run --detach -b "$B" "$ID" </dev/null >/dev/null 2>&1
[ "$(status)" = running ] && l delete --force "$ID" && ok "is running" || fail "not running"
bundle 'ls /proc/self/fd | wc -l; cat <&3'
echo preserved >"$T/fd3"
RC=0; l run --preserve-fds 1 -b "$B" "$ID" 3<"$T/fd3" 7</dev/null </dev/null >"$T/out" || RC=$?
[ "$(tail -1 "$T/out")" = preserved ] && ok "--preserve-fds" || fail "$(cat "$T/out")"
cp "$C" "$B/other.json"; rm "$C"
check "--config" l run --config other.json --preserve-fds 1 -b "$B" "$ID" 3<"$T/fd3" </dev/null >/dev/null
check "bundle is the current directory by default" sh -c "cd $B && $L --root $R run --config other.json --no-pivot --preserve-fds 1 $ID 3<$T/fd3 </dev/null >/dev/null"

lib_say "--- exec"
bundle 'sleep 100' '.process.user = {uid: 3, gid: 4} | .process.env += ["BASE=1"] | .process.cwd = "/tmp" | .hostname = "execbox"'
l run -d -b "$B" "$ID" </dev/null >/dev/null 2>&1
x() { l exec "$@" </dev/null 2>"$T/err" || return $?; }
[ "$(x "$ID" sh -c 'id -u; id -g; echo $BASE; pwd; hostname; echo $$ | grep -vc "^1$"')" = "3
4
1
/tmp
execbox
1" ] && ok "as the container's own process, inside" || fail "$(x "$ID" id) $(cat "$T/err")"
[ "$(x -u 5:6 -e BASE=2 -e NEW=3 --cwd /data -g 7 "$ID" sh -c 'id -u; id -g; id -G; echo $BASE$NEW; pwd')" = "5
6
6 7
23
/data" ] && ok "user, groups, environment, directory" || fail "$(cat "$T/err")"
[ "$(x -u 0 --cap CAP_NET_ADMIN "$ID" sh -c 'grep CapEff /proc/self/status | tr "\t" " "')" = "CapEff: 0000000020001420" ] && ok "--cap" || fail "$(x -u 0 --cap CAP_NET_ADMIN "$ID" grep CapEff /proc/self/status)"
jq '.process | .args = ["sh", "-c", "id -u; echo $A"] | .env += ["A=file"] | .user.uid = 9' "$C" >"$T/process.json"
[ "$(x --process "$T/process.json" "$ID")" = "9
file" ] && ok "--process" || fail "$(cat "$T/err")"
check_rc 33 "its exit code" x "$ID" sh -c 'exit 33'
check_rc 127 "a program that is not there" x "$ID" nothing-there
check "exec --detach --pid-file" x --detach --pid-file "$T/pid" "$ID" sleep 50
kill -0 "$(cat "$T/pid")" && ok "runs on" || fail "gone"
lib_terminal "$L --root $R exec -t $ID sh -c 'tty; test -t 0 && echo yes'" >"$T/out" || true
grep -q '^yes$' "$T/out" && grep -q /dev/pts "$T/out" && ok "exec -t" || fail "$(cat "$T/out")"
l kill "$ID" KILL; lib_until 5 is stopped
check_rc 1 "exec in a stopped container is refused" x "$ID" true
l delete "$ID"

lib_say "--- hooks"
hook='#!/bin/sh
{ echo "$HOOK $(cat | tr -d "\n") ns=$(readlink /proc/self/ns/mnt) root=$(test -e /bin/busybox -a ! -e /usr && echo inside || echo outside)"; } >>'
for where in "$T/hook"; do printf '%s%s\n' "$hook" "$T/hooks.log" >"$where"; chmod 755 "$where"; done
kinds="prestart createRuntime createContainer poststart poststop"
f='.annotations = {"k": "v"}'
for k in $kinds; do f="$f | .hooks.$k = [{path: \"$T/hook\", env: [\"HOOK=$k\", \"PATH=/bin:/usr/bin\"]}]"; done
bundle 'echo program >>/data/order' "$f | .hooks.startContainer = [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \"cat >/data/started; echo start >>/data/order\"]}]"
: >"$T/hooks.log"
check "create with hooks" l create -b "$B" "$ID" </dev/null >/dev/null 2>"$T/err" || cat "$T/err"
[ "$(cut -d' ' -f1 "$T/hooks.log" | tr '\n' ' ')" = "prestart createRuntime createContainer " ] && ok "at create: prestart, createRuntime, createContainer" || fail "$(cat "$T/hooks.log" "$T/err")"
host_ns=$(readlink /proc/self/ns/mnt)
[ "$(grep -F "ns=$host_ns" "$T/hooks.log" | cut -d' ' -f1 | tr '\n' ' ')" = "prestart createRuntime " ] && ok "in the runtime's namespace" || fail "$(cat "$T/hooks.log")"
grep '^createContainer' "$T/hooks.log" | grep -qvF "ns=$host_ns" && grep -q '^createContainer.*root=outside' "$T/hooks.log" && ok "createContainer in the container's, before its root" || fail "$(cat "$T/hooks.log")"
pid=$(l state "$ID" | jq .pid)
grep -q "\"status\":\"creating\",\"pid\":$pid" "$T/hooks.log" && grep -q '"annotations":{"k":"v"}' "$T/hooks.log" && ok "they are told the state" || fail "$(cat "$T/hooks.log")"
[ ! -e "$B/rootfs/data/order" ] && ok "startContainer has not run" || fail "too early"
l start "$ID"
lib_until 5 test -s "$B/rootfs/data/order"
lib_until 5 grep -q poststart "$T/hooks.log" && ok "poststart" || fail "$(cat "$T/hooks.log")"
in_order() { [ "$(tr '\n' ' ' <"$B/rootfs/data/order")" = "start program " ]; }
lib_until 5 in_order && ok "startContainer, then the program" || fail "$(cat "$B/rootfs/data/order")"
jq -e '.status == "created"' "$B/rootfs/data/started" >/dev/null && ok "startContainer is told: created" || fail "$(cat "$B/rootfs/data/started")"
check_not "no poststop yet" grep -q poststop "$T/hooks.log"
l delete --force "$ID"
grep -q '^poststop.*"status":"stopped"' "$T/hooks.log" && ok "poststop at delete: stopped" || fail "$(cat "$T/hooks.log")"
for k in prestart createRuntime createContainer; do
	bundle 'echo ran' ".hooks.$k = [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \"exit 3\"]}] | .hooks.poststop = [{path: \"$T/hook\", env: [\"HOOK=end-$k\", \"PATH=/bin:/usr/bin\"]}]"
	refused "a $k hook that fails ends it" "hooks.$k: /bin/sh ended with status 3"
	grep -q "^end-$k" "$T/hooks.log" && ok "and poststop runs" || fail "no poststop"
	[ ! -s "$T/out" ] && [ -z "$(l list -q)" ] || fail "$k: something is left: $(cat "$T/out") $(l list)"
done
bundle 'echo ran' '.hooks.startContainer = [{path: "/bin/false"}]'; run
[ ! -s "$T/out" ] && [ $RC != 0 ] && ok "a startContainer hook that fails: the program does not run" || fail "rc $RC $(cat "$T/out" "$T/err")"
bundle 'echo ran' '.hooks.poststart = [{path: "/bin/false"}] | .hooks.poststop = [{path: "/bin/false"}]'
sees "poststart and poststop that fail change nothing" ran
grep -q 'hooks.poststop' "$T/err" && ok "but are told" || fail "$(cat "$T/err")"
bundle true '.hooks.prestart = [{path: "/bin/sleep", args: ["sleep", "60"], timeout: 1}]'
refused "a hook that takes too long" "did not end within 1 s"

lib_say "--- seccomp"
bundle 'mkdir /tmp/d 2>&1 | head -1; echo on' '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 95}]}'
if [ -x "$BUILD/bin/limpet-seccomp" ]; then
	sees "a foreign profile" "mkdir: can't create directory '/tmp/d': Operation not supported
on"
	bundle 'mkdir /tmp/d && echo made' ".linux.seccomp = {defaultAction: \"SCMP_ACT_ALLOW\", listenerPath: \"$T/agent\", listenerMetadata: \"meta\", syscalls: [{names: [\"mkdir\", \"mkdirat\"], action: \"SCMP_ACT_NOTIFY\"}]}"
		python3 - "$T/agent" >"$T/agent.log" 2>&1 <<'P' &
import array, ctypes, fcntl, json, os, socket, struct, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1); s.settimeout(20)
c, _ = s.accept()
msg, anc, _, _ = c.recvmsg(65536, socket.CMSG_LEN(4))
fds = array.array("i"); fds.frombytes(anc[0][2][:4])
st = json.loads(msg)
print(st["fds"], st["metadata"], st["state"]["status"], st["pid"] == st["state"]["pid"])
req = bytearray(80)
fcntl.ioctl(fds[0], 0xc0502100, req)          # SECCOMP_IOCTL_NOTIF_RECV
print("asked", flush=True)
fcntl.ioctl(fds[0], 0xc0182101, bytearray(struct.pack("QqiI", struct.unpack("Q", req[:8])[0], 0, 0, 1)))  # go on
P
	agent=$!
	lib_until 5 test -S "$T/agent"
	sees "a profile with a listener: the call goes on when the agent says so" made
	wait $agent || true
	grep -q "\['seccompFd'\] meta creating True" "$T/agent.log" && grep -q asked "$T/agent.log" && ok "the agent had the descriptor and the state" || fail "$(cat "$T/agent.log")"
else
	lib_say "     no limpet-seccomp in this build: profiles of others are refused"
	refused "a foreign profile without limpet-seccomp" "linux.seccomp"
fi
exit "$([ -e "$T/failed" ] && echo 1 || echo 0)"
