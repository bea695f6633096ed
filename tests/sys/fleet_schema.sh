#!/usr/bin/env bash
# configs/schemas: what fleetctl really writes fits, and so do the examples; what is wrong does not.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need umoci busybox python3 jq
python3 -c 'import jsonschema; jsonschema.Draft202012Validator' 2>/dev/null || lib_skip "no python3-jsonschema 4 here (apt-get install python3-jsonschema)"
lib_begin fleet-schema

valid() { # SCHEMA FILE
	python3 - "$SOURCE/configs/schemas/$1.schema.json" "$2" <<-'END'
		import json, sys
		from jsonschema import Draft202012Validator as V
		schema, doc = (json.load(open(f)) for f in sys.argv[1:3])
		V.check_schema(schema)
		errors = [f"{e.json_path}: {e.message}" for e in V(schema).iter_errors(doc)]
		if errors: print("\n".join(errors[:3]))
		sys.exit(bool(errors))
	END
}
payload() { jq -r .payload "$1" | base64 -d >"$2"; }

check "desired.schema.json is what fleetctl explain -o json prints" diff -u "$SOURCE/configs/schemas/desired.schema.json" <(fleetctl explain -o json)

init_fleet dev-1
make_images
for v in 1 2; do fleetctl publish "dir:$T/img:$v" --name web >>"$T/log/publish"; done
fleetctl publish "dir:$T/img:hog" --name buffer >>"$T/log/publish"
fleetctl keys rotate root --offline >>"$T/log/rotate" 2>&1

for f in "$FLEETCTL_DIR"/trust/*.json "$FLEETCTL_DIR"/releases/web/[0-9]*.json; do check "envelope ${f##*fleet/}" valid envelope "$f"; done
payload "$FLEETCTL_DIR/trust/2.json" "$T/trust"
check "trust" valid trust "$T/trust"
payload "$FLEETCTL_DIR/releases/web/2.json" "$T/release"
check "release" valid release "$T/release"
check "agentd.json of a bundle" valid agentd "$FLEETCTL_DIR/devices/dev-1/agentd.json"
check "agentd.json of configs/" valid agentd "$SOURCE/configs/agentd.json"

# the examples, as apply would sign them: a broker is needed to know the last revision
start_broker
for f in "$SOURCE"/configs/examples/*.json; do
	to="-d dev-1"
	grep -q rollout "$f" && to="-g line-a"
	# shellcheck disable=SC2086
	fleetctl apply -f "$f" $to --dry-run >"$T/desired" 2>>"$T/log/dry" || fail "example ${f##*/} is refused"
	check "example ${f##*/} fits" valid desired "$T/desired"
done

# both refuse the same: the schema and fleetctl
fleetctl apply -f "$SOURCE/configs/examples/web.json" -d dev-1 --dry-run >"$T/desired" 2>/dev/null
bad() { # NAME JQ-CHANGE
	jq "$2" "$T/desired" >"$T/bad"
	check_not "schema refuses $1" valid desired "$T/bad" >/dev/null
	check_not "fleetctl refuses $1" fleetctl apply -f "$T/bad" -d dev-1 --dry-run >/dev/null 2>&1
}
jq '.' "$T/desired" >"$T/bad"
check "control: unchanged, both take it" valid desired "$T/bad"
check "control: fleetctl" fleetctl apply -f "$T/bad" -d dev-1 --dry-run >/dev/null 2>&1
bad "an unknown field" '.x = 1'
bad "an unknown field of an app" '.apps[0].x = 1'
bad "a name in capitals" '.apps[0].name = "Web"'
bad "too little memory" '.apps[0].memory.max_bytes = 1'
bad "a text for a number" '.apps[0].pids.max = "32"'
DEVICE='.apps[0].devices = [{match: {usb: "0403:6001", subsystem: "tty"}, path: "/dev/modem", access: "rw", required: true, on_remove: "stop"}] | .apps[0].init = true'
jq "$DEVICE" "$T/desired" >"$T/bad"
check "control: a device and init, both take it" valid desired "$T/bad"
check "control: fleetctl" fleetctl apply -f "$T/bad" -d dev-1 --dry-run >/dev/null 2>&1
bad "a device outside of /dev" "$DEVICE | .apps[0].devices[0].path = \"/etc/modem\""
bad "two ways to match" "$DEVICE | .apps[0].devices[0].match.major = 188"
bad "no way to match" "$DEVICE | .apps[0].devices[0].match = {subsystem: \"tty\"}"
bad "half a vendor" "$DEVICE | .apps[0].devices[0].match.usb = \"403:6001\""
bad "a minor alone" "$DEVICE | .apps[0].devices[0].match.minor = 1"
bad "stop for what is not required" "$DEVICE | .apps[0].devices[0].required = false"
bad "two health checks" '.apps[0].health.tcp = {port: 1}'
bad "no health check in health" '.apps[0].health |= del(.http)'
bad "ports of the host's network" '.apps[0].network.mode = "host"'
bad "a rollout for one device" '.rollout = {salt: "a", slots: 1}'
bad "a capability that opens the host" '.apps[0].capabilities = ["SYS_ADMIN"]'
bad "a root file system that can be written" '.apps[0].read_only = false'
bad "a source of another kind" '.apps[0].sources = ["ftp://x"]'
bad "privileges that are not stripped" '.apps[0].image_privileges = "keep"'
jq '.apps[0].image_privileges = "refuse"' "$T/desired" >"$T/bad"
check "control: privileges refused" valid desired "$T/bad"
check "control: privileges refused, fleetctl" fleetctl apply -f "$T/bad" -d dev-1 --dry-run >/dev/null 2>&1
bad "a system without a source" '.os = {version: "2", bundle: {digest: .apps[0].release.digest, size: 1}, sources: []}'
bad "an agent without a source" '.agent = {release: .apps[0].release, sources: []}'
bad "an agent with no time to confirm itself" '.agent = {release: .apps[0].release, sources: .apps[0].sources, confirm_s: 4}'
bad "a system without a bundle" '.os = {version: "2", sources: ["dir:/x"]}'
jq '.os = {version: "2", bundle: {digest: .apps[0].release.digest, size: 1}, release: .apps[0].release, sources: ["dir:/x"]}' "$T/desired" >"$T/bad"
check "control: a system" valid desired "$T/bad"
check "control: a system, fleetctl" fleetctl apply -f "$T/bad" -d dev-1 --dry-run >/dev/null 2>&1
jq '.agent = {release: .apps[0].release, sources: .apps[0].sources, confirm_s: 5}' "$T/desired" >"$T/bad"
check "control: an agent" valid desired "$T/bad"
check "control: an agent, fleetctl" fleetctl apply -f "$T/bad" -d dev-1 --dry-run >/dev/null 2>&1
bad "a path with .." '.apps[0].cwd = "/a/../b"'
bad "a digest in capitals" '.apps[0].release.digest |= ascii_upcase'

# Each field at, below and above its bounds, by all three: the agent's parser, fleetctl and the schema.
check "fields at, below and above their bounds" "$SOURCE/tests/tool/manifest_fields.py" "$BUILD/bin/manifest-tool" "$SOURCE/configs/schemas/desired.schema.json"
bad "a volume without a name" '.apps[0].mounts = [{type: "volume", target: "/data"}]'
