#!/usr/bin/env bash
# A person at the device's console: what apps say and what exec leaves behind do not reach the terminal; what is pasted arrives whole.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need umoci jq openssl python3 setsid
lib_begin agent_console
DEV=console-$$
init_fleet $DEV
make_images
no_broker
fleetctl publish "dir:$T/img:1" --name web --version 1 >>"$T/log/publish"
start_agent $DEV
PORTS=$(free_port)
A="'$BUILD/bin/agentctl' --config '$FLEETCTL_DIR/devices/$DEV/agentd.json'"
terminal() { TERM=vt102 LC_ALL=C python3 "$SOURCE/tests/tool/on_terminal.py" "$@"; }
SRC="\"sources\":[\"dir:$T/img\"]"
app() { echo "{\"name\":\"$1\",\"release\":$(release web 1),$SRC,\"stop\":{\"grace_ms\":500}$2}"; }
HOSTILE='"args":["/bin/sh","-c","printf '"'"'plain\\n\\033]0;owned\\007 \\033[2J \\302\\233 \\233 \\177 \\342\\200\\256 \\303\\274 end\\n'"'"'; exec sleep 1000"]'
ctl apply "$(desired 1 "$(app web ',"env":{"LISTEN":"'"$(free_port)"'"}'),$(app hostile ",$HOSTILE")")" >/dev/null || die "apply"
lib_until 40 converged 1 || die "phase $(field phase): $(field err.msg)"

# --- an app's output
lib_until 10 bash -c "$A logs hostile | grep -q end" || die "no output of the hostile app"
ctl logs hostile | grep -q 'owned. .\[2J . . . . ü end' && ok "control: the rest of its output is there, also beyond ASCII" || fail "logs: $(ctl logs hostile | cat -v)"
ctl logs hostile | tail -1 | LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f\x9b]' && fail "logs: $(ctl logs hostile | cat -v)" || ok "no escape, C1 or DEL comes out"
ctl logs hostile -o json | LC_ALL=C grep -qP '[^\t\n\x20-\x7e]' && fail "logs -o json: $(ctl logs hostile -o json | cat -v)" || ok "JSON is ASCII"
ctl logs hostile -o json | tail -1 | jq -r .text | grep -q $'\033\\[2J' && ok "and says it whole" || fail "JSON lacks it: $(ctl logs hostile -o json)"
terminal "run:$A logs hostile" "see:plain" "see:end" end:0 'never:[\x80-\xff\x07\x7f]|\x1b\[2J|\x1b\]' && ok "an 8-bit console gets ASCII only" || fail "on a terminal"

# --- exec without -t: the terminal stays ours
inner='read x; echo got:$x; ( trap "" PIPE; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo intruder; echo intruder >&2; if read x; then echo "$x" >/tmp/had; else echo nothing >/tmp/had; fi ) <&0 & exit 5'
terminal "run:$A exec web -- sh -c '$inner'" 'type:first line\n' "see:got:first line" end:5 clear \
	"do:$A exec web -- sh -c 'echo >/tmp/go'" 'type:hunter2-secret\n' "until:$A exec web -- sh -c '[ -s /tmp/had ]'" never:intruder &&
	ok "exec: input and output pass, and what it left running does not write to the terminal" || fail "exec"
[ "$(ctl exec web -- cat /tmp/had)" = nothing ] && ok "nor read what is typed there later" || fail "it read: $(ctl exec web -- cat /tmp/had)"
terminal "run:$A exec web -- sh -c 'test -t 0 || test -t 1 || test -t 2 || echo no terminal'" "see:no terminal" end:0 && ok "there is no terminal in it" || fail "a terminal"
terminal "run:$A exec -t web -- sh -c 'test -t 0 && read x && echo got:\$x'" 'type:into it\n' "see:got:into it" end:0 && ok "control: with -t there is one of its own" || fail "exec -t"
terminal "run:$A exec -t web -- sh -c 'echo kind:\$TERM'" see:kind:xterm end:0 && ok "with a kind" || fail "exec -t: no TERM"
terminal "run:$A exec -t web -- sh -c 'sleep 100 & echo left'" see:left end:0 && ok "and what stays behind in it does not hold the caller" || fail "exec -t is held"
seq 20000 | ctl exec web -- cat | cmp - <(seq 20000) && ok "pipes pass as they are" || fail "pipes"

