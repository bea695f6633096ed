#!/usr/bin/env bash
# The agent updates itself, with a real broker and a real registry: its programs are an image with a release like any app's. A good one takes over
# (the same app process, no log line lost, the version reported) and is there again after a power cut. Bad ones (a core that ends at once, one
# that hangs, one whose link does not reach the broker, one that somebody else may write) are left, the app runs on, none is tried again.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto docker-registry umoci skopeo jq strip
lib_begin agent_self
DEV=self-$$
start_fleet $DEV
fleetctl publish "$REG/demo/web:1" --version 1 >>"$T/log/publish"
AGENTD=$FLEETCTL_DIR/devices/$DEV/agentd.json

# --- images of the agent: today's programs, said to be another version; V is as long as the real one
REAL=$("$BUILD/bin/agentd" --version | cut -d' ' -f2)
version() { printf '%s' "$REAL" | sed "s/^./$1/"; }
mkdir "$T/programs"
for p in core link fetch untar unpack; do
	cp "$BUILD/bin/agentd-$p" "$T/programs/"
	strip "$T/programs/agentd-$p"
done
umoci init --layout "$T/agent" >>"$T/log/images" 2>&1
agent_image() { # VERSION COMMAND...: publishes agent:VERSION; the command may spoil $LIBEXEC before
	local v=$1 b=$T/agent-$1; shift
	umoci new --image "$T/agent:$v" >>"$T/log/images" 2>&1
	umoci unpack --image "$T/agent:$v" "$b" >>"$T/log/images" 2>&1
	LIBEXEC=$b/rootfs/usr/libexec/limpet
	mkdir -p "$LIBEXEC"
	cp "$T/programs"/agentd-* "$LIBEXEC/"
	sed -i "s/${REAL//./\\.}/$v/g" "$LIBEXEC/agentd-core"
	"$@"
	umoci repack --image "$T/agent:$v" "$b" >>"$T/log/images" 2>&1
	rm -rf "$b"
	skopeo copy -q --dest-tls-verify=false "oci:$T/agent:$v" "docker://127.0.0.1:$REG_PORT/demo/agent:$v" >>"$T/log/images" 2>&1
	fleetctl publish "$REG/demo/agent:$v" --version "$v" ${FROM:+--from "$FROM"} >>"$T/log/publish" 2>&1 || die "publish: $(tail -n 3 "$T/log/publish")"
}
script() { rm "$LIBEXEC/agentd-$1"; printf '#!/bin/sh\n%s\n' "$2" >"$LIBEXEC/agentd-$1"; chmod 0755 "$LIBEXEC/agentd-$1"; }
pid() { agentctl $DEV ps -o json 2>/dev/null | jq -r '.web.pid // empty'; }
said() { agentctl $DEV events -n 200 | grep -q "$1"; }
# Its file: it runs from a detached mount of that (runtime/box/exe_guard.h), where exe has no path.
core() { tr '\0' '\n' <"/proc/$(pgrep -P "${LIB_AGENT_PIDS[$DEV]}" -f 'agentd: core')/environ" | sed -n 's/^LIMPET_EXE=//p'; }
from_base() { [ "$(core)" = "$BUILD/bin/agentd-core" ]; }
ended() { is agent_update.release "$1" && is agent_update.phase "$2"; }
apply() { # VERSION CONFIRM_S; "" : without
	jq -n --arg v "$1" --argjson s "${2:-5}" '{apps: [{name: "web", release: "web:1", memory: {max_bytes: 16777216}, env: {BEAT: "0.05"},
		log: {max_bytes: 1048576}}], update: {probation_ms: 300}} + if $v == "" then {} else {agent: {release: ("agent:" + $v), confirm_s: $s}} end' >"$T/m.json"
	fleetctl apply -f "$T/m.json" -d $DEV >"$T/log/apply" 2>&1 || fail "apply: $(cat "$T/log/apply")"
}
lines() { agentctl $DEV logs web -n 100000 | grep -oE 'heartbeat [0-9]+$' | cut -d' ' -f2; }
no_line_lost() {
	local all n last
	all=$(lines)
	n=$(sort -un <<<"$all" | wc -l)
	last=$(tail -n 1 <<<"$all")
	[ "$n" = "$last" ] && ok "$1: $n log lines, none lost" || fail "$1: $n of $last log lines"
}
power() { # all processes gone at once, /run empty, another boot
	power_off $DEV
	echo "boot-$1" >"$T/boot_id"
	lib_run "agent-$DEV" "$BUILD/bin/agentd" --config "$AGENTD" --libexec "$BUILD/bin"
	LIB_AGENT_PIDS[$DEV]=$LIB_PID
	lib_until 20 agent_answers $DEV || die "the agent does not start after the power cut"
	has_app() { case $(pid) in '' | null) false ;; esac; }
	lib_until 20 has_app || fail "no app after the power cut"
}
echo boot-0 >"$T/boot_id"
export LIMPET_BOOT_ID=$T/boot_id
A=$(version 7) B=$(version 8) C=$(version 9) D=$(version 6) E=$(version 5)
agent_image "$A" true
agent_image "$B" script core 'exit 1'
agent_image "$C" script core 'exec sleep 1000'
agent_image "$D" script link 'exec sleep 1000'
FROM=$A agent_image "$E" true
start_agent $DEV
apply ""
lib_until 30 is phase converged || die "no start: $(field err)"
lib_until 20 is link online || die "not online"
is agent "$REAL" && from_base && ok "begins with the base system's $REAL" || fail "agent $(field agent), $(core)"
[ "$(field agent_update)" = null ] && ok "nothing is told of an update that nobody asked for" || fail "$(field agent_update)"
PID=$(pid)
KEEPER=${LIB_AGENT_PIDS[$DEV]}

