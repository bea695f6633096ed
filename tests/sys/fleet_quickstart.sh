#!/usr/bin/env bash
# The README's first command, with the programs that are built: it ends well, in its time, and leaves nothing.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto mosquitto_passwd docker-registry umoci skopeo busybox jq curl ss nft
[ "$(id -u)" = 0 ] || lib_skip "containers need root"
for p in agentd agentd-core agentd-link agentd-fetch agentctl fleetctl; do
	[ -x "$BUILD/bin/$p" ] || lib_skip "no $p in this build"
done
lib_begin fq # short: the path of a unix socket has an end
mkdir "$T/q"
begin=$SECONDS waited=$(lib_waited_s)
check "it shows everything" env TMPDIR="$T/q" "$SOURCE/boards/host/quickstart" >"$T/log/quickstart" 2>&1
check "within a minute, on a machine of its own" test $((SECONDS - begin - ($(lib_waited_s) - waited))) -lt 60
check "twelve steps" test "$(grep -cE '^ ?[0-9]+  ' "$T/log/quickstart")" = 12
check "at most 140 columns" test "$(awk '{if (length > m) m = length} END {print m}' "$T/log/quickstart")" -le 140
check "nothing below its directory" test -z "$(ls -A "$T/q")"
check_rc 2 "an unknown option" "$SOURCE/boards/host/quickstart" --wat >/dev/null
