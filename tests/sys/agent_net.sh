#!/usr/bin/env bash
# Networks of apps under the real agent, with a real broker: who reaches whom by name and address, published ports, name service, CNI plugins; apps
# that are restarted, updated, moved and removed; agents that are killed. The host here is a network namespace of this test, "out" is another machine
# on its line. Nothing of the real host's network is touched.
. "${SOURCE:?}/tests/sys/lib.sh" || exit 1
[ "$(id -u)" = 0 ] || lib_skip "needs root"
lib_need mosquitto umoci jq openssl python3 nft ip dnsmasq
lib_begin agent_net
DEV=net-$$
ip link add "b$$" type bridge 2>/dev/null && ip link del "b$$" || lib_skip "no bridge in this kernel"
nft list tables >/dev/null 2>&1 || lib_skip "no nftables in this kernel"

# --- the other machine: its services say from whom they are asked, its dnsmasq knows srv.example
lib_out
lib_talkers
lib_run server nsenter -t "$OUT" -n python3 "$T/server.py" 7000
lib_run dnsmasq nsenter -t "$OUT" -n dnsmasq -k -C /dev/null -u root -R -h -x "$T/dnsmasq.pid" --address=/srv.example/192.0.2.2 --address=/srv.example/2001:db8::2
printf 'nameserver 127.0.0.53\nnameserver 192.0.2.2\nsearch example\noptions timeout:1 attempts:4\n' >"$T/resolv.conf"
CNI=0
if [ -x /usr/lib/cni/bridge ] && command -v iptables >/dev/null && [ -d /etc/cni ]; then CNI=1; mount -t tmpfs tmpfs /etc/cni; fi
mount --bind "$T/resolv.conf" /etc/resolv.conf
ask() { python3 "$T/ask.py" "$@" >"$T/said" 2>&1; }
oask() { out python3 "$T/ask.py" "$@" >"$T/said" 2>&1; }

init_fleet $DEV
start_broker
make_images
for v in 1 2; do fleetctl publish "dir:$T/img:$v" --name web --version $v >>"$T/log/publish" 2>&1; done
end() {
	local rc=$?
	set +e
	for p in "${ORPHANS[@]}"; do lib_stop "$p" KILL; done
	umount /etc/resolv.conf
	(exit $rc)
	lib_end
}
ORPHANS=()
trap end EXIT
start_agent $DEV

# --- manifests
REV=0 V=1
app() { # NAME NETWORK [MORE]
	echo "{\"name\":\"$1\",\"release\":$(release web $V),\"sources\":[\"dir:$T/img\"],\"env\":{\"BEAT\":\"10000\"},\"network\":{$2},\"stop\":{\"grace_ms\":1500},\"restart\":{\"policy\":\"always\",\"delay_ms\":100,\"max_delay_ms\":200}${3:-}}"
}
list() { local IFS=,; echo "$*"; }
apply() { # APP...
	REV=$((REV + 1))
	mqtt_pub operator -t "limpet1/demo/d/$DEV/desired" -r -q 1 -f "$(desired $REV "$(list "$@")" '"update":{"probation_ms":100}')"
	lib_until 40 converged $REV || { fail "rev $REV: $(field phase) $(field err.msg)"; ctl events -n 6; return 1; }
}
pid() { field "apps.$1.pid"; }
ip4() { field "apps.$1.ip"; }
ip6() { field "apps.$1.ip6"; }
inside() { local a=$1; shift; nsenter -t "$(pid "$a")" -n "$@"; }
iask() { local a=$1; shift; inside "$a" python3 "$T/ask.py" "$@" >"$T/said" 2>&1; }
# by the app's own program, its own /etc/hosts and /etc/resolv.conf
get() { ctl exec "$1" -- busybox timeout 3 wget -q -O - "$2" >"$T/said" 2>&1; }
said() { grep -q "$1" "$T/said"; }
told() { cat "$T/said"; }
hosts() { ctl exec "$1" -- cat /etc/hosts; }
in_hosts() { hosts "$1" | grep -q "^$3"$'\t'"$2\$"; } # APP NAME ADDRESS
no_name() { ! hosts "$1" | grep -q $'\t'"$2\$"; }
links() { ip -o link | awk -F'[ :@]+' '$2 ~ /^(limpet|lp-)/ {print $2}' | sort | tr '\n' ' '; }
tables() { nft list tables | awk '$3 ~ /^limpet/ {print $2, $3}' | sort | tr '\n' ';'; }
boxes() { ip -o link | grep -cE ' limpet[1-9][0-9]*@' || true; } # veths of apps
box_tables() { nft list tables | grep -cE 'table ip limpet_' || true; }
picture() {
	ip -o link | awk '{print "link", $2}'
	nft list tables
	ip route
	cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv6/conf/line/accept_ra 2>/dev/null
}
same() { # the last veth goes with its namespace, which the kernel ends in its own time
	lib_until 5 bash -c '! ip -o link | grep -q " limpet"' || true
	picture >"$T/now"
	if diff "$T/picture" "$T/now" >"$T/diff"; then ok "$1"; else fail "$1: $(cat "$T/diff")"; fi
}
picture >"$T/picture"