# --- a manifest of eight ordinary apps, pasted: its JSON is one line of more than 4095 bytes
apps=$(for i in 1 2 3 4 5 6 7 8; do printf '%s{"name":"app-%s","release":"web:1","env":{"LISTEN":"%s","SITE":"a place with a name that is longer"},"memory":{"max_bytes":16777216},"restart":{"policy":"always","delay_ms":200}}' "$([ $i = 1 ] || echo ,)" $i "$((PORTS + i))"; done)
echo "{\"apps\":[$apps],\"update\":{\"probation_ms\":200}}" >"$T/eight.json"
sign() { fleetctl sign -f "$T/eight.json" -d $DEV "$@" 2>>"$T/log/sign"; }
sign --rev 2 -o "$T/eight" || die "sign"
check "control: the envelope has more than 4095 bytes" test "$(wc -c <"$FLEETCTL_DIR/desired/d-$DEV.json")" -gt 4095
check "lines of at most 76 columns" test "$(awk '{if (length > m) m = length} END {print m}' "$T/eight")" -le 76
terminal "run:$A apply -" "see:paste a signed document" "type:@$T/eight" see:accepted end:0 && ok "the lines, pasted: accepted" || fail "paste"
lib_until 40 converged 2 && ok "and converged" || fail "rev $(field rev) $(field phase): $(field err.msg)"
sign --rev 3 -o - >"$T/eight"
sed '7d' "$T/eight" >"$T/short"
terminal "run:$A apply -" see:paste "type:@$T/short" "see:line 6 of [0-9]+ is missing: line 7 came" end:1 && ok "a line that is missing is told by its number" || fail "a missing line"
sed '9s/./#/20' "$T/eight" >"$T/bent"
terminal "run:$A apply -; read x; echo next:\$x" see:paste "type:@$T/bent" "see:line 8 of [0-9]+ is damaged" 'type:mine\n' see:next:mine end:0 && ok "a damaged one too, and the rest is no input for the shell" || fail "a damaged line"
is rev 2 && ok "nothing of it was taken" || fail "rev $(field rev)"
terminal "run:stty -a; $A apply -; stty -a" see:paste "type:@$FLEETCTL_DIR/desired/d-$DEV.json" see:accepted "see: icanon" end:0 && ok "the JSON in one line: accepted, and the terminal is as before" || fail "JSON"
sign --rev 4 -o "$T/eight"
fold -w 60 "$FLEETCTL_DIR/desired/d-$DEV.json" >"$T/folded"
terminal "run:$A apply -" see:paste "type:@$T/folded" 'type:\n.\n' see:accepted end:0 && ok "JSON that a terminal folded, ended by a dot: accepted" || fail "folded JSON"
sign --rev 5 -o "$T/eight"
ctl apply "$T/eight" | grep -q accepted && ok "the file from a stick" || fail "file"
sign --rev 6 -o - | ctl apply - | grep -q accepted && ok "and a pipe" || fail "pipe"
head -n 5 "$T/eight" | ctl apply - >"$T/said" 2>&1 && fail "half of it was taken" || ok "half of it is refused: $(cut -c11- "$T/said")"
check_rc 2 "sign without a target is a usage error" fleetctl sign -f "$T/eight.json" 2>/dev/null
lib_until 40 converged 6 || fail "rev $(field rev) $(field phase): $(field err.msg)"

# --- what status, why and plan say
BUSYBOX='"restart":{"policy":"no"},"args":["/bin/true"]'
ctl apply "$(desired 7 "$(app web ',"env":{"LISTEN":"'"$PORTS"'"}'),{\"name\":\"job\",\"release\":$(release web 1),$SRC,$BUSYBOX}")" >/dev/null || die "apply 7"
lib_until 40 converged 7 || fail "rev $(field rev) $(field phase): $(field err.msg)"
lib_until 10 is apps.job.state stopped || fail "job is $(field apps.job.state)"
check_rc 0 "status: a one-shot that has ended well is well" ctl status >"$T/status"
grep -q '! job' "$T/status" && fail "it is marked: $(cat "$T/status")" || ok "and has no mark"
NEEDY='"devices":[{"match":{"by-id":"nothing-of-this-name"},"path":"/dev/x","required":true}]'
ctl apply "$(desired 8 "$(app web2 ",$NEEDY"),$(app web ',"env":{"LISTEN":"'"$PORTS"'"}')")" >/dev/null || die "apply 8"
lib_until 20 is apps.web2.state waiting || fail "web2 is $(field apps.web2.state)"
check_rc 3 "control: one that waits for its device is not" ctl status >/dev/null
ctl why web2 | grep -q '^now: .*web2' && ok "control: why web2 says what it waits for" || fail "why web2: $(ctl why web2)"
ctl why web | grep -q web2 && fail "why web speaks of web2: $(ctl why web)" || ok "why web does not speak of web2"
check_rc 1 "why of an app that never was" ctl why nosuch 2>"$T/said"
grep -q 'nothing is known of an app "nosuch"' "$T/said" && ok "says so" || fail "$(cat "$T/said")"
check_rc 1 "logs of one" ctl logs nosuch 2>"$T/said"
grep -q 'no app "nosuch" has run' "$T/said" && ok "too" || fail "$(cat "$T/said")"
# of the candidate on the device the first app lacks a device; of the file's first one nothing is known but its release
ctl plan "$(desired 9 "$(app other ''),$(app web2 ",$NEEDY"),$(app web ',"env":{"LISTEN":"'"$PORTS"'"}')")" >"$T/plan"
grep -q '^wait web2' "$T/plan" && ok "control: the plan of a file knows what web2 lacks" || fail "plan: $(cat "$T/plan")"
grep -qE '^(wait|start) other.*device' "$T/plan" && fail "plan of a file, by place: $(cat "$T/plan")" || ok "and not by the place of an app"
# --- the agent is gone: what it left tells on
lib_agent_end $DEV
D="$BUILD/bin/agentctl --config $FLEETCTL_DIR/devices/$DEV/agentd.json"
check "history without the agent" grep -q converged <($D history)
check_rc 4 "why without it ends with 4" $D why web >"$T/said" 2>"$T/err"
check "but tells what was noted" grep -qE 'accepted|converged' "$T/said"
check_rc 4 "plan too" $D plan >"$T/said" 2>"$T/err"
check "and tells what will be planned for" grep -q 'web2  web@1' "$T/said"
