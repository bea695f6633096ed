#!/usr/bin/env bash
# What goes wrong in the field, while an update is under way: the broker dies and comes back, the registry's line is cut in the middle of a
# layer, core is killed at each named point, the device restarts without any network. Each time: the update converges (or the old version
# runs on), the app is there, and a resumed download asks only for what it lacks.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto docker-registry umoci skopeo jq python3
lib_begin agent_resilience
DEV=resist-$$
start_fleet $DEV
PROXY_PORT=$(free_port)
STATS=$T/stats
AGENTD=$FLEETCTL_DIR/devices/$DEV/agentd.json
pid() { agentctl $DEV ps -o json 2>/dev/null | jq -r ".$1.pid // empty"; }
manifest() { # FILE RELEASE MEMORY
	cat >"$1" <<-END
		{"apps": [{"name": "web", "release": "$2", "memory": {"max_bytes": $3}, "restart": {"policy": "always", "delay_ms": 100},
		  "health": {"http": {"port": 8080, "path": "/healthz"}, "interval_ms": 200, "start_grace_ms": 500}}], "update": {"probation_ms": 300}}
	END
}

# --- an image whose last layer is 6 MB that do not compress, behind a slow line
img=$T/img
umoci unpack --image "$img:1" "$T/b" >>"$T/log/images" 2>&1
head -c 6000000 /dev/urandom >"$T/b/rootfs/srv/large"
umoci repack --image "$img:large" "$T/b" >>"$T/log/images" 2>&1
skopeo copy -q --dest-tls-verify=false "oci:$img:large" "docker://127.0.0.1:$REG_PORT/demo/web:large" >>"$T/log/images" 2>&1
rm -rf "$T/b"
lib_run proxy "$SOURCE/tests/tool/cutproxy.py" "$PROXY_PORT" "$REG_PORT" "$STATS" 2000000 3500000
PROXY_PID=$LIB_PID
lib_until 5 port_open "$PROXY_PORT" || die "no proxy"
fleetctl publish "http://127.0.0.1:$PROXY_PORT/demo/web:1" --version 1 >>"$T/log/publish"
start_agent $DEV
manifest "$T/m1.json" web:1 16777216
fleetctl apply -f "$T/m1.json" -d $DEV --wait --timeout 240s >"$T/log/apply" 2>&1 || die "apply web:1: $(cat "$T/log/apply")"
PID=$(pid web)

# --- the line is cut in the middle of the layer, and the broker dies meanwhile
fleetctl publish "$REG/demo/web:large" --version large --source "http://127.0.0.1:$PROXY_PORT/demo/web" >>"$T/log/publish" 2>&1 ||
	fleetctl publish "http://127.0.0.1:$PROXY_PORT/demo/web:large" --version large >>"$T/log/publish"
lib_stop "$PROXY_PID" KILL
lib_run proxy "$SOURCE/tests/tool/cutproxy.py" "$PROXY_PORT" "$REG_PORT" "$STATS" 2000000 3500000
lib_until 5 port_open "$PROXY_PORT" || die "no proxy"
manifest "$T/m2.json" web:large 16777216
fleetctl apply -f "$T/m2.json" -d $DEV >"$T/log/apply" 2>&1 || die "apply: $(cat "$T/log/apply")"
lib_until 10 is phase downloading && ok "downloading" || fail "phase is $(field phase)"
lib_stop "$BROKER_PID" KILL
lib_until 10 bash -c "'$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' status -o json | jq -e '.link != \"online\"'" && ok "the broker is gone, and it is said: $(field link)" || fail "link is $(field link)"
[ "$(pid web)" = "$PID" ] && ok "the old version runs on meanwhile" || fail "the app was touched"
lib_run broker mosquitto -c "$T/broker/mosquitto.conf"
BROKER_PID=$LIB_PID
lib_until 60 converged 2 && ok "rev 2 converges after cut and broker restart" || fail "rev $(field rev), $(field phase): $(field err.msg)"
lib_until 40 is link online && ok "online again" || fail "link is $(field link)"
SENT=$(cat "$STATS")
NEED=$(jq -r .payload "$FLEETCTL_DIR/releases/web/2.json" | base64 -d | jq ".platforms[0].packed_bytes")
[ "$SENT" -lt $((NEED + NEED / 10 + 200000)) ] && ok "resumed by range: $SENT bytes sent for an image of $NEED packed" || fail "$SENT bytes were sent for $NEED"
told_state() { [ "$(mqtt_sub operator -t "limpet1/demo/d/$DEV/state" -C 1 -W 60 | jq -r .phase)" = "$1" ]; }
lib_until 5 told_state converged && ok "the retained state says converged" || fail "the retained state does not say converged"