B='"mode":"bridge"'
WEB="$B,\"ports\":[{\"host\":8080,\"container\":8080},{\"host\":8181,\"container\":81,\"protocol\":\"udp\"},{\"host\":8090,\"container\":8080,\"address\":\"127.0.0.1\"},{\"host\":9000,\"last\":9001,\"container\":8080}]"
SHOP="$B,\"name\":\"shop\""
OTHER="$B,\"name\":\"other\""

# --- who reaches whom
apart() { # WORDS FROM TO
	local p at
	p=$(pid "$2")
	for at in "$(ip4 "$3")" $([ $HAS6 = 0 ] || ip6 "$3"); do
		nsenter -t "$p" -n python3 "$T/ask.py" "$at" 8080 send >/dev/null 2>&1 && { fail "$1: $2 reaches $3 at $at"; return; }
	done
	ok "$1: $2 does not reach $3"
}
who_reaches_whom() { # WORDS: needs web, lone, shopa, shopb and other
	local x pids=()
	get shopa http://shopb:8080/ && said version && ok "$1: an app finds another one of its network by name" || fail "shopa to shopb: $(told)"
	get shopb http://shopa:8080/ && ok "$1: and back" || fail "shopb to shopa: $(told)"
	iask shopa "$(ip4 shopb)" 8080 send && ok "$1: and by address" || fail "shopa to $(ip4 shopb): $(told)"
	[ $HAS6 = 0 ] || { iask shopa "$(ip6 shopb)" 8080 send && ok "$1: IPv6 too" || fail "shopa to $(ip6 shopb): $(told)"; }
	get shopa http://other:8080/ && fail "$1: shopa finds other by name" || ok "$1: names of another network are not known"
	for x in "shopa other" "other shopa" "lone web" "web lone" "lone shopa" "shopa web"; do apart "$1" $x & pids+=($!); done
	for x in "${pids[@]}"; do wait "$x"; done
	ask "$(ip4 web)" 8080 send && ask "$(ip4 lone)" 8080 send && ok "$1: control: the host reaches them" || fail "host: $(told)"
	iask lone 10.88.77.1 8080 send && ok "$1: what is published is there for other apps" || fail "lone to 8080: $(told)"
	iask web 10.88.77.1 8080 send && ok "$1: and for who publishes it" || fail "web to itself: $(told)"
	oask 192.0.2.1 8080 send && ok "$1: and for other machines" || fail "out to 8080: $(told)"
}
apply "$(app web "$WEB")" "$(app lone "$B")" "$(app shopa "$SHOP")" "$(app shopb "$SHOP")" "$(app other "$OTHER")" "$(app side '"mode":"app:shopa"' ',"args":["/bin/sleep","10000"]')" "$(app none '"mode":"none"')" || die "the first set"
for a in web lone shopa shopb other; do
	is apps.$a.enforce.network.state enforced || fail "$a: $(field apps.$a.enforce.network)"
