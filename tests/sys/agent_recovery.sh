#!/usr/bin/env bash
# A stolen fleet key, an operator's PC that is ahead, clocks that are wrong: what each does to a real device, what its operator is told, and that
# the root keys end it from afar: keys rotate, keys push, apply. Control: before and after each, an ordinary apply converges.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto docker-registry umoci skopeo jq openssl python3
lib_begin agent_recovery
DEV=recovery-$$
export LIMPET_CLOCK=$T/clock # the device's: fleetctl is not given it
clock() { echo "$1 $2" >"$T/clock.new" && mv "$T/clock.new" "$T/clock"; }
clock 0 unsynced
start_fleet $DEV
fleetctl publish --no-packs "$REG/demo/web:1" >>"$T/log/publish"
start_agent $DEV
TOPIC=limpet1/demo/d/$DEV/desired
YEAR=31536000
N=16
web() { # another manifest each time
	N=$((N + 1))
	printf '{"apps": [{"name": "web", "release": "web:1", "memory": {"max_bytes": %s}}], "update": {"probation_ms": 200}}' $((N * 1048576)) >"$T/web.json"
}
apply() { web; LIMPET_CLOCK=/nonexistent fleetctl apply -f "$T/web.json" -d $DEV --wait --timeout "${WAIT:-60s}" "$@" >"$T/log/apply" 2>&1; }
converges() { apply && ok "$1" || fail "$1: $(cat "$T/log/apply") $(field err.msg)"; }
thief() { # FILTER: a manifest of the stolen key, made of the one that is in force
	jq -r .payload "$T/stolen.envelope" | base64 -d | jq -c "$1" | "$SOURCE/tests/tool/forge.py" desired "$T/stolen.key" >"$T/forged"
	mqtt_pub operator -t "$TOPIC" -q 1 -r -f "$T/forged"
}
rotate() { fleetctl keys rotate "$1" >>"$T/log/rotate" 2>&1 && fleetctl keys push >>"$T/log/rotate" 2>&1 || fail "rotate $1: $(tail -n 3 "$T/log/rotate")"; }

converges "control: an ordinary apply"
mqtt_sub operator -t "$TOPIC" -C 1 -W 60 >"$T/stolen.envelope" || die "no retained document"
cp "$FLEETCTL_DIR/keys/fleet-1.key" "$T/stolen.key"

# --- revs counted up to the end
thief '.rev = 9007199254740000 | .apps[0].memory.max_bytes = 33554432'
lib_until 20 is rev 9007199254740000 && ok "a stolen key uses up all revs" || fail "rev $(field rev): $(field err.msg)"
rotate fleet
lib_until 20 is trust 2 || fail "trust $(field trust)"
converges "its rotation makes revs count anew"
[ "$(field rev)" -lt 1000 ] && ok "rev $(field rev)" || fail "rev $(field rev)"
thief '.rev = 9007199254740000 | .apps[0].memory.max_bytes = 34603008'
lib_until 10 bash -c "'$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' events -n 3 | grep -q 'denied.*signature'" && ok "what it signed counts no more" || fail "$(agentctl $DEV events -n 3)"

# --- a device that was away while its keys changed: the trust documents come before what they sign
lib_stop "${LIB_AGENT_PIDS[$DEV]}"
rotate fleet
rotate fleet
web
LIMPET_CLOCK=/nonexistent fleetctl apply -f "$T/web.json" -d $DEV >"$T/log/apply" 2>&1 || fail "apply: $(cat "$T/log/apply")"
WANT=$(jq -r .payload "$FLEETCTL_DIR/desired/d-$DEV.json" | base64 -d | jq .rev)
start_agent $DEV
lib_until 20 is rev "$WANT" && lib_until 20 is phase converged && is denied null && ok "a device that was away takes them one by one, then the manifest" ||
	fail "trust $(field trust), rev $(field rev) of $WANT, $(field denied)"

# --- a time of the far future, on a device whose clock nobody sets
cp "$FLEETCTL_DIR/keys/fleet-4.key" "$T/stolen.key"
END=$(jq -r .payload "$FLEETCTL_DIR/trust/4.json" | base64 -d | jq .expires)
thief ".rev = 500 | .issued = $((END + 5)) | .expires = $((END + YEAR))"
lib_until 10 bash -c "'$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' events -n 3 | grep -q 'after trust version 4 ends'" && ok "no time beyond the keys that signed it" || fail "$(agentctl $DEV events -n 3)"
thief ".rev = 501 | .issued = $((END - 5)) | .expires = $((END + YEAR))"
lib_until 20 is rev 501 || fail "rev $(field rev): $(field err.msg)"
apply && fail "it is not told" || ok "an ordinary apply is refused"
grep -q 'here by its floor (rev 501 of device); its clock says 20' "$T/log/apply" && ok "with what the device takes for now, and why" || fail "$(cat "$T/log/apply")"
{ agentctl $DEV status || true; } | tr -d '\n' | grep -q 'here *by *its *floor' && ok "and so does agentctl status" || fail "$(agentctl $DEV status)"
rotate fleet
lib_until 20 is trust 5 || fail "trust $(field trust)"
converges "the next trust document sets the time"

# --- clocks
lib_stop "${LIB_AGENT_PIDS[$DEV]}"
clock $((14 * YEAR)) unsynced
start_agent $DEV
converges "a clock that is 14 years ahead, and not synchronised"
lib_stop "${LIB_AGENT_PIDS[$DEV]}"
clock $((-50 * YEAR)) unsynced
start_agent $DEV
converges "one from before 1980"
lib_stop "${LIB_AGENT_PIDS[$DEV]}"
clock $((14 * YEAR)) synced
start_agent $DEV
WAIT=15s apply && fail "a synchronised clock is believed" || ok "14 years ahead and synchronised: refused for as long as that lasts"
is denied.msg null || ok "and it is told: $(field denied.msg)"
grep -q 'expired.*by its clock' <<<"$(field denied.msg)" || fail "denied: $(field denied.msg)"
lib_stop "${LIB_AGENT_PIDS[$DEV]}"
clock 0 synced
start_agent $DEV
converges "the right time again"
thief ".rev = 900 | .issued += $((3 * YEAR)) | .expires = $END"
lib_until 10 bash -c "'$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' events -n 3 | grep -q 'signature'" || true
rev=$(field want)
jq -r .payload "$FLEETCTL_DIR/desired/d-$DEV.json" | base64 -d | jq -c ".rev = $((rev + 1)) | .issued += $((3 * YEAR)) | .expires = $END" |
	"$SOURCE/tests/tool/forge.py" desired "$FLEETCTL_DIR/keys/fleet-5.key" >"$T/ahead"
mqtt_pub operator -t "$TOPIC" -q 1 -r -f "$T/ahead"
lib_until 10 is phase rejected && ok "an operator's PC that is ahead: $(field err.msg)" || fail "phase $(field phase): $(field err)"
converges "and nothing of it stays"
