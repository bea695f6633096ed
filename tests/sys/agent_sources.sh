#!/usr/bin/env bash
# The agent takes images over CoAPS and from a plain web server, each from an OCI layout that is a directory of files there.
. "$SOURCE/tests/sys/lib.sh"
lib_need umoci jq openssl python3 mosquitto_passwd
[ -x "$BUILD/bin/coap-files" ] || lib_skip "built without CoAP"
lib_begin agent_sources
DEV=sources-$$ KEY=00112233445566778899aabbccddeeff
init_fleet $DEV
make_images
for v in 1 2 3; do fleetctl publish "dir:$T/img:$v" --name web --version $v >>"$T/log/publish"; done
printf 'psk %s %s\n' $DEV $KEY >"$T/auth"
chmod 0600 "$T/auth"
jq --arg auth "$T/auth" 'del(.mqtt) | .fetch.auth = $auth | .fetch.rate_bytes_s = 100000000' "$FLEETCTL_DIR/devices/$DEV/agentd.json" >"$T/agentd.json"
cp "$T/agentd.json" "$FLEETCTL_DIR/devices/$DEV/agentd.json"
COAP=$(free_port) WEB=$(free_port)
lib_run coap "$BUILD/bin/coap-files" "$T" "$COAP" --psk $DEV $KEY
lib_run web python3 -m http.server --bind 127.0.0.1 --directory "$T" "$WEB"
lib_until 10 grep -q ready "$T/log/coap" || die "coap-files does not start"
lib_until 10 port_open "$WEB" || die "the web server does not start"
start_agent $DEV

manifest() { # REV RELEASE-VERSION SOURCE
	local rel=$FLEETCTL_DIR/releases/web/$2.json
	cat <<-END | "$SOURCE/tests/tool/forge.py" desired "$FLEETCTL_DIR/keys/fleet-1.key" >"$T/desired-$1"
		{"schema":"limpet.desired/1","fleet":"demo","target":{"device":"$DEV"},"rev":$1,"issued":$(date +%s),"expires":$(($(date +%s) + 3600)),
		 "apps":[{"name":"web","release":{"name":"web","counter":$2,"digest":"sha256:$(sha256sum "$rel" | cut -d' ' -f1)","size":$(stat -c %s "$rel")},
		 "sources":["$3"],"stop":{"grace_ms":1500}}],"update":{"probation_ms":200}}
	END
	echo "$T/desired-$1"
}
takes() { # REV RELEASE-VERSION SOURCE
	agentctl $DEV apply "$(manifest "$@")" | grep -q accepted || die "apply $3"
	lib_until 40 is rev "$1" && lib_until 40 is phase converged && ok "converged from ${3%%:*}:" || die "$3: phase $(field phase): $(field err.msg); $(tail -n 5 "$T/log/agent-$DEV")"
	[ "$(agentctl $DEV exec web -- cat /srv/index.html)" = "version $2" ] && ok "it is version $2" || fail "it is another version"
}
takes 1 1 "coaps://127.0.0.1:$COAP/img"
takes 2 2 "layout+http://127.0.0.1:$WEB/img"
agentctl $DEV apply "$(manifest 3 2 ftp://127.0.0.1/img)" >>"$T/log/apply" 2>&1 || true
lib_until 10 grep -q 'sources.0.: source "ftp:.*not http' "$T/log/agent-$DEV" && ok "an unknown kind of source is refused by name" || fail "ftp: is not refused"
is phase rejected && is rev 2 && is want 3 || fail "phase $(field phase), rev $(field rev)"

# a registry that is nowhere: who, why and when it is asked again, in state, status and plan; nothing of it stays for the next manifest
agentctl $DEV apply "$(manifest 4 3 http://nowhere.invalid/demo/web)" >>"$T/log/apply" 2>&1
named() { field err.msg | grep -q '^web: .*http://nowhere.invalid/demo/web: .*resolve'; }
lib_until 20 named && [ "$(field err.kind)" = network ] && [ "$(field err.next)" -gt "$(($(date +%s) - 90))" ] && ok "who and why: $(field err.msg)" || fail "err $(field err)"
agentctl $DEV plan | grep -q 'last try for web: .*nowhere.invalid.*; next try in' && ok "$(agentctl $DEV plan | tail -n 1)" || fail "plan: $(agentctl $DEV plan)"
{ agentctl $DEV status || true; } | tr -d '\n' | grep -q 'network: *web: ' || fail "status: $(agentctl $DEV status)"
agentctl $DEV apply "$(manifest 5 3 layout+http://127.0.0.1:$WEB/img)" >>"$T/log/apply" 2>&1
for _ in $(seq 100); do
	case $(field err) in null | '') ;; *) fail "of the manifest before: $(field err)"; break ;; esac
	! { is rev 5 && is phase converged; } || break
done
lib_until 40 converged 5 && ok "the next manifest has no stale reason" || fail "phase $(field phase): $(field err.msg)"

# what an image may not bring is one event, however much it is
mkdir "$T/odd"
for f in a b c; do echo $f >"$T/odd/$f" && chmod 4755 "$T/odd/$f"; done
echo g >"$T/odd/g" && chmod 2755 "$T/odd/g"
umoci tag --image "$T/img:1" odd >>"$T/log/images" 2>&1
umoci insert --image "$T/img:odd" "$T/odd" /odd >>"$T/log/images" 2>&1
fleetctl publish "dir:$T/img:odd" --name web --version 4 >>"$T/log/publish"
agentctl $DEV apply "$(manifest 6 4 "layout+http://127.0.0.1:$WEB/img")" >>"$T/log/apply"
lib_until 40 converged 6 || fail "phase $(field phase): $(field err.msg)"
STRIPPED=$(agentctl $DEV events -n 200 | grep -c 'stripped  *web: image: 3 set-uid bits, 1 set-gid bits left out') || true
[ "$STRIPPED" = 1 ] && ! agentctl $DEV events -n 200 | grep 'denied  *web' && ok "one event tells what was left out of an image" || fail "$(agentctl $DEV events -n 20)"