done
ok "web at $(ip4 web) $(ip6 web): $(field apps.web.enforce.network.state)"
lib_until 10 ask "$(ip4 web)" 8080 send || die "web does not answer: $(told)"
who_reaches_whom "as it is here"
sys() { ctl exec "$1" -- sh -c 'grep " /sys" /proc/mounts; ls /sys/class/net /sys/fs/cgroup' 2>/dev/null || true; }
sys side | grep -E '^[^ ]+ /sys[^ ]* [^ ]+ rw|^cgroup|limpet|eth|lo$' >"$T/sys" && fail "app:NAME: the host's /sys: $(cat "$T/sys")" || ok "app:NAME shows neither cards nor control groups of the host"
sys side | grep '^sysfs /sys sysfs ro,nosuid,nodev,noexec' >/dev/null && [ "$(sys side | grep -c ' /sys')" -le $(($(sys shopa | grep -c ' /sys') + 2)) ] && ok "control: it has a /sys, read-only" || fail "side: $(sys side)"
get side http://shopb:8080/ && ok "app:NAME has the names of that app's network" || fail "side: $(told); $(hosts side)"
[ "$(readlink "/proc/$(pid side)/ns/net")" = "$(readlink "/proc/$(pid shopa)/ns/net")" ] && ok "and its network" || fail "side has another network"
[ "$(ctl exec none -- sh -c 'wc -l </proc/net/dev')" = 3 ] && ok "none: loopback only" || fail "none: $(ctl exec none -- cat /proc/net/dev)"

# --- published ports
for at in 127.0.0.1 192.0.2.1; do ask $at 8080 send && ok "published TCP port from the host at $at" || fail "$at:8080: $(told)"; done
for p in 9000 9001; do oask 192.0.2.1 $p send && [ $p = 9000 ] && ok "a range" || [ $p = 9001 ] || fail "range $p: $(told)"; done
nsenter -t "$(pid web)" -n python3 "$T/server.py" 81 udp & UDP=$!
ORPHANS+=("$UDP")
lib_until 5 ask "$(ip4 web)" 81 udp || fail "no UDP server: $(told)"
ask 192.0.2.1 8181 udp && ok "published UDP port from the host" || fail "UDP from the host: $(told)"
oask 192.0.2.1 8181 udp && ok "and from another machine" || fail "UDP from out: $(told)"
ask 127.0.0.1 8090 send && ok "published on one address" || fail "127.0.0.1:8090: $(told)"
oask 192.0.2.1 8090 send && fail "8090 is open to others" || ok "and there alone"
if [ $HAS6 = 1 ]; then
	ask 2001:db8::1 8080 send && ok "IPv6: from the host" || fail "IPv6 from the host: $(told)"
	oask 2001:db8::1 8080 send && ok "IPv6: from another machine" || fail "IPv6 from out: $(told)"
	oask 2001:db8::1 8181 udp && ok "IPv6: UDP" || fail "IPv6 UDP: $(told)"
fi
lib_stop "$UDP" KILL # it holds web's network

# --- name service
printf 'nameserver 192.0.2.2\nsearch example\noptions timeout:1 attempts:4\n' >"$T/want"
for a in web shopa side; do
	ctl exec $a -- cat /etc/resolv.conf >"$T/has"
	diff "$T/want" "$T/has" >"$T/diff" && ok "$a: resolv.conf without the host's loopback" || fail "$a: resolv.conf: $(cat "$T/diff")"
	ctl exec $a -- busybox nslookup srv.example >"$T/said" 2>&1 && said 192.0.2.2 && ok "$a: a name resolves" || fail "$a: nslookup: $(told)"
