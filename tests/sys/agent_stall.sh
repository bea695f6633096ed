#!/usr/bin/env bash
# Core waits for nobody: apps that stop, starve, freeze or litter whoever comes in (agentctl exec, exec checks), and clients of the control socket
# that say nothing. Meanwhile status answers each time, a neighbour that dies is started again, and core is the process that it was.
. "${SOURCE:?}/tests/sys/lib.sh" || exit 1
lib_need umoci jq openssl python3
[ "$(id -u)" = 0 ] || lib_skip "needs root"
lib_begin agent_stall
DEV=stall-$$
init_fleet $DEV
make_images
no_broker
fleetctl publish "dir:$T/img:1" --name web --version 1 >>"$T/log/publish"
start_agent $DEV
app() { # NAME SCRIPT MORE
	echo "{\"name\":\"$1\",\"release\":$(release web 1),\"sources\":[\"dir:$T/img\"],\"env\":{\"BEAT\":\"0.2\"},\"stop\":{\"grace_ms\":500},\"restart\":{\"policy\":\"always\",\"delay_ms\":100,\"max_delay_ms\":200}${2:+,\"args\":[\"/bin/sh\",\"-c\",\"$2\"]}$3}"
}
check() { echo ",\"health\":{\"exec\":[\"/bin/sh\",\"-c\",\"$1\"],\"interval_ms\":300,\"timeout_ms\":${2:-2000},\"retries\":1000,\"start_grace_ms\":1}"; }
APPS="$(app neighbour '' ''),
$(app stopper 'while :; do kill -STOP -1; done' "$(check true 1000)"),
$(app starved 'i=0; while [ $i -lt 40 ]; do (while :; do :; done) & i=$((i+1)); done; wait' ",\"cpu\":{\"percent\":1}$(check true 1000)"),
$(app still '' "$(check true 1000)"),
$(app litter '' "$(check 'sleep 4242 >/dev/null 2>&1 & exit 0')"),
$(app hanging '' "$(check 'sleep 4243 & sleep 4243' 300)")"
ctl apply "$(desired 1 "$APPS" '"update":{"probation_ms":3600000}')" | grep accepted >/dev/null || die "apply: $(ctl apply "$T/desired-1")"
for a in neighbour stopper starved still litter hanging; do lib_until 60 is apps.$a.state running || die "$a: $(field apps.$a) $(ctl events -n 5)"; done
CORE=$(pgrep -P "$AGENT_PID" -f 'agentd: core' | head -n 1)
answers() { timeout 30 "$BUILD/bin/agentctl" --run-dir "$T/$DEV/run" status -o json >"$T/answer" 2>&1; [ $? != 124 ] && jq -e .phase "$T/answer" >/dev/null 2>&1; }
answers_often() { local i; for i in 1 2 3 4 5; do answers || return 1; done; }
same_core() { [ "$(pgrep -P "$AGENT_PID" -f 'agentd: core' | head -n 1)" = "$CORE" ]; }
calm() { # WHAT: core answers, heals a neighbour, and is the same
	local pid
	answers_often && ok "$1: status answers, again and again" || fail "$1: no status: $(cat "$T/answer")"
	pid=$(field apps.neighbour.pid)
	kill -KILL "$pid"
	another() { local now; now=$(field apps.neighbour.pid); [ -n "$now" ] && [ "$now" != null ] && [ "$now" != "$pid" ]; }
	lib_until 20 another && ok "$1: a neighbour that died is started again" || fail "$1: neighbour: $(field apps.neighbour)"
	same_core && ok "$1: core is the same process" || fail "$1: another core: $(tail -n 3 "$T/log/agent-$DEV")"
}
calm "checks that are stopped, starved and left hanging"
[ "$(ctl exec neighbour -- echo in)" = in ] && ok "control: exec into an app that lets it" || fail "exec: $(ctl exec neighbour -- echo in 2>&1)"

