#!/usr/bin/env bash
# Networks of boxes: who reaches whom, published ports, IPv4 and IPv6, and that all of it goes, also after SIGKILL. The host here is a
# network namespace of this test; "out" is another machine on its line. Nothing of the real host's network is touched.
. "$SOURCE/tests/sys/lib.sh"
[ "$(id -u)" = 0 ] || lib_skip "needs root"
lib_need nft ip busybox python3
NB=$BUILD/bin/net-box
lib_begin runtime_net
export NET_BOX_GROUP=limpet-netbox-$$
groups() { find /sys/fs/cgroup -depth -type d -path "*$NET_BOX_GROUP${1:-}" 2>/dev/null; }
end_groups() { # of a box, or of all
	local g p
	for g in $(groups "$1"); do for p in $(cat "$g/cgroup.procs" 2>/dev/null); do kill -KILL "$p" 2>/dev/null || true; done; done
	return 0
}
ended() { local g; for g in $(groups "$1"); do [ -z "$(cat "$g/cgroup.procs" 2>/dev/null)" ] || return 1; done; }
finish() { local rc=$?; set +e; end_groups '/*'; lib_until 5 ended '/*'; groups '*' | while read -r g; do rmdir "$g" 2>/dev/null; done; (exit $rc); lib_end; }
trap finish EXIT
ip link add "b$$" type bridge 2>/dev/null && ip link del "b$$" || lib_skip "no bridge in this kernel"
nft list tables >/dev/null 2>&1 || lib_skip "no nftables in this kernel"

# --- the other machine
lib_out
lib_talkers
ask() { python3 "$T/ask.py" "$@" >"$T/said" 2>&1; }
oask() { out python3 "$T/ask.py" "$@" >"$T/said" 2>&1; }
nsenter -t "$OUT" -n python3 "$T/server.py" 7000 & LIB_PIDS+=("$!")
nsenter -t "$OUT" -n python3 "$T/server.py" 7001 udp & LIB_PIDS+=("$!")
python3 "$T/server.py" 7500 & LIB_PIDS+=("$!") # a service of the host itself, on all its addresses

ROOT=$T/root
image_root "$ROOT" && mkdir "$ROOT/run"
# each box answers with its name
cat >"$ROOT/bin/app" <<-'END'
	#!/bin/sh
	for p in 80 8000 8001 8002; do (while :; do echo "$1 $p" | nc -l -p $p >/dev/null; done) & done
	wait