done
iask web srv.example 7000 >/dev/null 2>&1 || true # by this test's own resolv.conf: only that nothing hangs
ctl exec web -- sh -c 'echo | nc -w 3 srv 7000' >"$T/said" 2>&1 && said 'from.*192.0.2.1' && ok "and is reached by it, behind the host's address" || fail "srv: $(told)"

# --- restarted, updated, moved, removed
lives() { [ "$(boxes)" = "$1" ] && [ "$(box_tables)" = "$1" ]; }
counted() { lib_until 5 lives "$1" && ok "$2: $1 veths and as many tables" || fail "$2: $(links); $(tables)"; }
restarted() { [ "$(pid "$1")" != "$2" ] && is "apps.$1.state" running; }
counted 5 "five apps on bridges"
P=$(pid shopb)
kill -KILL "$P"
lib_until 10 restarted shopb "$P" || fail "shopb is not restarted"
lib_until 5 in_hosts shopa shopb "$(ip4 shopb)" && lib_until 10 get shopa http://shopb:8080/ && ok "restarted: found by name again" || fail "shopb: $(told); $(hosts shopa)"
counted 5 "restarted"
P=$(pid shopa)
kill -KILL "$P"
lib_until 10 restarted shopa "$P" && lib_until 10 bash -c "[ \$(readlink /proc/$(pid shopa)/ns/net) ]" || fail "shopa is not restarted"
joined() { [ "$(readlink "/proc/$(pid side)/ns/net")" = "$(readlink "/proc/$(pid shopa)/ns/net")" ]; }
lib_until 10 joined && lib_until 5 get side http://shopb:8080/ && ok "who uses its network follows" || fail "side: $(field apps.side)"
counted 5 "restarted with a guest"
V=2
apply "$(app web "$WEB")" "$(app lone "$B")" "$(app shopa "$SHOP")" "$(app shopb "$SHOP")" "$(app other "$OTHER")" "$(app side '"mode":"app:shopa"' ',"args":["/bin/sleep","10000"]')"
lib_until 10 get shopa http://shopb:8080/ && said 'version 2' && ok "updated: found by name, the new one answers" || fail "shopb: $(told); $(hosts shopa)"
counted 5 "updated"
apply "$(app web "$WEB")" "$(app lone "$B")" "$(app shopa "$SHOP")" "$(app shopb "$SHOP")" "$(app other "$SHOP")" "$(app side '"mode":"app:shopa"' ',"args":["/bin/sleep","10000"]')"
lib_until 10 get shopa http://other:8080/ && lib_until 5 get side http://other:8080/ && ok "moved to another network: found there" || fail "other: $(told); $(hosts shopa)"
ip link show lp-other >/dev/null 2>&1 && fail "lp-other is left" || ok "its old network went with it"
apply "$(app web "$WEB")" "$(app lone "$B")" "$(app shopa "$SHOP")" "$(app shopb "$SHOP")" "$(app other "$OTHER")" "$(app side '"mode":"app:shopa"' ',"args":["/bin/sleep","10000"]')"
lib_until 5 no_name shopa other && ok "moved away: its name goes" || fail "moved: $(hosts shopa)"
apply "$(app web "$WEB")" "$(app lone "$B")" "$(app shopa "$SHOP")" "$(app other "$OTHER")" "$(app side '"mode":"app:shopa"' ',"args":["/bin/sleep","10000"]')"
lib_until 5 no_name shopa shopb && lib_until 5 no_name side shopb && ok "removed: its name goes" || fail "removed: $(hosts shopa)"
counted 4 "removed"

