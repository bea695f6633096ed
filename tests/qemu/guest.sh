#!/bin/busybox sh
# guest.sh - what runs as process 1 of the guest, from its ext4 root: mount everything, run the tests, tell each verdict on the
# serial console, power off. Kernel line: limpet.mode=v2|v1|nomem|old.
# A line of the log that counts: "@@ ok NAME", "@@ FAIL NAME", and "@@ end" at the very end.
export PATH=/bin:/limpet/bin:/usr/sbin TMPDIR=/tmp LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm /run /tmp
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
# /tmp and the store lie on ext4: 6.1 cannot shift the ids of a tmpfs
exec >/dev/console 2>&1 </dev/null
MODE=$(sed 's/.*limpet\.mode=\([a-z0-9]*\).*/\1/' /proc/cmdline)
C=/sys/fs/cgroup
now() { cut -d' ' -f1 /proc/uptime; }
ok() { echo "@@ ok $1 ($(now) s)"; }
bad() { echo "@@ FAIL $1${2:+: $2}"; }
check() { local n=$1; shift; if "$@"; then ok "$n"; else bad "$n" "$*"; fi; }
until_() { # SECONDS COMMAND...; on a busy machine many times as long
	local n=$(($1 * 30)); shift
	until "$@" >/dev/null 2>&1; do n=$((n - 1)); [ $n -gt 0 ] || return 1; sleep 0.2; done
}
same() { if [ "$2" = "$3" ]; then ok "$1"; else bad "$1" "\"$2\", not \"$3\""; fi; }

if [ "$MODE" = v1 ]; then
	mount -t tmpfs cgroup $C
	for c in memory cpu,cpuacct pids freezer devices; do
		mkdir -p $C/$c
		mount -t cgroup -o $c cgroup $C/$c || bad "mount cgroup v1 $c"
	done
else
	mount -t cgroup2 cgroup2 $C || bad "mount cgroup2"
fi
ip link set lo up
echo "@@ note $(uname -r) mode $MODE, $(awk '/MemTotal/ {print $2}' /proc/meminfo) kB, controllers: $(cat $C/cgroup.controllers 2>/dev/null || ls $C | tr '\n' ' ')"

# What each mode can do; MEM: is there a memory controller. V2: one hierarchy. USERNS: what the report must say.
MEM=enforced V2=yes USERNS=enforced
case $MODE in v1) V2=no ;; nomem) MEM=unsupported ;; old) USERNS=degraded ;; esac
group() { # CONTROLLER ID: where the group is
	if [ $V2 = yes ]; then echo "$C/limpet-$2"; elif [ "$1" = cpu ]; then echo "$C/cpu,cpuacct/limpet-$2"; else echo "$C/$1/limpet-$2"; fi
}
left() { # what a box may leave: groups, mounts, network devices, processes
	echo "groups: $(find $C -type d -path '*limpet*' | wc -l) mounts: $(grep -c . /proc/self/mountinfo) net: $(ls /sys/class/net | tr '\n' ' ')" \
		"processes: $(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -c '[s]leep 7')"
}
CLEAN=$(left)

# --- unit tests, as they are
cd /tmp || exit 1
unit() { # NAME
	timeout 500 /limpet/bin/unit_$1 >/tmp/unit.$1 2>&1
	same "unit.$1 ends well" $? 0
	grep -avE '^ok ' /tmp/unit.$1 | grep -aE '^FAIL|unit/[a-z_]+\.c:[0-9]+: ' | sed "s/^/@@ FAIL unit.$1: /"
	sed -n "s/^ \{5\}\(.*\(userns\|mode\|address\).*\)/@@ note unit.$1: \1/p" /tmp/unit.$1
}
for u in sys cgroup platform ops_filter box; do unit $u; done
check "userns is reported $USERNS" grep -q "^ *userns $USERNS" /tmp/unit.box
check "seccomp is enforced" grep -q "seccomp enforced" /tmp/unit.box
check "memory is reported $MEM" grep -q ", memory $MEM" /tmp/unit.box
check "bridge, NAT and a published port" grep -q "network enforced" /tmp/unit.box
same "unit tests leave nothing" "$(left)" "$CLEAN"

# --- the OCI command line
B=/bundle
run() { timeout 300 limpet run -b $B --config "$1.json" "$@" </dev/null >/tmp/out 2>&1; } # CONFIG, which is the name too
lim() { limpet "$@" </dev/null; }