END
chmod 755 "$ROOT/bin/app"
declare -A BOX_IN=() BOX_PID=() BOX_IP=() BOX_IP6=() BOX_KEEPER=()
box() { # ID NETWORK [-p ...]
	local id=$1 net=$2; shift 2
	mkfifo "$T/in-$id" 2>/dev/null || true
	"$NB" run "$ROOT" "$id" "$net" "$@" -- /bin/app "$id" <"$T/in-$id" >"$T/out-$id" 2>"$T/err-$id" &
	BOX_KEEPER[$id]=$!
	LIB_PIDS+=("$!")
	exec {fd}>"$T/in-$id"
	BOX_IN[$id]=$fd
	lib_until 20 bash -c "[ -s '$T/out-$id' ] || ! kill -0 ${BOX_KEEPER[$id]}"
	[ -s "$T/out-$id" ] || { exec {fd}>&-; wait "${BOX_KEEPER[$id]}"; return 1; }
	read -r BOX_PID[$id] BOX_IP[$id] BOX_IP6[$id] STATE WHY <"$T/out-$id"
}
over() { [ ! -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"; }
unbox() {
	local p=${BOX_KEEPER[$1]}
	echo >&"${BOX_IN[$1]}"
	lib_until 60 over "$p" || { fail "end of $1 hangs: $(cat "/proc/$p/stack" "/proc/$p/syscall"; ps -A -o pid,ppid,stat,wchan:20,args)"; kill -KILL "$p"; }
	wait "$p" || fail "end of $1: $(cat "$T/err-$1")"
}
inside() { local id=$1; shift; nsenter -t "${BOX_PID[$id]}" -n "$@"; }
iask() { local id=$1; shift; inside "$id" python3 "$T/ask.py" "$@" >"$T/said" 2>&1; }
said() { grep -q "$1" "$T/said"; }
picture() {
	ip -o link | awk '{print "link", $2}'
	nft list tables
	ip route
	ip -6 route 2>/dev/null | awk '$1 != "multicast"'
	cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv6/conf/line/accept_ra 2>/dev/null
}
picture >"$T/picture"
same() { picture >"$T/now"; if diff "$T/picture" "$T/now" >"$T/diff"; then ok "$1"; else fail "$1: $(cat "$T/diff")"; fi; }

# --- ways out, published ports
box web bridge -p 8080:80 -p 9000-9002:8000 -p 8181:81/udp -p 8090:80@127.0.0.1 || die "web: $(cat "$T/err-web")"
[ "$STATE" = enforced ] && ok "web at ${BOX_IP[web]} ${BOX_IP6[web]}: $STATE $WHY" || die "network $STATE: $WHY"
lib_until 10 ask "${BOX_IP[web]}" 80 || die "the app does not answer: $(cat "$T/said")"
iask web 192.0.2.2 7000 && said 'from .*192.0.2.1' && ok "way out by IPv4, behind the host's address" || fail "way out: $(cat "$T/said")"
iask web 192.0.2.2 7001 udp && ok "UDP too" || fail "UDP out: $(cat "$T/said")"
for at in 127.0.0.1 192.0.2.1 10.88.77.1; do
	ask $at 8080 && said 'web 80' && ok "published port from the host at $at" || fail "host to $at:8080: $(cat "$T/said")"
done
oask 192.0.2.1 8080 && said 'web 80' && ok "published port from another machine" || fail "out: $(cat "$T/said")"
for p in 9000 9001 9002; do
	oask 192.0.2.1 $p && said "web $((p - 1000))" && ok "port $p of a range" || fail "range $p: $(cat "$T/said")"
done
oask 192.0.2.1 9003 && fail "9003 is not of the range" || ok "and not the next one"
nsenter -t "${BOX_PID[web]}" -n python3 "$T/server.py" 81 udp & UDP=$!
LIB_PIDS+=("$UDP")
lib_until 5 ask "${BOX_IP[web]}" 81 udp
oask 192.0.2.1 8181 udp && said 'from' && ok "published UDP port" || fail "UDP port: $(cat "$T/said")"
ask 127.0.0.1 8090 && said 'web 80' && ok "published on 127.0.0.1" || fail "127.0.0.1:8090: $(cat "$T/said")"
oask 192.0.2.1 8090 && fail "8090 is open to others" || ok "and there alone"
out ip route add 10.88.77.0/24 via 192.0.2.1
oask "${BOX_IP[web]}" 80 && fail "a neighbour that knows the way reaches what is not published" || ok "no way in but what is published"
out ip route del 10.88.77.0/24 via 192.0.2.1
if [ $HAS6 = 1 ]; then
	case ${BOX_IP6[web]} in fd6c:*) ok "an IPv6 address" ;; *) fail "IPv6 address: ${BOX_IP6[web]}" ;; esac
	iask web 2001:db8::2 7000 && said 'from 2001:db8::1' && ok "way out by IPv6" || fail "IPv6 out: $(cat "$T/said")"
	inside web python3 -c 'import socket; s=socket.socket(socket.AF_INET6); s.close()'
	[ "$(cat /proc/sys/net/ipv6/conf/line/accept_ra)" = 2 ] && ok "the host goes on listening to router advertisements" || fail "accept_ra $(cat /proc/sys/net/ipv6/conf/line/accept_ra)"
fi

# --- who does not reach whom
iask web 10.88.77.1 7500 && fail "a box reaches a service of the host" || ok "the host's own services are closed to boxes"
iask web 192.0.2.1 7500 && fail "a box reaches a service of the host by another address" || ok "on all its addresses"
oask 192.0.2.1 7500 && ok "control: others reach it" || fail "control: $(cat "$T/said")"
box db bridge || die "db: $(cat "$T/err-db")"
lib_until 10 ask "${BOX_IP[db]}" 80 && ok "control: the host reaches db" || fail "db does not answer"
iask web "${BOX_IP[db]}" 80 && fail "web reaches db" || ok "boxes of the bridge are kept apart"
inside web ip route replace "${BOX_IP[db]}" via 10.88.77.1 # not on the line but by way of the host
iask web "${BOX_IP[db]}" 80 && fail "web reaches db by way of the host" || ok "also by way of the host"
[ $HAS6 = 0 ] || { iask web "${BOX_IP6[db]}" 80 && fail "web reaches db by IPv6" || ok "also by IPv6"; }
iask db 10.88.77.1 8080 && said 'web 80' && ok "what is published is there for the other box" || fail "db to 8080: $(cat "$T/said")"
iask web 10.88.77.1 8080 && said 'web 80' && ok "and for the one that publishes it" || fail "web to itself: $(cat "$T/said")"