# --- refused before anything changes
PIDS=$(for a in web lone shopa other side; do pid $a; done)
refused() { # WHAT WORDS APP...: the device refuses, with the field's path
	local what=$1 words=$2; shift 2
	REV=$((REV + 1))
	ctl apply "$(desired $REV "$(list "$@")")" >"$T/said" 2>&1 && fail "$what: accepted" || { said "$words" && ok "$what: $(head -n 1 "$T/said" | cut -c1-120)" || fail "$what: $(told)"; }
	sleep 0.3
	[ "$(for a in web lone shopa other side; do pid $a; done)" = "$PIDS" ] || fail "$what: something was touched"
}
KEEP=("$(app lone "$B")" "$(app shopa "$SHOP")")
port() { echo "{\"host\":$1,\"container\":80${2:-}}"; }
refused "a port twice in one app" 'apps\[2\].network.ports\[1\]' "${KEEP[@]}" "$(app web "$B,\"ports\":[$(port 8080),$(port 8080)]")"
refused "a port within a range of the same app" 'apps\[2\].network.ports\[1\]' "${KEEP[@]}" "$(app web "$B,\"ports\":[$(port 8080 ',"last":8090'),$(port 8085)]")"
refused "a port of another app" 'apps\[3\].network.ports\[0\]' "${KEEP[@]}" "$(app web "$B,\"ports\":[$(port 8080)]")" "$(app more "$B,\"ports\":[$(port 8080)]")"
refused "the network of an app that is not there" 'apps\[2\].network: mode' "${KEEP[@]}" "$(app web '"mode":"app:nobody"')"
refused "a CNI network that is not there" 'apps\[2\].network.name' "${KEEP[@]}" "$(app web '"mode":"cni","name":"nowhere"')"
ctl plan "$(desired $((REV + 1)) "$(app web "$B,\"ports\":[$(port 8080),$(port 8080 ',"protocol":"udp"')]"),$(app more "$B,\"ports\":[$(port 80 ',"address":"127.0.0.1"'),$(port 80 ',"address":"192.0.2.1"')]")")" >"$T/said" 2>&1 && ok "control: the same number for TCP and UDP, or at two addresses, is no clash" || fail "plan: $(told)"

# --- killed
kill_agent() { # keeper, core and link at once
	local core
	core=$(pgrep -P "$AGENT_PID" -f 'agentd: core')
	kill -STOP "$AGENT_PID" # it starts no new core
	kill -KILL "$core" "$AGENT_PID" $(pgrep -P "$core" -f 'agentd: link')
	wait "$AGENT_PID" 2>/dev/null || true
}
end_app() { kill -KILL "$(jq .pid "$T/$DEV/run/app/$1.json")"; } # while there is no agent
apply "$(app web "$WEB")" "$(app lone "$B")" "$(app shopa "$SHOP")" "$(app shopb "$SHOP")" "$(app other "$OTHER")" "$(app side '"mode":"app:shopa"' ',"args":["/bin/sleep","10000"]')"
PIDS=$(for a in web lone shopa shopb other side; do pid $a; done)
BEFORE="$(links)|$(tables)|$(ip4 shopb)|$(ip6 web)"
kill_agent
oask 192.0.2.1 8080 send && ok "without an agent what is published is there" || fail "8080: $(told)"
start_agent $DEV
lib_until 20 converged $REV || fail "after SIGKILL: $(field phase)"
[ "$(for a in web lone shopa shopb other side; do pid $a; done)" = "$PIDS" ] && ok "SIGKILL of all of the agent: the apps run on" || fail "apps were started again"
[ "$(links)|$(tables)|$(ip4 shopb)|$(ip6 web)" = "$BEFORE" ] && ok "with their network, addresses are reported again" || fail "network: $(links)|$(tables)|$(ip4 shopb)|$(ip6 web), before $BEFORE"
kill_agent
end_app shopb
end_app web
start_agent $DEV
lib_until 20 converged $REV || fail "after SIGKILL: $(field phase)"
lib_until 10 is apps.shopb.state running && lib_until 5 in_hosts shopa shopb "$(ip4 shopb)" && lib_until 10 get shopa http://shopb:8080/ && ok "an app that ended meanwhile is started, and found by name" || fail "shopb: $(field apps.shopb); $(hosts shopa)"
lib_until 10 oask 192.0.2.1 8080 send && ok "and the one that publishes" || fail "8080: $(told)"
counted 5 "what ended apps had was given back"
# names of an app that ends while there is no agent, and is not started again
kill_agent
apply_file=$(desired $((REV + 1)) "$(list "$(app web "$WEB")" "$(app lone "$B")" "$(app shopa "$SHOP")" "$(app other "$OTHER")")" '"update":{"probation_ms":100}')
end_app shopb
mqtt_pub operator -t "limpet1/demo/d/$DEV/desired" -r -q 1 -f "$apply_file"
REV=$((REV + 1))
start_agent $DEV
lib_until 20 converged $REV || fail "after SIGKILL: $(field phase)"
lib_until 5 no_name shopa shopb && ok "an app that ended without an agent and is removed: its name goes" || fail "names: $(hosts shopa)"
counted 4 "and what it had"
# core dies between a box's start and its file: nobody knows its address
kill_agent
end_app lone
LIMPET_KILL_AT=box-started start_agent $DEV
lib_until 10 test -e "$T/$DEV/run/killed" && ok "core died between start and file" || fail "core was not killed"
lib_until 20 converged $REV || fail "after SIGKILL: $(field phase)"
lib_until 10 is apps.lone.state running && lib_until 10 ask "$(ip4 lone)" 8080 send && ok "the app is there again" || fail "lone: $(told)"
counted 4 "the half started one left nothing"
rm -f "$T/$DEV/run/killed"

