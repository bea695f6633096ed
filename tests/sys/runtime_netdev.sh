#!/usr/bin/env bash
# linux.netDevices: devices of the host that a container gets whole, and that they are back when it does not start. The host here is a
# network namespace of this test; nothing of the real host's network is touched.
. "$SOURCE/tests/sys/lib.sh"
[ "$(id -u)" = 0 ] || lib_skip "needs root"
lib_need ip jq busybox
lib_begin netdev
lib_limpet nd
ip link add two type veth peer name line2 || lib_skip "no veth in this kernel"
ip link add three type veth peer name line3
HAS6=0
[ "$(cat /proc/sys/net/ipv6/conf/all/disable_ipv6 2>/dev/null)" = 0 ] && HAS6=1

mkdir -p "$B/rootfs/bin"
cp "$(command -v busybox)" "$B/rootfs/bin/busybox"
for a in sh ip cat ls sleep ping true grep tr; do ln -s busybox "$B/rootfs/bin/$a"; done
"$L" spec -b "$B"
cp "$C" "$T/spec.json"
bundle() { # a container that runs: sh -c $1; $2: linux.netDevices; further arguments: jq filters on config.json
	jq --arg c "$1" --argjson d "$2" '.process.terminal = false | .process.args = ["sh", "-c", $c] | .linux.netDevices = $d |
		.process.capabilities |= map_values(. + ["CAP_NET_RAW"])' "$T/spec.json" >"$C"
	shift 2
	local f
	for f in "$@"; do jq "$f" "$C" >"$C.new" && mv "$C.new" "$C"; done
}
run() { RC=0; timeout -k 1 120 "$L" --root "$R" run -b "$B" "$ID" </dev/null >"$T/out" 2>"$T/err" || RC=$?; }
# What a move may change: names, indexes, addresses, states, bridges.
picture() { ip -o link | sed 's/ qdisc [a-z]*//; s/ state [A-Z]*//; s/<[A-Z,_-]*\(,UP\)[A-Z,_]*>/up/; s/<[A-Z,_-]*>/down/; s/ qlen [0-9]*//'; ip -o addr | grep -v ' scope link' | sed 's/[0-9][0-9]*sec/soon/g'; }
says() { grep -qF -- "$1" "$T/out"; }

dress() { # the device "one", as an operator would have it
	lib_until 10 bash -c '! ip link show line1' || die "the kernel is slow" # a namespace goes some time after its last process
	ip link add one type veth peer name line1
	ip link set line1 up; ip addr add 192.0.2.1/24 dev line1
	ip link set one address 02:00:00:00:00:07 mtu 1400 up
	ip addr add 192.0.2.2/24 dev one
	ip addr add 198.51.100.1 peer 198.51.100.2/32 dev one label one:far
	ip addr add 169.254.7.7/16 scope link dev one
	ip addr add 192.0.2.9/24 valid_lft 900 preferred_lft 900 dev one
	[ $HAS6 = 0 ] || ip addr add 2001:db8::2/64 nodad dev one
}
dress

lib_say "--- into a namespace of its own"
bundle 'ip -o addr show dev eth7; ip link show dev eth7; ls /sys/class/net | tr "\n" " "; ping -c 1 -W 30 192.0.2.1 && echo answered' '{"one": {"name": "eth7"}}'
run
[ $RC = 0 ] && ok "starts" || fail "rc $RC: $(cat "$T/err")"
for want in 'inet 192.0.2.2/24' 'brd ' 'mtu 1400' '02:00:00:00:00:07' ',UP' 'eth7 lo'; do
	says "$want" && ok "inside: $want" || fail "no $want inside: $(cat "$T/out")"
done
grep -qE '198.51.100.1 peer 198.51.100.2(/32)?' "$T/out" && ok "inside: an address with a peer" || fail "no peer: $(cat "$T/out")"
says answered && ok "up: the other end answers" || fail "no answer: $(cat "$T/out")"
says 169.254 && fail "an address of the link's scope went along" || ok "an address of the link's scope stays behind"
says 192.0.2.9 && fail "an address with an end went along" || ok "so does one with an end"
[ $HAS6 = 0 ] || { says 'inet6 2001:db8::2/64' && ok "inside: IPv6" || fail "no IPv6: $(cat "$T/out")"; }
check_not "a virtual one vanishes with its container" ip link show one 2>/dev/null

dress
bundle 'ls /sys/class/net | tr "\n" " "' '{"one": {}, "two": {"name": "one%d"}, "three": {"name": "one0"}}'
run
says 'lo one one0 one1' && ok "the host's name without another, a number where one is wanted" || fail "names: $(cat "$T/out" "$T/err")"