# --- named networks
box a bridge:shop || die "a: $(cat "$T/err-a")"
box b bridge:shop || die "b: $(cat "$T/err-b")"
box c bridge:other || die "c: $(cat "$T/err-c")"
lib_until 10 iask a "${BOX_IP[b]}" 80 && said 'b 80' && ok "two boxes of network shop: ${BOX_IP[a]} reaches ${BOX_IP[b]}" || fail "a to b: $(cat "$T/said")"
iask b "${BOX_IP[a]}" 80 && said 'a 80' && ok "and back" || fail "b to a: $(cat "$T/said")"
for pair in "a c" "c a" "a web" "web a" "c web"; do
	read -r x y <<<"$pair"
	iask "$x" "${BOX_IP[$y]}" 80 && fail "$x reaches $y" || ok "$x does not reach $y"
done
iask a 10.88.77.1 8080 && said 'web 80' && ok "a reaches what web publishes" || fail "a to 8080: $(cat "$T/said")"
iask a 192.0.2.2 7000 && ok "and the world" || fail "a out: $(cat "$T/said")"
box d bridge:shop-is-too-long && fail "a name of 16 bytes" || { grep -q 'name of 1 to 12' "$T/err-d" && ok "long names are refused" || fail "$(cat "$T/err-d")"; }

# --- joined, and a port that is taken
box j "join:${BOX_PID[web]}" || die "j: $(cat "$T/err-j")"
[ "$(readlink "/proc/${BOX_PID[j]}/ns/net")" = "$(readlink "/proc/${BOX_PID[web]}/ns/net")" ] && ok "joined: the same network" || fail "join"
# what the device itself serves, on all addresses or one, by TCP and UDP, IPv4 and IPv6; a socket that serves nobody is none of it
python3 "$T/server.py" 7501 udp & LIB_PIDS+=("$!")
python3 -c 'import socket, time
held = []
for family, kind, at, n in ((10, 1, "::1", 7502), (10, 2, "::1", 7503), (2, 1, "127.0.0.1", 7504)):
    s = socket.socket(family, kind)
    s.bind((at, n))
    if kind == 1 and n != 7504: s.listen()
    held.append(s)
print("ready", flush=True)
time.sleep(600)' >"$T/held" & LIB_PIDS+=("$!")
lib_until 10 grep -q ready "$T/held" || fail "no servers of the test"
taken() { # PORT PROTOCOL [@ADDRESS]
	box k bridge -p "$1:80$([ "$2" = tcp ] || echo /udp)${3:-}" && { fail "$1/$2 of the device is taken"; unbox k; return; }
	grep -qE "host port $1 \($2\) is in use: python3 \(pid [0-9]+\) serves it at" "$T/err-k" && ok "$1/$2${3:-} is the device's own: refused, with who and where" || fail "$1/$2: $(cat "$T/err-k")"
}
taken 7500 tcp
taken 7500 tcp @192.0.2.1
taken 7500 tcp @2001:db8::1
taken 7501 udp
taken 7502 tcp
taken 7503 udp
for p in 7500:80/udp 7501:80 7502:80@192.0.2.1 7504:80; do
	if box k bridge -p $p; then ok "control: $p is free"; unbox k; else fail "control: $p: $(cat "$T/err-k")"; fi
done
box k bridge -p 9001:80 && fail "9001 twice" || { grep -q "9001 is published by the box at ${BOX_IP[web]}" "$T/err-k" && ok "a port within a range of another is refused by name" || fail "$(cat "$T/err-k")"; }

for id in a b; do unbox $id; done
ip link show lp-shop >/dev/null 2>&1 && fail "lp-shop is left" || ok "the last box of shop takes its bridge along"
lib_stop "$UDP" # it holds web's network
for id in c j db web; do unbox $id; done
same "links, tables, routes and forwarding are as before"