run hog --keep; RC=$?
if [ $MEM = enforced ]; then
	same "hog: killed" $RC 137
	G=$(group memory hog)
	if [ $V2 = yes ]; then
		same "hog: its ceiling" "$(cat "$G/memory.max" "$G/memory.swap.max" "$G/memory.oom.group" | tr '\n' ' ')" "16777216 0 1 "
		check "hog: the group's own ceiling killed it" grep -qE '^oom_kill [1-9]' "$G/memory.events"
		check "hog: met its own limit" grep -qE '^max [1-9]' "$G/memory.events"
		[ ! -e "$G/memory.peak" ] || check "hog: peak is at most the ceiling" [ "$(cat "$G/memory.peak")" -le 16777216 ]
	else
		same "hog: its ceiling" "$(cat "$G/memory.limit_in_bytes")" 16777216
		check "hog: the group's own ceiling killed it" grep -qE '^oom_kill [1-9]' "$G/memory.oom_control"
	fi
else
	same "hog: runs without a ceiling" $RC 0
fi
lim delete hog || bad "delete hog"

run fork --keep; RC=$?
G=$(group pids fork)
same "pids: the limit as the kernel has it" "$(cat "$G/pids.max")" 8
check "pids: the ninth fork is refused" [ $RC -ne 0 ]
check "pids: counted" grep -qE '^max [1-9]' "$G/pids.events"
lim delete --force fork || bad "delete fork"
run free
same "pids: the control without a limit" $? 0

G=$(group cpu cpu)
lim run --detach -b $B --config cpu.json cpu >/tmp/out 2>&1 || bad "run cpu" "$(cat /tmp/out)"
if [ $V2 = yes ]; then same "cpu: quota and weight" "$(cat "$G/cpu.max" "$G/cpu.weight" | tr '\n' ' ')" "50000 200000 39 "
else same "cpu: quota and shares" "$(cat "$G/cpu.cfs_quota_us" "$G/cpu.cfs_period_us" "$G/cpu.shares" | tr '\n' ' ')" "50000 200000 1000 "; fi
same "exec: sees process 1" "$(lim exec cpu cat /proc/1/comm)" sleep
lim exec cpu sh -c 'exit 7'
same "exec: its status" $? 7
check "exec: a cgroup namespace hides the way to its group" eval '! lim exec cpu cat /proc/self/cgroup | grep -qv ":/$"'
G=$(group freezer cpu)
if [ $V2 = yes ]; then echo 1 >"$G/cgroup.freeze"; else echo FROZEN >"$G/freezer.state"; fi
sleep 0.2
lim delete --force cpu || bad "delete a frozen one"
same "a frozen box is killed and removed, nothing is left" "$(left)" "$CLEAN"

lim run --detach -b $B --config bomb.json bomb >/tmp/out 2>&1 || bad "run bomb" "$(cat /tmp/out)"
until_ 20 eval 'grep -qE "^max [1-9]" "$(group pids bomb)/pids.events"' || bad "the bomb meets its limit" "$(cat "$(group pids bomb)"/pids.*)"
lim delete --force bomb || bad "delete a fork bomb"
same "a fork bomb at its limit is killed and removed, nothing is left" "$(left)" "$CLEAN"

run view
if [ $V2 = no ]; then check "a mounted cgroup file system: its own groups on v1, not to be changed" grep -qE '^[1-9][0-9]* entries, refused$' /tmp/out
elif [ $MEM = enforced ]; then same "a mounted cgroup file system: its own limits, not to be changed" "$(cat /tmp/out)" "16777216 refused"; fi