lib_say "--- and all is back when it does not start"
dress
lib_until 10 bash -c '! ip link show line2' || die "the kernel is slow"
ip link add two type veth peer name line2
ip link add base type bridge && ip link set base up || lib_skip "no bridge in this kernel"
ip link set one master base
picture >"$T/before-links"
same() { picture >"$T/now"; if diff "$T/before-links" "$T/now" >"$T/diff"; then ok "$1: devices as they were"; else fail "$1: $(cat "$T/diff")"; fi; }
# refused NAME TEXT: it must not start, say TEXT, and leave all devices as they were.
refused() {
	run
	if [ $RC != 0 ] && grep -qF -- "$2" "$T/err"; then ok "$1"; else fail "$1: rc $RC, said: $(cat "$T/err")"; fi
	same "$1"
}
bundle 'true' '{"two": {}, "one": {"name": "eth7"}}' '.mounts += [{destination: "/x", source: "/nowhere", type: "none", options: ["bind"]}]'
refused "a mount whose source is not there" "/nowhere"
bundle 'true' '{"two": {}, "one": {"name": "eth7"}}' '.process.args = ["nothing"]'
refused "a program that is not there" "nothing"
bundle 'true' '{"one": {}, "two": {}}' '.hooks.createRuntime = [{path: "/bin/sh", args: ["sh", "-c", "exit 3"]}]'
refused "a hook that fails" "createRuntime"
bundle 'true' '{"two": {}, "base": {}}'
refused "a kind that the kernel never moves" "linux.netDevices.base: move into the container (a kind that the kernel never moves"
bundle 'true' '{"two": {}, "none": {}}'
refused "a device that is not there" "linux.netDevices.none: there is no such network device"
bundle 'true' '{"two": {}, "lo": {"name": "x"}}'
refused "the loopback device" "linux.netDevices.lo"
bundle 'true' '{"two": {"name": "lo"}}'
refused "a name that is taken inside" 'linux.netDevices.two.name: "lo" is taken'
bundle 'true' '{"one": {"name": "x"}, "two": {"name": "x"}}'
refused "one name for two" 'linux.netDevices.two: name: "x" is that of one'
for name in 'a/b' 'a b' 'sixteen-bytes-xx' '..' 'a:1' 'e%s' '%d%d'; do
	bundle 'true' "{\"two\": {\"name\": \"$name\"}}"
	refused "the name \"$name\"" 'linux.netDevices.two: name:'
done
bundle 'true' '{"two": 5}'
refused "no object" linux.netDevices.two
bundle 'true' '{"two": {}}' '.linux.namespaces |= map(select(.type != "network"))'
refused "without a network namespace" "linux.netDevices: needs a network namespace"
bundle 'true' '{"two": {}}' '.linux.namespaces |= map(if .type == "network" then .path = "/proc/self/ns/net" else . end)'
refused "with the host's, joined" "linux.netDevices: the network namespace in linux.namespaces is the one they are in"

lib_say "--- into a joined namespace"
unshare -n sleep 1000 &
OUT=$!
LIB_PIDS+=("$OUT")
lib_until 5 bash -c "[ \$(readlink /proc/$OUT/ns/net) != \$(readlink /proc/self/ns/net) ]" || die "no second namespace"
nsenter -t $OUT -n ip link add here0 type bridge
JOIN=".linux.namespaces |= map(if .type == \"network\" then .path = \"/proc/$OUT/ns/net\" else . end)"
bundle 'true' '{"two": {}, "one": {"name": "here0"}}' "$JOIN"
refused "a name that is taken there" 'linux.netDevices.one.name: "here0" is taken'
bundle 'true' '{"one": {"name": "here%d"}, "two": {"name": "one"}}' "$JOIN" '.process.args = ["nothing"]'
refused "a late failure" "nothing"
bundle 'ip -o addr show dev here1' '{"one": {"name": "here%d"}}' "$JOIN"
run
says 'inet 192.0.2.2/24' && ok "moved" || fail "joined: $(cat "$T/out" "$T/err")"
nsenter -t $OUT -n ip -o addr show dev here1 2>/dev/null | grep 192.0.2.2 >/dev/null && ok "it stays while the namespace does" || fail "gone: $(nsenter -t $OUT -n ip -o addr)"
"$L" features | jq -e '.linux.netDevices.enabled' >/dev/null && ok "features" || fail "features"