# exec into an app that stops it: told by its reason, while core goes on. Whose program was in before it was stopped waits for it, as it does anywhere.
EXECS=()
for e in stopper:0.4241 stopper:0.4242 starved:0.4243; do
	lib_run "exec-${e#*:}" "$BUILD/bin/agentctl" --run-dir "$T/$DEV/run" exec "${e%:*}" -- sleep "${e#*:}"
	EXECS+=("$LIB_PID")
done
calm "exec into those who do not let it"
inside() { pgrep -f "^sleep 0.424$1\$" >/dev/null; }
over_or_in() { ! lib_alive "${EXECS[$1 - 1]}" || inside "$1"; }
gone() { ! inside "$1"; }
for i in 1 2 3; do
	lib_until 60 over_or_in $i || fail "an exec hangs: $(cat "$T"/log/exec-*)"
	lib_stop "${EXECS[$i - 1]}" KILL
	lib_until 20 gone $i || fail "a program outlives its client"
done
ok "each exec ended ($(cat "$T"/log/exec-* | sort | uniq -c | tr -s ' \n' ' '))"

# whoever is stopped on the way in holds nothing of core's
held() { # what processes of this agent that stand still have open
	local p
	for p in /proc/[0-9]*; do
		[ "$(awk '/^State:/{print $2}' "$p/status" 2>/dev/null)" = T ] && ls -l "$p/fd" 2>/dev/null | grep -E "$T/$DEV/(state|run)/|eventpoll"
	done
}
sick() { field "apps.$1.health_why" | grep -qv "^null$"; }
lib_until 30 sick stopper && ok "control: the checks of stopper are stopped" || fail "stopper: $(field apps.stopper)"
[ -z "$(held)" ] && ok "one who is stopped inside holds no file of the agent's" || fail "held: $(held)"

# a frozen app
FREEZE=$(find /sys/fs/cgroup -path "*limpet-$DEV/app/still/*" \( -name freezer.state -o -name cgroup.freeze \) 2>/dev/null | sort | head -n 1)
if [ -n "$FREEZE" ]; then
	[ "${FREEZE##*/}" = cgroup.freeze ] && on=1 off=0 || { on=FROZEN; off=THAWED; }
	echo $on >"$FREEZE"
	lib_until 30 sick still && ok "a frozen app fails its checks" || fail "still: $(field apps.still)"
	calm "a frozen app"
	echo $off >"$FREEZE"
	lib_until 30 is apps.still.health_why null && ok "and is well when it goes on" || fail "still: $(field apps.still)"
fi

# what a check starts ends with it, well or not
sleepers() { pgrep -f "^sleep $1\$" | wc -l; }
few() { [ "$(sleepers 4242)" -le 2 ] && [ "$(sleepers 4243)" -le 4 ]; }
lib_until 10 is apps.litter.health ok && ok "control: the check of litter is run" || fail "litter: $(field apps.litter)"
few && ok "nothing is left of checks: $(sleepers 4242), $(sleepers 4243)" || fail "left: $(sleepers 4242) $(sleepers 4243)"

# silent clients of the control socket, more than there are places
lib_run silent python3 -c '
import socket, sys, time
held = []
for i in range(24):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(sys.argv[1])
    held.append(s)
print("connected", flush=True)
time.sleep(600)' "$T/$DEV/run/ctl.sock"
lib_until 20 grep -q connected "$T/log/silent" || fail "control: no silent clients: $(cat "$T/log/silent")"
calm "silent clients"

# a core that stands still: agentctl shows what was reported last, and says so
kill -STOP "$CORE"
rc=0; timeout 240 "$BUILD/bin/agentctl" --run-dir "$T/$DEV/run" status >"$T/answer" 2>&1 || rc=$?
kill -CONT "$CORE"
[ $rc = 4 ] && grep "does not answer" "$T/answer" >/dev/null && grep neighbour "$T/answer" >/dev/null && ok "of a core that stands still the last report is shown" || fail "status $rc: $(cat "$T/answer")"