# device rules: a program on v2, a list on v1; each denial with what is allowed beside it
MAJ=$(awk '$4 == "vda" {print $1}' /proc/partitions)
sed -i "s/4242/$MAJ/g" $B/*.json
run diskyes
same "devices: a disk that a rule allows opens" "$(tr '\n' ' ' </tmp/out)" "probe 0 zero "
run diskno
same "devices: without a rule it does not, the standard ones do" "$(tr '\n' ' ' </tmp/out)" "probe 1 zero "

# every field of v2 with its controller there; what is not there is told
lim run --detach -b $B --config every.json every >/tmp/out 2>&1 || bad "run every" "$(cat /tmp/out)"
G=$(group pids every)
if [ $V2 = yes ]; then
	same "v2: cpu, cpuset, pids" "$(cat "$G/cpu.max" "$G/cpu.weight" "$G/cpuset.cpus" "$G/cpuset.mems" "$G/pids.max" | tr '\n' ' ')" "50000 200000 39 0 0 20 "
	same "v2: io.max" "$(cat "$G/io.max")" "$MAJ:0 rbps=1048576 wbps=max riops=max wiops=max"
	[ $MEM = unsupported ] || same "v2: memory" "$(cat "$G/memory.max" "$G/memory.swap.max" "$G/memory.low" | tr '\n' ' ')" "33554432 33554432 1048576 "
fi
[ $MEM = enforced ] || check "what is missing is told with its kernel option" grep -q "memory.limit: not enforced.*CONFIG_MEMCG" /tmp/out
lim update --pids-limit 21 --cpu-quota 60000 every || bad "update"
same "update: pids" "$(cat "$G/pids.max")" 21
if [ $V2 = yes ]; then
	same "update: quota alone keeps the period" "$(cat "$G/cpu.max")" "60000 200000"
	lim update --cpu-period 100000 every || bad "update the period"
	same "update: period alone keeps the quota" "$(cat "$G/cpu.max")" "60000 100000"
fi
if [ $MEM = enforced ]; then
	lim update --memory 16m --memory-swap 20m every || bad "update memory"
	if [ $V2 = yes ]; then same "update: memory" "$(cat "$G/memory.max" "$G/memory.swap.max" | tr '\n' ' ')" "16777216 4194304 "; fi
fi
lim pause every || bad "pause"
check "paused" eval 'lim state every | grep -q "\"status\":.*paused"'
lim resume every || bad "resume"
check "running again" eval 'lim state every | grep -q "\"status\":.*running"'
check "ps" eval 'lim ps --format json every | grep -qE "^\[[0-9]+\]"'
check "events" eval 'lim events --stats every | grep -qE "\"type\":\"stats\".*\"pids\":\{\"current\":1,\"limit\":21\}"'
lim delete --force every || bad "delete every"
if [ $V2 = yes ] && [ $MEM = enforced ]; then
	lim run --detach -b $B --config unified.json unified >/tmp/out 2>&1 || bad "run unified" "$(cat /tmp/out)"
	same "unified" "$(cat $C/limpet-unified/memory.high $C/limpet-unified/pids.max | tr '\n' ' ')" "20971520 9 "
	lim delete --force unified || bad "delete unified"
fi
run wrong
check "unified: a file that is not there is refused by its path" grep -q "linux.resources.unified.pids.nothing" /tmp/out
same "they leave nothing" "$(left)" "$CLEAN"

# a network card: into a container whole, and back by the kernel
ip addr add 192.0.2.7/24 dev eth0
run card
same "netDevices: a card of the host" "$(tr '\n' ' ' </tmp/out)" "192.0.2.7/24 lo wan0 "
check "netDevices: the kernel gives it back, under the name that it had inside" until_ 10 eval '[ -e /sys/class/net/wan0 ]'
check "netDevices: without its address" eval '! ip addr show dev wan0 | grep -q 192.0.2.7'
ip link set dev wan0 name eth0 || bad "the card's name"
same "they leave nothing" "$(left)" "$CLEAN"

# a kernel that refuses: what it is, and what helps
run user
same "control: a user namespace" "$(cat /tmp/out)" "0 7000 99"
WAS=$(cat /proc/sys/user/max_user_namespaces)
echo 0 >/proc/sys/user/max_user_namespaces
run user
check "no user namespaces: told by the field, with the sysctl" grep -q 'linux.namespaces: user: switched off, sysctl user.max_user_namespaces is 0' /tmp/out
timeout 500 /limpet/bin/unit_box hello_and_its_report >/tmp/unit.refused 2>&1
[ $USERNS = degraded ] || check "no user namespaces: the agent's boxes go without, and say why" grep -q '^ *userns degraded.*user.max_user_namespaces is 0' /tmp/unit.refused
echo "$WAS" >/proc/sys/user/max_user_namespaces
same "they leave nothing" "$(left)" "$CLEAN"

N=0
while [ $N -lt 50 ]; do
	run true || { bad "life $N" "$(cat /tmp/out)"; break; }
	N=$((N + 1))
done
same "50 lives" $N 50
same "they leave nothing" "$(left)" "$CLEAN"

# --- the agent, without a network: signed desired state from a file, images from a directory
# On v2 as a service manager starts it: in a group of its own, at the place where processes and controllers exclude each other.
S=$C/system.slice/agentd.service
if [ $V2 = yes ]; then
	mkdir -p $S
	for c in memory cpu pids; do echo "+$c" >$C/cgroup.subtree_control; echo "+$c" >$C/system.slice/cgroup.subtree_control; done 2>/dev/null
fi
sh -c '[ ! -d $0 ] || echo $$ >$0/cgroup.procs; exec agentd --config /etc/limpet/agentd.json --libexec /limpet/bin' $S >/tmp/agentd.log 2>&1 &
AGENT=$!
answers() { agentctl status >/dev/null 2>&1; [ $? != 4 ]; }
phase() { agentctl status -o json | grep -q "\"phase\": *\"$1\""; }
state() { agentctl status -o json | tr -d ' \n\t'; }
check "agent: starts" until_ 30 answers
is() { state | grep -q "\"phase\":\"$1\""; }
settle() { until_ 60 eval 'is converged || is rolled-back || is failed || is rejected'; }
check "agent: takes the signed state" agentctl apply /etc/limpet/desired-1.json
settle
if is converged; then ok "agent: converges"; else bad "agent: converges" "$(agentctl status; agentctl events -n 9; tail -n 5 /tmp/agentd.log)"; fi
check "agent: the app runs and says so" until_ 20 eval 'agentctl logs web | grep -q beat'
page() { printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 5 127.0.0.1 8080 | tail -n 1; }
same "agent: the published port answers" "$(page)" hello
state >/tmp/state
check "agent: memory is reported $MEM" grep -q "\"memory\":{\"state\":\"$MEM\"" /tmp/state
check "agent: pids are reported enforced at 24" grep -q '"pids":{"state":"enforced","value":24' /tmp/state
check "agent: devices are reported enforced" grep -q '"devices":{"state":"enforced"' /tmp/state
check "agent: userns is reported $USERNS" grep -q "\"userns\":{\"state\":\"$USERNS\"" /tmp/state
pid_of_web() { state | sed 's/.*"web":{[^}]*"pid":\([0-9]*\).*/\1/'; }
PID=$(pid_of_web)
[ $V2 = no ] || check "agent: its apps run below its service's group" grep -q ^0::/system.slice/agentd.service/ "/proc/$PID/cgroup"
if [ $V2 = yes ]; then WEB=$C$(sed -n 's/^0:://p' "/proc/$PID/cgroup"); else WEB=$C/pids$(sed -n 's/.*:pids://p' "/proc/$PID/cgroup"); fi
same "agent: the kernel holds what is reported: pids" "$(cat "$WEB/pids.max")" 24
if [ $MEM = enforced ]; then
	if [ $V2 = yes ]; then F=$WEB/memory.max; else F=$C/memory$(sed -n 's/.*:memory://p' "/proc/$PID/cgroup")/memory.limit_in_bytes; fi
	same "agent: the kernel holds what is reported: memory" "$(cat "$F")" 12582912
	AG=$(sed -n 's/^0:://p; s/.*:memory://p' "/proc/$AGENT/cgroup" | grep limpet | head -n 1)
	[ $V2 = yes ] && F=$C$AG/memory.max || F=$C/memory$AG/memory.limit_in_bytes
	check "agent: it has a ceiling of its own" [ "$(cat "$F")" -le 67108864 ]
