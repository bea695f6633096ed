# lib.sh - fixtures for scripts that need a real broker, a real registry and a real agent. To be sourced by bash:
#   . "$SOURCE/tests/sys/lib.sh"; lib_begin NAME
# Everything lives below $T, is ended by pid, and is looked for again at the end: a test that leaves something behind fails.
# SOURCE: the tree; BUILD: the build directory (programs in $BUILD/bin).
set -euo pipefail
: "${SOURCE:?}" "${BUILD:?}"
# A sys test that is run by hand: in a world of its own, as by ctest.
if [ -z "${LIMPET_ALONE:-}" ] && [[ $(realpath "$0") = "$(realpath "$SOURCE")"/tests/sys/*.sh ]]; then exec "$SOURCE/tests/sys/alone" "$0" "$@"; fi

LIB_PATIENCE=${LIB_PATIENCE:-6}
LIB_PIDS=() # of processes that lib_run started
LIB_KEEP=0 # 1: leave all running (quickstart --keep)
LIB_UNITS=() # devices whose agents were started
declare -A LIB_AGENT_PIDS=() # and their keepers

lib_say() { printf '%s\n' "$*"; }
lib_skip() { printf 'skipped: %s\n' "$*"; exit 77; }
# fail MESSAGE: counts, goes on.  die MESSAGE: ends the test.
# In a pipe or $(...) it counts too: by a file.
fail() { echo >>"$T/failed"; printf 'FAIL %s\n' "$*"; }
die() { fail "$*"; exit 1; }
ok() { printf 'ok   %s\n' "$*"; }
# check NAME COMMAND...: the command must succeed.  check_not: must fail.  check_rc N NAME COMMAND...: must end with N.
check() { local n=$1; shift; if "$@"; then ok "$n"; else fail "$n: $*"; fi; }
check_not() { local n=$1; shift; if "$@"; then fail "$n: $*"; else ok "$n"; fi; }
check_rc() {
	local want=$1 n=$2 rc=0; shift 2
	"$@" || rc=$?
	if [ "$rc" = "$want" ]; then ok "$n"; else fail "$n: ended with $rc, not $want: $*"; fi
}

lib_need() {
	local p
	for p in "$@"; do command -v "$p" >/dev/null || lib_skip "no $p here (see boards/host/README.md)"; done
}

lib_begin() { # NAME
	LIB_NAME=$1
	umask 022
	T=$(mktemp -d "${TMPDIR:-/tmp}/limpet-$LIB_NAME.XXXXXX")
	chmod 0755 "$T"
	LIB_ID=$(basename "$T")
	mkdir -p "$T/log"
	lib_snapshot >"$T/before"
	trap lib_end EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	export FLEETCTL_DIR=$T/fleet
}

# What must not be left: mounts below $T, our agents' cgroups (and processes: lib_stray).
lib_snapshot() {
	{ grep -F "$T/" /proc/self/mountinfo || true; } | awk '{print "mount", $5}'
	local d
	for d in "${LIB_UNITS[@]}"; do lib_agent_cgroups "$d" | sed 's/^/cgroup /'; done
}

# Processes whose command line or working directory lies below $T.
lib_stray() {
	local p cmd
	for p in /proc/[0-9]*; do
		[ "${p#/proc/}" = "$$" ] && continue
		cmd=$({ tr '\0' ' ' <"$p/cmdline"; } 2>/dev/null) || continue
		case $cmd in *"$T/"*) printf 'process %s %s\n' "${p#/proc/}" "$cmd" ;; esac
	done
}

lib_clean() { [ -z "$(lib_stray)" ]; }

# Run in the background: lib_run NAME COMMAND...; its output goes to $T/log/NAME, its pid to LIB_PID.
lib_run() {
	local name=$1; shift
	"$@" >>"$T/log/$name" 2>&1 &
	LIB_PID=$!
	LIB_PIDS+=("$LIB_PID")
}

lib_alive() { kill -0 "$1" 2>/dev/null; }

# lib_stop PID [SIGNAL]: end it and wait; after a minute by force.
lib_stop() {
	local pid=$1 i
	kill -"${2:-TERM}" "$pid" 2>/dev/null || return 0
	for i in $(seq 600); do
		lib_alive "$pid" || break
		sleep 0.1
	done
	if lib_alive "$pid"; then kill -KILL "$pid" 2>/dev/null || true; fi
	wait "$pid" 2>/dev/null || true
}

# lib_until SECONDS COMMAND...: until it succeeds. SECONDS is what it may take on an idle machine; one that is busy, with other tests for
# instance, has LIB_PATIENCE times as much.
lib_until() {
	local end=$((SECONDS + $1 * LIB_PATIENCE)) pauses=(0.05 0.1 0.1 0.2 0.3) n=0; shift # to ask costs more than to wait
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep "${pauses[n]}"
		n=$((n < 4 ? n + 1 : 4))
	done
}

# Seconds in which processes of this test waited for a processor, as the kernel has counted them: what a busy machine takes.
lib_waited_s() {
	local f
	for f in /sys/fs/cgroup/{,unified/}cpu.pressure /proc/pressure/cpu; do
		[ ! -r "$f" ] || { sed -nE 's/^some .*total=([0-9]+)[0-9]{6}$/\1/p' "$f"; return; }
	done
}

# lib_terminal COMMAND-LINE: what it says on a terminal. Of an input that ends, script would send an end of file into it, and not stay to the end.
lib_terminal() {
	[ -p "$T/quiet" ] || mkfifo "$T/quiet"
	script -qec "$1" /dev/null <>"$T/quiet" | tr -d '\r'
}

# lib_limpet PREFIX: for tests of containers without an agent: L the program, R its records, B a bundle with config.json C, ID of a container of this test.
# At the end all containers of R go.
lib_limpet() {
	L=$BUILD/bin/limpet R=$T/state B=$T/b C=$T/b/config.json ID=$1$$
	trap lib_limpet_end EXIT
}
lib_limpet_end() {
	local rc=$? id
	set +e
	"$L" --root "$R" list -q 2>/dev/null | while read -r id; do "$L" --root "$R" delete --force "$id"; done
	(exit $rc)
	lib_end
}

# Builds the static limpet below $BUILD/static and sets STATIC to its path; when it cannot be had, STATIC is empty and STATIC_WHY says why.
static_limpet() {
	STATIC='' STATIC_WHY="no musl-gcc (Debian: musl-tools)"
	command -v musl-gcc >/dev/null || return 0
	mkdir -p "$BUILD/static"
	{ cmake -S "$SOURCE" -B "$BUILD/static" -G Ninja -DLIMPET_STATIC=ON -DWERROR=ON -DLIMPET_CJSON_DIR="${LIMPET_CJSON_DIR:-}" &&
		ninja -C "$BUILD/static" -j2; } >"$BUILD/static/build.log" 2>&1 ||
		{ STATIC_WHY=$(grep -hE 'cJSON:|error|FAILED' "$BUILD/static/build.log" | head -n 3); return 0; }
	STATIC=$BUILD/static/bin/limpet
	ln -sf "$BUILD/bin/limpet-seccomp" "$BUILD/static/bin/limpet-seccomp" # where it is looked for in a build directory
}

lib_end() {
	local rc=$? i left=
	trap - EXIT
	set +e
	if [ "$LIB_KEEP" = 1 ] && [ $rc -eq 0 ]; then exit 0; fi
	for ((i = ${#LIB_UNITS[@]} - 1; i >= 0; i--)); do lib_agent_end "${LIB_UNITS[i]}"; done
	for ((i = ${#LIB_PIDS[@]} - 1; i >= 0; i--)); do lib_stop "${LIB_PIDS[i]}"; done
	lib_until 1 lib_clean # what was ended may still be on its way out
	for i in "${LIB_UNITS[@]}"; do lib_agent_forget "$i"; done
	left=$(lib_snapshot | grep -vxF -f "$T/before"; lib_stray)
	if [ -n "$left" ]; then
		fail "left behind:"
		printf '     %s\n' "$left"
		lib_sweep
	fi
	LIB_FAILED=$(wc -l 2>/dev/null <"$T/failed" || echo 0)
	if [ $rc -eq 0 ] && [ "$LIB_FAILED" -gt 0 ]; then rc=1; fi
	if [ $rc -ne 0 ] && [ $rc -ne 77 ]; then
		printf 'FAIL %s (%d failed); logs: %s/log\n' "$LIB_NAME" "$LIB_FAILED" "$T"
		tail -n 8 "$T"/log/* 2>/dev/null
	else
		rm -rf "$T"
		[ -e "$T" ] && { echo "FAIL: $T cannot be removed"; rc=1; }
	fi
	exit $rc
}

# Last resort, after it was reported: what lies below $T or in our cgroups goes.
lib_sweep() {
	local pid m
	for pid in $(lib_stray | awk '{print $2}'); do kill -KILL "$pid" 2>/dev/null; done
	for m in $(grep -F "$T/" /proc/self/mountinfo | awk '{print $5}' | sort -r); do umount -l "$m" 2>/dev/null; done
}

# --- the network's two engines -----------------------------------------------------------------------------------

# Below the range that the kernel takes for outgoing connections, or one of these may have it.
free_port() {
	local p
	while :; do
		p=$(shuf -i 20000-31999 -n 1) # a subshell's RANDOM repeats itself
		if ! ss -Htan "sport = :$p" 2>/dev/null | grep -q .; then echo $p; return; fi
	done
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# fleetctl with this test's directory.
fleetctl() { "$BUILD/bin/fleetctl" "$@"; }

# init_fleet [DEVICE...]: picks the broker's port, makes the fleet "demo" and a bundle per device with directories below $T. A device waits a second
# at most before it dials again, not 30: a test that restarts its broker has no fleet to spare it.
init_fleet() {
	local d
	BROKER_PORT=$(free_port)
	fleetctl init --fleet demo --broker "localhost:$BROKER_PORT" >>"$T/log/init" 2>&1
	for d in "$@"; do
		fleetctl keys device "$d" --state-dir "$T/$d/state" --run-dir "$T/$d/run" ${GROUP:+--group "$GROUP"} >>"$T/log/init"
		dial_soon "$d"
	done
}

dial_soon() { # DEVICE
	local f=$FLEETCTL_DIR/devices/$1/agentd.json
	jq '.mqtt.reconnect_s = 1' "$f" >"$T/agentd.json" && cp "$T/agentd.json" "$f"
}

# The shipped broker's files, beside a main file like Debian's, with our ports and directories and as this user.
start_broker() {
	local b=$T/broker f
	WS_PORT=$(free_port)
	mkdir -p "$b/db" "$b/conf.d"
	cp "$FLEETCTL_DIR"/pki/{ca.pem,broker.pem,broker.key} "$b/"
	for f in acl acl-dashboard; do sed "s#limpet1/+#limpet1/demo#" "$SOURCE/configs/$f" >"$b/$f"; done
	mosquitto_passwd -b -c "$b/passwd" viewer viewer-secret
	chmod 0600 "$b/passwd"
	for f in mosquitto mosquitto_dashboard; do
		sed -e "s#/etc/limpet-broker/#$b/#" \
			-e "s/^listener 8883\$/listener $BROKER_PORT 127.0.0.1/; s/^listener 9883\$/listener $WS_PORT 127.0.0.1/" \
			"$SOURCE/configs/$f.conf" >"$b/conf.d/$f.conf"
	done
	printf 'log_type subscribe\npersistence true\npersistence_location %s/db/\nuser %s\ninclude_dir %s/conf.d\n' "$b" "$(id -un)" "$b" >"$b/mosquitto.conf"
	lib_run broker mosquitto -c "$b/mosquitto.conf"
	BROKER_PID=$LIB_PID
	lib_until 10 port_open "$BROKER_PORT" || die "the broker does not start"
}

start_registry() { # [PORT]
	REG_PORT=${1:-$(free_port)}
	printf 'version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp: {addr: "127.0.0.1:%s"}\n' \
		"$T/registry" "$REG_PORT" >"$T/registry.yml"
	lib_run registry docker-registry serve "$T/registry.yml"
	REG_PID=$LIB_PID
	REG=http://127.0.0.1:$REG_PORT
	lib_until 10 port_open "$REG_PORT" || die "the registry does not start"
}

# start_fleet [DEVICE...]: all that a device needs: fleet, broker, registry, and the images in both layout and registry.
start_fleet() {
	init_fleet "$@"
	start_broker
	start_registry
	make_images
	push_images
}

# mqtt_sub CN ARGS... / mqtt_pub CN ARGS...: as a device or the operator, with its certificate.
mqtt_files() {
	if [ "$1" = operator ]; then echo "--cert $FLEETCTL_DIR/pki/operator.pem --key $FLEETCTL_DIR/pki/operator.key"
	else echo "--cert $FLEETCTL_DIR/devices/$1/device.pem --key $FLEETCTL_DIR/devices/$1/device.key"; fi
}
mqtt_sub() {
	local cn=$1; shift
	# shellcheck disable=SC2046
	mosquitto_sub -V 5 -I "$cn-" -h localhost -p "$BROKER_PORT" --cafile "$FLEETCTL_DIR/pki/ca.pem" $(mqtt_files "$cn") "$@"
}
mqtt_pub() {
	local cn=$1; shift
	# shellcheck disable=SC2046
	mosquitto_pub -V 5 -I "$cn-" -h localhost -p "$BROKER_PORT" --cafile "$FLEETCTL_DIR/pki/ca.pem" $(mqtt_files "$cn") "$@"
}

# Before somebody is started who listens: listener TOPIC; then lib_until 10 listens: the broker has its subscription.
subscriptions() { grep -cF " $1" "$T/log/broker" || true; }
listener() { LISTENER=$1 LISTENERS=$(subscriptions "$1"); }
listens() { [ "$(subscriptions "$LISTENER")" -gt "$LISTENERS" ]; }

# --- networks ----------------------------------------------------------------------------------------------------

# Another machine on this network's line, in a namespace of its own: 192.0.2.2 and 2001:db8::2, we are .1 and ::1. OUT: a process of it;
# HAS6: does this kernel have IPv6. out COMMAND...: there.
lib_out() {
	out() { nsenter -t "$OUT" -n "$@"; }
	unshare -n sleep 1000 & OUT=$!
	LIB_PIDS+=("$OUT")
	lib_until 5 bash -c "[ \$(readlink /proc/$OUT/ns/net) != \$(readlink /proc/self/ns/net) ]" || die "no second namespace"
	ip link add line type veth peer name line netns "$OUT"
	ip addr add 192.0.2.1/24 dev line && ip link set line up
	out ip addr add 192.0.2.2/24 dev line && out ip link set line up && out ip link set lo up
	HAS6=0
	if [ "$(cat /proc/sys/net/ipv6/conf/all/disable_ipv6 2>/dev/null)" = 0 ]; then
		HAS6=1
		ip addr add 2001:db8::1/64 dev line nodad && out ip addr add 2001:db8::2/64 dev line nodad
	fi
}

# $T/server.py PORT [udp] says from whom it was asked. $T/ask.py HOST PORT [udp|send] tries each address of HOST and prints the answer; send: as a
# web browser would.
lib_talkers() {
	cat >"$T/server.py" <<-'END'
		import socket, sys
		fam = socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET
		udp = len(sys.argv) > 2
		s = socket.socket(fam, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
		s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		if fam == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
		s.bind(("", int(sys.argv[1])))
		if not udp: s.listen(16)
		while True:
		    if udp:
		        d, a = s.recvfrom(100); s.sendto(b"from " + a[0].encode(), a)
		    else:
		        c, a = s.accept(); c.sendall(b"from " + a[0].encode()); c.close()
	END
	cat >"$T/ask.py" <<-'END'
		import socket, sys
		how = sys.argv[3] if len(sys.argv) > 3 else ""
		t = socket.SOCK_DGRAM if how == "udp" else socket.SOCK_STREAM
		for fam, kind, proto, _, a in socket.getaddrinfo(sys.argv[1], int(sys.argv[2]), 0, t):
		    s = socket.socket(fam, t); s.settimeout(1)
		    try:
		        s.connect(a)
		        if how: s.send(b"GET / HTTP/1.0\r\n\r\n")
		        d = s.recv(1000).decode()
		        print(d)
		        sys.exit(0 if d else 1)
		    except OSError as e: print(e)
		sys.exit(1)
	END
}

# --- images ------------------------------------------------------------------------------------------------------

# A root file system with a static busybox; every applet is a link.
image_root() { # FOLDER
	local r=$1 a
	mkdir -p "$r"/{bin,etc,proc,sys,dev,tmp,srv}
	cp "$(command -v busybox)" "$r/bin/busybox"
	for a in sh sleep echo httpd cat dd kill ls nc ps seq tail tr true wc wget; do ln -sf busybox "$r/bin/$a"; done
	printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$r/etc/passwd"
}

# make_images [MORE...]: an OCI layout $T/img with web:1 (works), web:2 (works, other page), web:3 (its health check answers 404), hog:1 (eats
# memory without end), and web:MORE, which work. The app answers on port $LISTEN (8080) and writes numbered lines. Versions share files.
make_images() {
	local img=$T/img v
	umoci init --layout "$img" >>"$T/log/images" 2>&1
	head -c 500000 /dev/urandom >"$T/noise"
	for v in 1 2 3 "$@" hog; do
		local b=$T/bundle-$v r=$T/bundle-$v/rootfs
		umoci new --image "$img:$v" >>"$T/log/images" 2>&1
		umoci unpack --image "$img:$v" "$b" >>"$T/log/images" 2>&1
		image_root "$r"
		if [ $v = hog ]; then
			printf '#!/bin/sh\necho hungry\nsleep 1\nexec dd if=/dev/zero of=/dev/null bs=512M count=1\n' >"$r/bin/app"
		else
			# httpd leaves the foreground; the shell stays as process 1 and counts
			cat >"$r/bin/app" <<-'END'
				#!/bin/sh
				trap 'exit 0' TERM INT
				httpd -p "${LISTEN:-8080}" -h /srv || exit 1
				n=0
				while :; do
					n=$((n + 1))
					echo "heartbeat $n"
					sleep "${BEAT:-1}" &
					wait $!
				done
			END
			echo "version $v" >"$r/srv/index.html"
			head -c $((v * 50000)) "$T/noise" >"$r/srv/data"
			[ $v = 3 ] || echo ok >"$r/srv/healthz"
		fi
		chmod 0755 "$r/bin/app"
		umoci repack --image "$img:$v" "$b" >>"$T/log/images" 2>&1
		umoci config --image "$img:$v" --config.entrypoint /bin/app >>"$T/log/images" 2>&1
		rm -rf "$b"
	done
}

push_images() { # [MORE...] into the registry: demo/web:1..3 and MORE, demo/hog:1
	local v
	for v in 1 2 3 "$@"; do
		skopeo copy -q --dest-tls-verify=false "oci:$T/img:$v" "docker://127.0.0.1:$REG_PORT/demo/web:$v" >>"$T/log/images" 2>&1
	done
	skopeo copy -q --dest-tls-verify=false "oci:$T/img:hog" "docker://127.0.0.1:$REG_PORT/demo/hog:1" >>"$T/log/images" 2>&1
}

# --- the agent ---------------------------------------------------------------------------------------------------

start_agent() { # DEVICE
	local d=$1
	mkdir -p "$T/$d/state" "$T/$d/run"
	lib_run "agent-$d" "$BUILD/bin/agentd" --config "$FLEETCTL_DIR/devices/$d/agentd.json" --libexec "$BUILD/bin"
	AGENT_PID=$LIB_PID
	LIB_UNITS+=("$d")
	LIB_AGENT_PIDS[$d]=$LIB_PID
	lib_until 20 agent_answers "$d" || die "the agent of $d does not start"
}

# Its core is there and answers: status ends with 4 when it is not.
agent_answers() { local rc=0; agentctl "$1" status >/dev/null 2>&1 || rc=$?; [ $rc != 4 ] && [ $rc != 1 ] && [ $rc != 127 ]; }
# agentctl DEVICE ARGS...
agentctl() { local d=$1; shift; "$BUILD/bin/agentctl" --run-dir "$T/$d/run" "$@"; }

# SIGTERM to the keeper: the agent stops its containers and ends; what is still there then is ended by its cgroups.
lib_agent_end() { # DEVICE
	local d=$1 g p
	[ -z "${LIB_AGENT_PIDS[$d]:-}" ] || lib_stop "${LIB_AGENT_PIDS[$d]}"
	for g in $(lib_agent_cgroups "$d"); do
		for p in $(cat "$g/cgroup.procs" 2>/dev/null); do kill -KILL "$p" 2>/dev/null; done
	done
	return 0
}

# The agent is gone: its groups stay for the next start of it, which there will not be. One that holds a process is not removed,
# and so is told as left behind.
lib_agent_forget() { lib_agent_cgroups "$1" | while read -r g; do rmdir "$g" 2>/dev/null; done; }

# power_off DEVICE: all of its processes are gone at once, its containers too, and /run is empty.
power_off() {
	local d=$1 g p
	for g in $(lib_agent_cgroups "$d"); do
		while read -r p; do kill -KILL "$p" 2>/dev/null || true; done 2>/dev/null <"$g/cgroup.procs" || true # the group may be gone by now
	done
	kill -KILL "${LIB_AGENT_PIDS[$d]}" 2>/dev/null || true
	wait "${LIB_AGENT_PIDS[$d]}" 2>/dev/null || true
	lib_until 10 lib_agent_is_off "$d" || fail "power off: processes of $d live"
	rm -rf "${T:?}/$d/run"
}

lib_agent_is_off() { # DEVICE
	local g
	for g in $(lib_agent_cgroups "$1"); do [ -z "$(cat "$g/cgroup.procs" 2>/dev/null)" ] || return 1; done
}

# Directories of an agent's cgroups, in every hierarchy, deepest first.
lib_agent_cgroups() { find /sys/fs/cgroup -depth -type d -path "*limpet*$1*" 2>/dev/null; }

# --- what is asked of the agent of $DEV ----------------------------------------------------------------------------

ctl() { agentctl "$DEV" "$@"; }
field() { { ctl status -o json 2>/dev/null || true; } | jq -r ".$1"; } # PATH in its state
is() { [ "$(field "$1")" = "$2" ]; }
converged() { is rev "$1" && is phase converged; }

# Its settings without a broker: manifests come by ctl apply alone. Before it is started.
no_broker() {
	local f=$FLEETCTL_DIR/devices/$DEV/agentd.json
	jq 'del(.mqtt)' "$f" >"$T/agentd.json" && cp "$T/agentd.json" "$f"
}
# release NAME VERSION [COUNTER]: a release that fleetctl published, as a manifest names it.
release() {
	local f=$FLEETCTL_DIR/releases/$1/$2.json
	echo "{\"name\":\"$1\",\"counter\":${3:-$2},\"digest\":\"sha256:$(sha256sum "$f" | cut -d' ' -f1)\",\"size\":$(stat -c %s "$f")}"
}
# desired REV APPS [MORE]: a manifest for $DEV, signed without fleetctl; prints its file.
desired() {
	"$SOURCE/tests/tool/forge.py" desired "$FLEETCTL_DIR/keys/fleet-1.key" >"$T/desired-$1" <<-END
		{"schema":"limpet.desired/1","fleet":"demo","target":{"device":"$DEV"},"rev":$1,"issued":$(date +%s),"expires":$(($(date +%s) + 3600)),
		 "apps":[$2],${3:-\"update\":{\"probation_ms\":200\}}}
	END
	echo "$T/desired-$1"
}