# --- a good one
apply "$A" 30
lib_until 60 ended "$A" good && ok "$A: took over and is good" || die "agent_update: $(field agent_update) $(tail -n 5 "$T/log/agent-$DEV")"
is agent "$A" && ok "reports version $A" || fail "agent $(field agent)"
case $(core) in "$T/$DEV/state/store/images/"*/rootfs/usr/libexec/limpet/agentd-core) ok "its core runs from the store" ;; *) fail "core $(core)" ;; esac
[ "$(pid)" = "$PID" ] && lib_alive "$KEEPER" && ok "the same app process, the same keeper" || fail "pid $(pid), not $PID"
said "agent-updated.*$A" && ok "event agent-updated" || fail "no event"
lib_until 10 is phase converged && lib_until 10 is link online && ok "converged and online" || fail "$(field phase), $(field link)"
no_line_lost "$A"
at_broker() { mqtt_sub operator -t "limpet1/demo/d/$DEV/state" -C 1 -W 60 | jq -e --arg v "$A" '.agent == $v and .agent_update == {phase: "good", release: $v}'; }
lib_until 10 at_broker && ok "the broker holds it" || fail "at the broker: $(mqtt_sub operator -t "limpet1/demo/d/$DEV/state" -C 1 -W 60 | jq -c '[.agent, .agent_update]')"

# --- bad ones
bad() { # VERSION REASON [SECONDS]
	apply "$1" "${3:-6}"
	lib_until 60 ended "$1" rolled-back && ok "$1: left: $(field agent_update.why)" || { fail "$1: agent_update: $(field agent_update)"; return; }
	field agent_update.why | grep -qE "$2" || fail "$1: the reason is not '$2'"
	is agent "$A" && ok "$1: $A is back" || fail "$1: agent $(field agent)"
	said "agent-rolled-back.*$1" && ok "$1: event agent-rolled-back" || fail "$1: no event"
	[ "$(pid)" = "$PID" ] && ok "$1: the same app process" || fail "$1: pid $(pid), not $PID"
	local starts
	starts=$(field cores)
	sleep 3
	[ "$(field cores)" = "$starts" ] && ok "$1: not tried again" || fail "$1: tried again"
	no_line_lost "$1"
}
bad "$B" 'it ended 3 times'
bad "$C" 'did not say within 6 s'
bad "$D" 'broker was not reached in 15 s' 15
apply "$A" 30
lib_until 30 converged "$(fleetctl get manifest -d $DEV | jq .rev)" || fail "$A again: $(field agent_update)"
apply "$B" 6
lib_until 30 is phase converged
sleep 2
is agent "$A" && [ "$(pid)" = "$PID" ] && ok "$B asked for once more: remembered as bad" || fail "agent $(field agent)"

# --- power goes
apply "$A" 30
lib_until 20 is phase converged
power 1
lib_until 20 is agent "$A" && ok "after a power cut $A starts" || fail "agent $(field agent)"
lib_until 20 is link online || fail "not online"

# --- another good one, by a patch; then an older one
fetched() { grep -E 'GET /v2/demo/agent/' "$T/log/registry" | sed -nE 's/.*HTTP\/1.1" 20[06] ([0-9]+) .*/\1/p' | awk '{n += $1} END {print n + 0}'; }
before=$(fetched)
PID=$(pid)
apply "$E" 30
lib_until 60 ended "$E" good && is agent "$E" && ok "$E: took over from $A and is good" || fail "agent_update: $(field agent_update)"
[ "$(pid)" = "$PID" ] && ok "the same app process" || fail "pid $(pid), not $PID"
n=$(($(fetched) - before))
[ $n -gt 0 ] && [ $n -lt 65536 ] && ok "$n bytes fetched for it" || fail "$n bytes fetched, no patch"
apply "$A" 30
lib_until 30 is agent_update.phase refused && is agent "$E" && ok "an older one is refused: $(field agent_update.why)" || fail "agent_update: $(field agent_update)"
apply "$E" 30
lib_until 20 ended "$E" good || fail "agent_update: $(field agent_update)"

# --- what is remembered was tampered with, or somebody else may write the programs: the base system's core runs
sed -i 's#"image":"sha256:[0-9a-f]*"#"image":"sha256:../../../../tmp/evil"#' "$T/$DEV/state/state/agent"
before=$(grep -c 'is not a digest' "$T/log/agent-$DEV" || true)
power 2
[ "$(grep -c 'is not a digest' "$T/log/agent-$DEV")" -gt "$before" ] && [ ! -e /tmp/evil ] && ok "a memory with a path in it is refused" || fail "not refused"
lib_until 30 ended "$E" good && is agent "$E" && ok "and the manifest brings $E in again" || fail "agent_update: $(field agent_update)"
LIB=$(dirname "$(find "$T/$DEV/state/store/images" -path '*rootfs/usr*' -name agentd-core | head -n 1)")
chmod o+w "$LIB"
power 3
lib_until 30 ended "$E" rolled-back && from_base && is agent "$REAL" && ok "a directory that others may write is refused: $(field agent_update.why)" || fail "core $(core), $(field agent_update)"
lib_until 20 is apps.web.state running && ok "the app runs" || fail "web: $(field apps.web.state)"