fi
CORE=$(ps | awk '/agentd-core/ && !/awk/ {print $1; exit}')
kill -KILL "$CORE"
until_ 5 eval '! kill -0 $CORE'
check "agent: comes back when its core is killed" until_ 30 answers
same "agent: its app did not notice" "$(pid_of_web)" "$PID"
agentctl apply /etc/limpet/desired-2.json || bad "agent: takes the second state"
until_ 10 eval '! is converged'
settle
if [ $MEM = enforced ]; then
	if is rolled-back; then ok "agent: a set with a hog is rolled back"; else bad "agent: a set with a hog is rolled back" "$(agentctl status; agentctl events -n 9)"; fi
	check "agent: a hog's end is told as out of memory" eval 'agentctl events -n 30 | grep -qE "oom.*hog|hog.*oom"'
else
	if is converged; then ok "agent: without a ceiling the hog ends well"; else bad "agent: the hog without a ceiling" "$(agentctl status; agentctl events -n 9)"; fi
fi
same "agent: the hog hurt nobody else" "$(pid_of_web)" "$PID"
kill -TERM $AGENT
wait $AGENT
same "agent: ends well" $? 0
check "agent: its apps are gone" eval '! kill -0 $PID 2>/dev/null'
# the store's objects are under fs-verity: the kernel refuses bytes that changed
STATE=$(sed -n 's/.*"state_dir":[[:space:]]*"\([^"]*\)".*/\1/p' /etc/limpet/agentd.json)
STATE=${STATE:-/var/lib/limpet}
N=$(agentd-core --check "$STATE" | sed -n 's/.*"verity":[[:space:]]*\([0-9]*\).*/\1/p')
if [ "${N:-0}" -gt 3 ]; then ok "store: $N files under fs-verity"; else bad "store: fs-verity" "${N:-none}: $(agentd-core --check "$STATE" 2>&1 | cut -c1-200)"; fi
OBJ=$(find "$STATE/store/objects" -type f -size +10k | head -n 1)
check "store: an object cannot be written to" eval '! dd if=/dev/zero of="$OBJ" bs=1 count=1 conv=notrunc 2>/dev/null'
echo "@@ note groups left for the agent's next start: $(find $C -type d -path '*limpet*' | sed "s#$C##" | tr '\n' ' ')"
[ -z "$(find $C -type d -path '*limpet*/web*')" ] || bad "agent: the app's group is gone" "$(find $C -type d -path '*limpet*')"
dmesg 2>/dev/null | grep -E 'BUG:|WARNING:|Oops:' | head -n 5 | sed 's/^/@@ FAIL kernel: /'
echo "@@ end $MODE ($(now) s)"
sync
poweroff -f