# --- CNI plugins
if [ -x /usr/lib/cni/bridge ] && command -v iptables >/dev/null && [ -d /etc/cni ]; then
	mount -t tmpfs tmpfs /etc/cni && mkdir /etc/cni/net.d
	list() { # NAME MORE
		cat <<-END
			{"cniVersion":"1.0.0","name":"$1","plugins":[
			 {"type":"bridge","bridge":"cni-t","isGateway":true,"ipMasq":true,"ipam":{"type":"host-local","dataDir":"$T/ipam","ranges":[[{"subnet":"10.99.1.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
			 {"type":"portmap","capabilities":{"portMappings":true},"snat":true}$2]}
		END
	}
	list net1 ',{"type":"firewall","backend":"iptables"}' >/etc/cni/net.d/10-net1.conflist
	list net2 ',{"type":"no-such-plugin"}' >/etc/cni/net.d/20-net2.conflist
	list net3 ',{"type":"vlan","master":"nowhere","vlanId":5}' >/etc/cni/net.d/30-net3.conflist
	leases() { find "$T/ipam" -name '10.99.*' 2>/dev/null | wc -l; }
	if box p cni:net1 -p 8300:80; then
		case ${BOX_IP[p]} in 10.99.1.*) ok "CNI: ${BOX_IP[p]}, $STATE $WHY" ;; *) fail "CNI address ${BOX_IP[p]}" ;; esac
		lib_until 10 ask "${BOX_IP[p]}" 80
		iask p 192.0.2.2 7000 && ok "CNI: way out" || fail "CNI out: $(cat "$T/said")"
		oask 192.0.2.1 8300 && said 'p 80' && ok "CNI: published by portmap" || fail "portmap: $(cat "$T/said")"
		unbox p
		[ "$(leases)" = 0 ] && [ -z "$(ls /run/limpet-cni)" ] && ok "CNI: address and record are given back" || fail "CNI: $(leases) leases, $(ls /run/limpet-cni)"
		box p cni:net1 # Debian's portmap fails CHECK of IPv6 ports where there is none: without ports
		check "CNI: CHECK by all plugins" "$NB" check p
		inside p ip addr flush dev eth0
		"$NB" check p 2>"$T/err" && fail "CHECK sees nothing" || { grep -q 'CNI plugin bridge: CHECK' "$T/err" && ok "CNI: CHECK sees a lost address, and names the plugin" || fail "CHECK: $(cat "$T/err")"; }
		unbox p
	else fail "p: $(cat "$T/err-p")"; fi
	box p cni:net2 && fail "net2" || { grep -q 'no-such-plugin is not in' "$T/err-p" && [ "$(leases)" = 0 ] && ok "CNI: a missing plugin is named, and what was added is undone" || fail "net2: $(cat "$T/err-p"), $(leases) leases"; }
	box p cni:net3 && fail "net3" || { grep -q 'CNI plugin vlan: ADD' "$T/err-p" && [ "$(leases)" = 0 ] && ok "CNI: a failing plugin is named: $(grep -o 'CNI plugin.*' "$T/err-p")" || fail "net3: $(cat "$T/err-p"), $(leases) leases"; }
	box p cni:net4 && fail "net4" || { grep -q 'no list of that name' "$T/err-p" && ok "CNI: an unknown list is refused" || fail "net4: $(cat "$T/err-p")"; }
	if box q cni:net1; then # the agent dies, then the board's processes
		kill -KILL "${BOX_KEEPER[q]}"; wait "${BOX_KEEPER[q]}" 2>/dev/null || true
		end_groups /q
		lib_until 5 ended /q || fail "q: processes live"
		[ "$(leases)" = 1 ] || fail "control: $(leases) leases"
		"$NB" sweep
		[ "$(leases)" = 0 ] && [ ! -e /run/limpet-cni/q ] && ok "CNI: DEL by who comes after a crash" || fail "CNI after a crash: $(leases) leases"
	fi
	ip link del cni-t 2>/dev/null || true # the plugin leaves its bridge, forwarding and empty chains
	echo 0 >/proc/sys/net/ipv4/ip_forward
	nft flush ruleset
	same "CNI: the rest is as before"
else
	lib_say "no CNI plugins here: not tried"
fi

# --- killed at any instant: two at once, then the sweep of the next agent
mkfifo "$T/never" && exec 9<>"$T/never"
ip link add limpet-new type bridge # killed between making a bridge and naming it
"$NB" sweep || fail "sweep"
same "a bridge without a name of its own is swept"
for round in $(seq "${NET_ROUNDS:-12}"); do
	for id in x y; do
		"$NB" run "$ROOT" $id bridge:$([ $((round % 2)) = 0 ] && echo shop || echo "n$id") -p 85${round}:80 -- /bin/sleep 60 <&9 >/dev/null 2>&1 & eval "K$id=$!"
	done
	sleep "0.$(printf %03d $((RANDOM % 120)))"
	kill -KILL "$Kx" "$Ky" 2>/dev/null || true
	wait "$Kx" "$Ky" 2>/dev/null || true
	for id in x y; do
		end_groups "/$id"
		"$NB" clean $id - bridge >>"$T/log/clean" 2>&1
	done
	lib_until 5 bash -c '! ls /sys/class/net | grep -q "^limpet[1-9]"' || fail "a veth stays"
	"$NB" sweep || fail "sweep"
	picture >"$T/now"
	diff "$T/picture" "$T/now" >"$T/diff" || { fail "round $round: $(cat "$T/diff")"; break; }
done
same "$round rounds of SIGKILL at random instants leave nothing after a sweep"
