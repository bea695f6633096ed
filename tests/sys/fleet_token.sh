#!/usr/bin/env bash
# fleetctl at registries that want tokens: pulls and pushes, tokens that end, and who is told the password.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need docker-registry umoci skopeo busybox curl ss python3 jq
lib_begin fleet_token
fleetctl init --fleet demo --broker localhost:1 >>"$T/log/init" 2>&1
start_registry
umoci init --layout "$T/img" >>"$T/log/images" 2>&1
image_root "$T/root"
for v in 1 2 3; do
	echo $v >"$T/root/etc/version"
	umoci new --image "$T/img:$v" >>"$T/log/images" 2>&1
	umoci insert --image "$T/img:$v" "$T/root" / >>"$T/log/images" 2>&1
	umoci config --image "$T/img:$v" --config.entrypoint /bin/sh >>"$T/log/images" 2>&1
	skopeo copy -q --dest-tls-verify=false "oci:$T/img:$v" "docker://127.0.0.1:$REG_PORT/demo/web:$v" >>"$T/log/images" 2>&1
done
printf 'joe:secret word\n' >"$T/auth"
printf 'joe:wrong\n' >"$T/wrong"

token_registry() { # NAME WORDS...: port to PORT, requests to $T/NAME
	local name=$1; shift
	lib_run "$name" python3 -B "$SOURCE/tests/tool/token_registry.py" "$PORT" "$REG_PORT" "$T/$name" "$@"
	lib_until 10 port_open "$PORT" || die "the token registry does not start"
}
publish() { fleetctl publish "http://127.0.0.1:$PORT/demo/web:$1" --name web --version "$1" "${@:2}" 2>"$T/said"; }
is_there() { curl -fsSI "$REG/v2/demo/web/blobs/$(fleetctl get releases -o json | jq -r "[.[] | select(.name == \"web\")] | last.digest")" >/dev/null; }

PORT=$(free_port)
token_registry asked
check "publish with tokens" publish 1 --auth "$T/auth" || cat "$T/said"
check "the release lies beside the image" is_there
check "tokens were asked for pulls" grep -q '^GET /token?service=the%20registry&scope=repository%3Ademo%2Fweb%3Apull Basic 200' "$T/asked"
check "and for pushes" grep -q '^GET /token?service=the%20registry&scope=repository%3Ademo%2Fweb%3Apull%2Cpush Basic 200' "$T/asked"
check "tokens that ended were renewed" test "$(grep -c '^GET /token.* 200' "$T/asked")" -ge 4
check "a blob was sent with a token" grep -q '^PUT /v2/demo/web/blobs/.* Bearer 201' "$T/asked"
check "an update, packs and all" publish 2 --from 1 --auth "$T/auth"
check_not "a wrong password" publish 3 --auth "$T/wrong"
check "is told" grep -q 'token.*401' "$T/said"
check_not "no password" publish 3

# The token server has another name: it is asked, but without the password.
other=$(free_port)
here=$PORT
PORT=$other token_registry other
PORT=$(free_port)
token_registry far "realm=http://localhost:$other/token"
check_not "a token server elsewhere gives nothing" publish 3 --auth "$T/auth"
check "and is not told the password" grep -q '^GET /token.* nothing 401' "$T/other"
check_not "not once" grep -q '^GET /token.* Basic' "$T/other"

# A place to upload to on another host is used, but is told neither password nor token.
PORT=$(free_port)
token_registry upload "location=localhost:$PORT"
check "uploads that go elsewhere" publish 3 --auth "$T/auth"
check "without a token" grep -q '^PUT /v2/demo/web/blobs/.* nothing 201' "$T/upload"
check_not "not once" grep -qE '^PUT /v2/demo/web/blobs/.* (Bearer|Basic)' "$T/upload"
PORT=$here
