#!/usr/bin/env bash
# The broker's configuration as it is shipped, installed by the lines at its own head beside the distribution's mosquitto.conf, started as the distribution does: it
# loads without the dashboard and with it, keeps what was retained when it is killed, and lets a device write to no other fleet's name.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto mosquitto_passwd jq
[ "$(id -u)" = 0 ] || lib_skip "needs root"
[ -f /etc/mosquitto/mosquitto.conf ] && getent passwd mosquitto >/dev/null || lib_skip "no mosquitto as Debian installs it"
lib_begin broker-conf
BROKER_PORT=8883
fleetctl init --fleet demo --broker "localhost:$BROKER_PORT" >>"$T/log/init"
for d in gw-1 gw-2; do fleetctl keys device $d >>"$T/log/init"; done

mkdir "$T/fold" && mount -t tmpfs -o mode=0755 tmpfs "$T/fold"
for d in etc var; do
	mkdir -p "$T/fold/$d"/{upper,work}
	mount -t overlay overlay -o "lowerdir=/$d,upperdir=$T/fold/$d/upper,workdir=$T/fold/$d/work" /$d || lib_skip "no overlay over /$d here"
done
rm -f /etc/mosquitto/conf.d/*
install -d -o mosquitto -m 0740 /var/log/mosquitto /run/mosquitto # as mosquitto.service does
install -d -o mosquitto -m 0755 /var/lib/mosquitto

recipe() { # FILE: the commands at its head
	sed -n 's/^#   //p' "$SOURCE/configs/$1" >"$T/recipe"
	[ -s "$T/recipe" ] || die "$1 says no way to install it"
	(cd "$SOURCE/configs" && FLEET=demo bash -eu "$T/recipe") || fail "the lines at the head of $1"
}
LOG=/var/log/mosquitto/mosquitto.log
start() { # WHAT
	rm -f $LOG
	lib_run broker mosquitto -c /etc/mosquitto/mosquitto.conf
	BROKER_PID=$LIB_PID
	if lib_until 10 port_open $BROKER_PORT; then ok "$1"; else die "$1: $(cat $LOG "$T/log/broker")"; fi
	grep "^[0-9]*: Error: " $LOG && fail "$1: see above"
	return 0
}
recipe mosquitto.conf
start "it loads beside Debian's"
[ "$(stat -c '%U %a' /etc/limpet-broker/broker.key)" = "mosquitto 400" ] || fail "key: $(stat -c '%U %a' /etc/limpet-broker/broker.key)"
[ "$(ps -o user= -p "$BROKER_PID")" = mosquitto ] || fail "it runs as $(ps -o user= -p "$BROKER_PID")"
mqtt_pub operator -t limpet1/demo/d/gw-1/desired -q 1 -r -m one && mqtt_pub operator -t limpet1/demo/d/gw-1/desired -q 1 -r -m two
lib_until 20 grep -q two /var/lib/mosquitto/mosquitto.db || fail "a change is not written down by itself" # it is acknowledged a moment before
kill -KILL "$BROKER_PID"
wait "$BROKER_PID" 2>/dev/null || true
recipe mosquitto_dashboard.conf
mosquitto_passwd -b /etc/limpet-broker/passwd viewer viewer-secret 2>>"$T/log/passwd"
start "and with the dashboard"
check "the dashboard's listener is there" lib_until 5 port_open 9883
[ "$(mqtt_sub gw-1 -t limpet1/demo/d/gw-1/desired -C 1 -W 60)" = two ] && ok "killed after a change it has the change" || fail "it forgot"

retained() { mqtt_sub operator -t 'limpet1/#' --retained-only -W 3 -F '%t' 2>/dev/null || true; }
mqtt_pub gw-1 -t limpet1/demo/d/gw-1/state -q 1 -r -m '{}'
for t in limpet1/other/d/gw-1/state limpet1/demo/d/gw-2/state limpet1/demo/d/gw-1/desired limpet1/demo/trust/9; do mqtt_pub gw-1 -t $t -q 1 -r -m x 2>>"$T/log/refused" || true; done
WANT=$(printf '%s\n' limpet1/demo/d/gw-1/desired limpet1/demo/d/gw-1/state)
holds() { [ "$(retained | sort)" = "$WANT" ]; }
lib_until 10 holds && ok "a device keeps its own state there, and nothing else" || fail "retained: $(retained)"
[ "$(mqtt_sub gw-1 -t limpet1/demo/d/gw-1/desired -C 1 -W 60)" = two ] || fail "a device wrote a manifest"
lib_stop "$BROKER_PID"
umount /var /etc "$T/fold"
