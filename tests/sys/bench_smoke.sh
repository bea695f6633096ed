#!/usr/bin/env bash
# Needs the host's network.
# The benches in their shortest form: each figure that README and docs/costs.md promise is printed, and in the form that it promises. Values are not judged.
. "${SOURCE:?}/tests/sys/lib.sh"
lib_need mosquitto docker-registry umoci skopeo jq crun runc bwrap lxc-execute strace musl-gcc
lib_begin bench_smoke
lxc_groups() { find /sys/fs/cgroup -maxdepth 2 -name lxc.pivot -exec rmdir {} + 2>/dev/null || true; } # lxc leaves them
trap 'rc=$?; lxc_groups; (exit $rc); lib_end' EXIT
rc=0
BUILD=$BUILD "$SOURCE/tests/bench/run" --quick >"$T/out" 2>&1 || rc=$?
[ $rc = 0 ] && ok "all benches ran" || { fail "tests/bench/run --quick ended with $rc"; tail -n 40 "$T/out"; }

FORM='^figure: [A-Za-z0-9_+-]+ = -?[0-9]+(\.[0-9]+)? [A-Za-z]+; aim [<>]= [0-9]+(\.[0-9]+)?; (ok|short)$'
PEER='^peer: [A-Za-z0-9_+., -]+( = [0-9]+(\.[0-9]+)? [A-Za-z]+| not measured: .+)$'
PART='^part: [A-Za-z0-9_+., -]+: .+ KiB$'
BAD=$(grep -vE "$FORM|$PEER|$PART|^# tests/bench/" "$T/out" || true)
[ -z "$BAD" ] && ok "every line has its form" || fail "lines of no known form: $BAD"

figures=(run-median first-instruction-median first-instruction-to-crun first-instruction-to-runc
	{run,seccomp,cycle,state,exec}-{wall,cpu}-to-crun run-{wall,cpu}-to-{floor,runc} run-system-calls run-peak-rss smallest-memory-limit
	idle-{pss,uss,anon,alone}-{0,1,3}-apps
	idle-anon-growth-per-app idle-anon-each-further-app idle-pss-growth-per-app idle-memcg-3-apps idle-alone-to-mosquitto_sub size-of-device-programs
	apply-settings-median apply-pull-1MB-median)
grep -q '^peer: size-of-static-limpet not measured' "$T/out" || figures+=(size-of-static-limpet)
# where their peer or the kernel's bridge is not to be had, a line says why
grep -q '^peer: dockerd not measured' "$T/out" || grep -q '^peer: containerd not measured' "$T/out" || figures+=("idle-pss-to-dockerd+containerd")
grep -q '^peer: podman not measured' "$T/out" || figures+=(apply-settings-to-podman apply-pull-1MB-to-podman)
grep -q '^peer: apply-port-gap not measured' "$T/out" || figures+=(apply-port-gap-median)
for f in "${figures[@]}"; do
	n=$(grep -cF "figure: $f = " "$T/out" || true)
	[ "$n" = 1 ] && ok "$f" || fail "$f is printed $n times"
done
n=$(grep -c '^figure: ' "$T/out" || true)
[ "$n" = ${#figures[@]} ] && ok "no figure but those: $n" || fail "$n figures, ${#figures[@]} are known"
for p in crun runc bwrap lxc floor mosquitto_sub conmon containerd dockerd podman; do
	grep -q "^peer: $p" "$T/out" && ok "peer $p is measured or its lack is said" || fail "nothing is said of $p"
done