# --- core is killed at each named point of an update
agent_with() { # POINT
	lib_stop "${LIB_AGENT_PIDS[$DEV]}"
	rm -f "$T/$DEV/run/killed"
	LIMPET_KILL_AT=$1 lib_run "agent-$DEV" "$BUILD/bin/agentd" --config "$AGENTD" --libexec "$BUILD/bin"
	LIB_AGENT_PIDS[$DEV]=$LIB_PID
	lib_until 20 agent_answers $DEV || die "the agent does not start ($1)"
	lib_until 20 bash -c "[ -n \"\$('$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' ps -o json | jq -r '.web.pid // empty')\" ]" || fail "$1: the app is not there before the update"
}
REV=2
N=0
for point in accept-before-ledger accept-after-ledger accept-after-document fetched verified installed stop-decided box-started box-saved \
	confirm-before-good confirm-after-good verdict-saved collected; do
	N=$((N + 1))
	REV=$((REV + 1))
	# a release of its own each time, so that there is something to fetch and install
	umoci unpack --image "$img:1" "$T/b" >>"$T/log/images" 2>&1
	head -c 50000 /dev/urandom >"$T/b/rootfs/srv/extra"
	umoci repack --image "$img:$point" "$T/b" >>"$T/log/images" 2>&1
	rm -rf "$T/b"
	skopeo copy -q --dest-tls-verify=false "oci:$img:$point" "docker://127.0.0.1:$REG_PORT/demo/web:$point" >>"$T/log/images" 2>&1
	fleetctl publish "$REG/demo/web:$point" --version "$point" >>"$T/log/publish"
	agent_with "$point"
	manifest "$T/m.json" "web:$point" 16777216
	fleetctl apply -f "$T/m.json" -d $DEV >"$T/log/apply" 2>&1 || fail "$point: apply: $(cat "$T/log/apply")"
	lib_until 30 converged $REV || fail "$point: rev $(field rev), $(field phase), $(field err.msg)"
	lib_until 5 test -e "$T/$DEV/run/killed" || fail "$point: core was not killed there"
	lib_until 5 agent_answers $DEV || true
	[ -n "$(pid web)" ] && ok "core killed at $point: rev $REV converged, the app runs" || fail "$point: the app is not there"
	BAD=$(find "$T/$DEV/state/store" -perm /6000 | wc -l)
	[ "$BAD" = 0 ] || fail "$point: $BAD set-uid files"
done
[ $N -ge 10 ] || fail "only $N points"

# --- the device restarts: all processes gone at once, /run empty, no broker, no registry
agent_with none
power_off $DEV
lib_stop "$BROKER_PID"
lib_stop "$REG_PID"
lib_run "agent-$DEV" "$BUILD/bin/agentd" --config "$AGENTD" --libexec "$BUILD/bin"
LIB_AGENT_PIDS[$DEV]=$LIB_PID
lib_until 20 agent_answers $DEV || die "the agent does not start without network"
lib_until 10 bash -c "[ -n \"\$('$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' ps -o json | jq -r '.web.pid // empty')\" ]" && ok "after a restart without network the app is back" || fail "the app did not come back"
lib_until 10 is apps.web.health ok && ok "and healthy" || fail "health: $(field apps.web.health)"
is phase converged && ok "rev $(field rev) still converged, boot $(field boot)" || fail "phase $(field phase)"

# --- the keeper is killed: core stays for the boxes' sake, the next agentd takes all over, no log line is lost
PID=$(pid web)
FIRST=$(agentctl $DEV logs web -n 1 | grep -oE '[0-9]+$')
CORE=$(pgrep -P "${LIB_AGENT_PIDS[$DEV]}" -f 'agentd: core')
kill -KILL "${LIB_AGENT_PIDS[$DEV]}"
wait "${LIB_AGENT_PIDS[$DEV]}" 2>/dev/null || true
sleep 2
[ "$(pid web)" = "$PID" ] && ok "keeper killed: the app runs on" || fail "the app died with the keeper"
lib_run "agent-$DEV" "$BUILD/bin/agentd" --config "$AGENTD" --libexec "$BUILD/bin"
LIB_AGENT_PIDS[$DEV]=$LIB_PID
lib_until 20 bash -c "! kill -0 $CORE 2>/dev/null" || fail "the old core stays"
lib_until 20 agent_answers $DEV || die "no new core"
same() { [ "$(pid web)" = "$PID" ]; }
lib_until 10 same && ok "the next agentd took it over: same pid $PID" || fail "pid $(pid web) instead of $PID"
LAST=$(agentctl $DEV logs web -n 1 | grep -oE '[0-9]+$')
LINES=$(agentctl $DEV logs web -n 10000 | grep -oE 'heartbeat [0-9]+$' | awk -v a="$FIRST" -v b="$LAST" '$2 >= a && $2 <= b' | sort -u | wc -l)
[ "$LINES" = $((LAST - FIRST + 1)) ] && ok "$LINES log lines across it, none lost" || fail "$LINES of $((LAST - FIRST + 1)) log lines"
