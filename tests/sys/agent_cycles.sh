#!/usr/bin/env bash
# An app that dies a thousand times under the real agent: nothing grows. File descriptors, cgroups, mounts, network links and memory of
# keeper, core and link after cycle 50 and after the last one. The same on the bridge network, fewer times.
. "$SOURCE/tests/sys/lib.sh"
[ "$(id -u)" = 0 ] || lib_skip "needs root"
lib_need mosquitto docker-registry umoci skopeo jq musl-gcc
lib_begin agent_cycles
DEV=cycles-$$
CYCLES=${CYCLES:-1000}
BRIDGE_CYCLES=${BRIDGE_CYCLES:-50}
init_fleet "$DEV"
start_broker
start_registry

# One app: stays until /data/go is there, then each life ends at once. So it converges like any other first.
musl-gcc -static -Os -s -o "$T/stamp" "$SOURCE/tests/bench/stamp.c"
umoci init --layout "$T/img" >>"$T/log/images" 2>&1
umoci new --image "$T/img:1" >>"$T/log/images" 2>&1
umoci unpack --image "$T/img:1" "$T/b" >>"$T/log/images" 2>&1
mkdir -p "$T"/b/rootfs/{bin,proc,sys,dev,data,tmp}
cp "$T/stamp" "$T/b/rootfs/bin/stamp"
umoci repack --image "$T/img:1" "$T/b" >>"$T/log/images" 2>&1
umoci config --image "$T/img:1" --config.entrypoint /bin/stamp >>"$T/log/images" 2>&1
rm -rf "$T/b"
skopeo copy -q --dest-tls-verify=false "oci:$T/img:1" "docker://127.0.0.1:$REG_PORT/demo/once:1" >>"$T/log/images" 2>&1
fleetctl publish "$REG/demo/once:1" --version 1 >>"$T/log/publish" 2>&1
start_agent "$DEV"

manifest() { # NETWORK
	cat >"$T/$1.json" <<-END
		{"apps": [{"name": "once", "release": "once:1", "args": ["/bin/stamp", "once", "/data/go"], "network": {"mode": "$1"},
		  "memory": {"max_bytes": 16777216}, "mounts": [{"type": "volume", "name": "data", "target": "/data"}],
		  "restart": {"policy": "always", "delay_ms": 10, "max_delay_ms": 10}}], "update": {"probation_ms": 100}}
	END
}
restarts() { agentctl "$DEV" status -o json 2>/dev/null | jq -r '.apps.once.restarts // 0'; }
enough() { local n; n=$(restarts); [ "${n:-0}" -ge "$1" ]; }
anon() { awk '$1 == "Anonymous:" {print $2}' "/proc/$1/smaps_rollup"; }
rss() { awk '$1 == "Rss:" {print $2}' "/proc/$1/smaps_rollup"; }
fds() { find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l; }
# What may not grow; the app is asked to stay first, so that it is the same moment of its life.
count() { # FILE
	{
		echo "keeper_fds $(fds "$KEEPER")"
		echo "core_fds $(fds "$CORE")"
		echo "link_fds $(fds "$LINK")"
		echo "cgroups $(lib_agent_cgroups "$DEV" | wc -l)"
		echo "mounts $(wc -l <"/proc/$CORE/mountinfo")"
		echo "links $(ip -o link | wc -l)"
		echo "files $(find "$T/$DEV/run" "$T/$DEV/state" | wc -l)"
		echo "keeper_anon $(anon "$KEEPER")"
		echo "core_anon $(anon "$CORE")"
		echo "core_rss $(rss "$CORE")"
		echo "link_anon $(anon "$LINK")"
	} >"$1"
}
hold() { # no more deaths: it lives again, and the agent has said so
	rm -f "$GO"
	lib_until 20 bash -c "[ \"\$('$BUILD/bin/agentctl' --run-dir '$T/$DEV/run' status -o json | jq -r .apps.once.state)\" = running ]" || die "the app does not stay"
	sleep 1.5
}
go() { # UNTIL RESTARTS
	touch "$GO"
	kill -KILL "$(agentctl "$DEV" ps -o json | jq -r .once.pid)"
	lib_until 80 enough "$1" || die "only $(restarts) restarts of $1"
	hold
}
judge() { # NAME BEFORE AFTER: 0 more of things, 256 KiB more of memory
	local what a b max
	while read -r what a b; do
		max=0
		case $what in *_anon) max=256 ;; *_rss) max=1024 ;; esac
		printf '%-24s %6s -> %6s\n' "$1 $what" "$a" "$b"
		[ $((b - a)) -le $max ] || fail "$1: $what grew from $a to $b"
	done < <(join <(sort "$2") <(sort "$3"))
}
# A busy machine is not done with the last life at once: what is there more than before has a time to go.
no_more() { # NETWORK
	count "$T/$1.after"
	join <(sort "$T/$1.before") <(sort "$T/$1.after") | awk '$1 !~ /_(anon|rss)$/ && $3 > $2 {more = 1} END {exit more}'
}
# round NETWORK FIRST LAST
round() {
	local begin last
	manifest "$1"
	fleetctl apply -f "$T/$1.json" -d "$DEV" --wait --timeout 240s >"$T/log/apply" 2>&1 || die "apply $1: $(tail -n 3 "$T/log/apply")"
	GO=$T/$DEV/state/volumes/once/data/go
	[ -d "$(dirname "$GO")" ] || die "the volume is not at $GO"
	go "$2"
	count "$T/$1.before"
	begin=$(date +%s%N)
	last=$(restarts)
	go "$3"
	lib_until 5 no_more "$1" || true
	printf '%s: %s lives, %s ms each\n' "$1" "$(restarts)" "$((($(date +%s%N) - begin) / 1000000 / ($(restarts) - last)))"
	judge "$1" "$T/$1.before" "$T/$1.after"
}

KEEPER=$AGENT_PID
CORE=$(pgrep -P "$KEEPER" -f 'agentd: core')
LINK=$(pgrep -P "$CORE" -f link)
round none 50 "$CYCLES"
ok "$CYCLES lives without a network"
kill -0 "$CORE" || fail "core did not live through it"
if ip link add "ltc$$" type bridge 2>/dev/null && ip link del "ltc$$"; then
	round bridge 10 "$((10 + BRIDGE_CYCLES))"
	ok "$BRIDGE_CYCLES lives on the bridge"
else
	lib_say "no bridge in this kernel: not tried"
fi
[ "$(pgrep -P "$KEEPER" -f 'agentd: core')" = "$CORE" ] && ok "core is the same process" || fail "core was started anew"