# --- the last one goes
apply "$(app web "$WEB")"
counted 1 "one app"
apply
same "no app: links, tables, routes and forwarding are as before"

# --- without br_netfilter: the bridge does not show its packets to the rules
if [ -d /proc/sys/net/bridge ]; then
	for f in iptables ip6tables arptables; do echo 0 >/proc/sys/net/bridge/bridge-nf-call-$f; done
	mount -t tmpfs tmpfs /proc/sys/net/bridge
fi
OFF=',"userns":"off"' # an own /proc is not to be had where a part of it is covered
apply "$(app web "$WEB" "$OFF")" "$(app lone "$B" "$OFF")" "$(app shopa "$SHOP" "$OFF")" "$(app shopb "$SHOP" "$OFF")" "$(app other "$OTHER" "$OFF")"
lib_until 10 ask "$(ip4 web)" 8080 send || fail "web does not answer: $(told)"
is apps.web.enforce.network.state enforced && ok "without br_netfilter: $(field apps.web.enforce.network.state)" || fail "without br_netfilter: $(field apps.web.enforce.network)"
who_reaches_whom "without br_netfilter"
umount /proc/sys/net/bridge 2>/dev/null || true

# --- CNI plugins
bad_network() { is apps.$1.enforce.network.state degraded && field apps.$1.enforce.network.why | grep -q "$2"; }
if [ $CNI = 1 ]; then
	mkdir /etc/cni/net.d
	printf 'nameserver 192.0.2.2\nsearch cni.example\noptions timeout:2\n' >"$T/cni-resolv.conf"
	cat >/etc/cni/net.d/10-plant.conflist <<-END
		{"cniVersion":"1.0.0","name":"plant","plugins":[
		 {"type":"bridge","bridge":"cni-t","isGateway":true,"ipMasq":true,
		  "dns":{"nameservers":["192.0.2.2"],"search":["cni.example"],"options":["timeout:2"]},"ipam":{"type":"host-local","dataDir":"$T/ipam","ranges":[[{"subnet":"10.99.1.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
		 {"type":"portmap","capabilities":{"portMappings":true},"snat":true}]}
	END
	printf '{"cniVersion":"1.0.0","name":"lame","plugins":[{"type":"no-such-plugin"}]}' >/etc/cni/net.d/20-lame.conflist
	leases() { find "$T/ipam" -name '10.99.*' 2>/dev/null | wc -l; }
	leased() { [ "$(leases)" = "$1" ]; }
	PLANT='"mode":"cni","name":"plant"'
	apply "$(app web "$WEB")"
	REV=$((REV + 1))
	ctl apply "$(desired $REV "$(app web '"mode":"cni","name":"lame"')")" >"$T/said" 2>&1 && fail "CNI: a missing plugin is accepted" || { said 'network.name.*no-such-plugin' && ok "CNI: a list with a missing plugin is refused: $(head -n 1 "$T/said")" || fail "CNI: $(told)"; }
	apply "$(app web "$PLANT,\"ports\":[$(port 8300 | sed 's/80}/8080}/')]")" "$(app plain "$PLANT")"
	case $(ip4 web) in 10.99.1.*) ok "CNI: web at $(ip4 web), $(field apps.web.enforce.network.state)" ;; *) fail "CNI: address $(ip4 web), $(field apps.web.enforce.network)" ;; esac
	lib_until 10 ask "$(ip4 web)" 8080 send && oask 192.0.2.1 8300 send && ok "CNI: published by portmap" || fail "CNI: 8300: $(told)"
	ctl exec web -- cat /etc/resolv.conf >"$T/has"
	diff "$T/cni-resolv.conf" "$T/has" >"$T/diff" && ok "CNI: resolv.conf is that of the plugins" || fail "CNI: resolv.conf: $(cat "$T/diff")"
	ctl exec web -- busybox nslookup srv.example >"$T/said" 2>&1 && said 192.0.2.2 && ok "CNI: a name resolves" || fail "CNI: nslookup: $(told)"
	leased 2 || fail "CNI: $(leases) leases"
	P=$(pid plain)
	kill_agent
	start_agent $DEV
	lib_until 20 converged $REV || fail "CNI: after SIGKILL: $(field phase)"
	[ "$(pid plain)" = "$P" ] && lib_until 5 is apps.plain.enforce.network.state enforced && ok "CNI: taken over, CHECK is content" || fail "CNI: $(field apps.plain)"
	kill_agent
	nsenter -t "$P" -n ip addr flush dev eth0
	start_agent $DEV
	lib_until 10 bad_network plain 'CNI plugin bridge: CHECK' && ok "CNI: CHECK of a taken over app fails, and is told: $(field apps.plain.enforce.network.why)" || fail "CNI: $(field apps.plain.enforce.network)"
	ctl events -n 10 | grep -q network-bad && [ "$(pid plain)" = "$P" ] && ok "CNI: as an event too, and the app runs on" || fail "CNI: $(ctl events -n 10)"
	kill_agent
	kill -KILL "$P"
	start_agent $DEV
	lib_until 20 is apps.plain.state running && lib_until 5 leased 2 && ok "CNI: DEL for one that ended without an agent, ADD for the next" || fail "CNI: $(leases) leases, $(field apps.plain)"
	is apps.plain.enforce.network.state enforced || fail "CNI: $(field apps.plain.enforce.network)"
	kill_agent
	end_app plain
	LIMPET_KILL_AT=box-started start_agent $DEV
	lib_until 10 test -e "$T/$DEV/run/killed" && lib_until 20 is apps.plain.state running && lib_until 5 leased 2 && ok "CNI: nothing stays of a half started one" || fail "CNI: $(leases) leases"
	apply
	lib_until 5 leased 0 && [ -z "$(ls /run/limpet-cni)" ] && ok "CNI: addresses and records are given back" || fail "CNI: $(leases) leases, $(ls /run/limpet-cni)"
	ip link del cni-t 2>/dev/null || true # the plugin leaves its bridge, forwarding and empty chains
	echo 0 >/proc/sys/net/ipv4/ip_forward
	nft flush ruleset
else
	lib_say "no CNI plugins here: not tried"
fi

# --- the end of the agent
apply "$(app web "$WEB")"
lib_stop "$AGENT_PID"
same "the agent ends: so does all of it"
