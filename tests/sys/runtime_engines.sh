#!/usr/bin/env bash
# limpet under those who call it: podman, containerd (ctr) and buildah, unchanged and as Debian has them, through the commands that people use.
# Works for any OCI runtime: RUNTIME=/usr/sbin/runc tests/sys/runtime_engines.sh (crun refuses a machine with hybrid cgroups).
# What is known not to work with limpet yet stands in TODO: such a check must fail, so that the list gets shorter.
. "${SOURCE:?}/tests/sys/lib.sh"
RUNTIME=${RUNTIME:-$BUILD/bin/limpet}
ENGINES=${ENGINES:-podman buildah ctr}
# name of a check, as printed
TODO=()
[ "$(id -u)" = 0 ] || lib_skip "needs root"
lib_need podman conmon containerd ctr buildah busybox socat
lib_begin runtime_engines

DONE=()
# result NAME RC: judged by TODO when it is limpet that runs
result() {
	local todo=0 t
	DONE+=("$1")
	[ "$(basename "$RUNTIME")" != limpet ] || for t in "${TODO[@]}"; do [ "$t" != "$1" ] || todo=1; done
	case $todo:$2 in
	0:0) ok "$1" ;;
	1:0) fail "$1: works now; take it off the list TODO" ;;
	1:*) lib_say "todo $1" ;;
	*) fail "$1: $(tail -n 3 "$T/last" | tr '\n' ' ')" ;;
	esac
}
# does NAME COMMAND...: succeeds.  prints NAME TEXT COMMAND...: succeeds and what it prints holds TEXT.  ends NAME RC COMMAND...
does() { local n=$1 rc=0; shift; "$@" >"$T/last" 2>&1 </dev/null || rc=$?; result "$n" $rc; }
prints() {
	local n=$1 want=$2 rc=0; shift 2
	"$@" >"$T/last" 2>&1 </dev/null || rc=$?
	[ $rc != 0 ] || grep -qF -- "$want" "$T/last" || { rc=1; echo "does not hold \"$want\"" >>"$T/last"; }
	result "$n" $rc
}
ends() {
	local n=$1 want=$2 rc=0; shift 2
	"$@" >"$T/last" 2>&1 </dev/null || rc=$?
	if [ $rc = "$want" ]; then rc=0; else echo "ended with $rc, not $want" >>"$T/last"; rc=1; fi
	result "$n" $rc
}

make_root() {
	local a
	image_root "$T/fs"
	for a in id ls tty env mount sed grep touch ps sort head stat test; do ln -sf busybox "$T/fs/bin/$a"; done
	mkdir -p "$T"/fs/root "$T"/fs/run "$T"/fs/var/tmp
	chmod 1777 "$T/fs/tmp"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$T/fs/etc/group"
	tar -C "$T/fs" -cf "$T/fs.tar" .
}

# --- podman ------------------------------------------------------------------------------------------------------
# Programs of this test, so that timeout and other shells can start them. podman's own limits are above what this machine may have.
program() { # NAME COMMAND-LINE
	mkdir -p "$T/bin"
	printf '#!/bin/sh\nexec timeout --foreground 300 %s "$@"\n' "$2" >"$T/bin/$1"
	chmod +x "$T/bin/$1"
}
LIMITS="--network=none --cgroup-parent=/$LIB_ID --ulimit nofile=1024:1024 --ulimit nproc=30000:30000"
STORE="--root $T/podman/root --runroot $T/podman/run --storage-driver vfs"
program pod "podman $STORE --tmpdir $T/podman/tmp --cgroup-manager cgroupfs --events-backend none --runtime $RUNTIME"
program prun "$T/bin/pod run --log-driver=k8s-file $LIMITS"
program one "$T/bin/prun --rm"
program bud "buildah $STORE"
program build "$T/bin/bud bud --isolation oci --runtime $RUNTIME $LIMITS"
program ctrd "ctr -a $T/cd/sock"
program cbox "$T/bin/ctrd run --snapshotter native --runc-binary $RUNTIME --runc-root $T/cd/runc"
export PATH=$T/bin:$PATH

logs_hold() { lib_until 10 sh -c "pod logs $1 2>&1 | grep -qF -- '$2'"; }
is_state() { lib_until 10 sh -c "pod inspect -f '{{.State.Status}}' $1 | grep -qx $2"; }
value_of() { # PID FILE-V1 FILE-V2 CONTROLLER: what the kernel has
	local f
	f=$(sed -nE "s#^[0-9]+:([^:]*,)?$4(,[^:]*)?:(.*)#/sys/fs/cgroup/$4\3/$2#p" "/proc/$1/cgroup" | head -n 1)
	[ -e "$f" ] || f=/sys/fs/cgroup$(sed -n 's#^0::##p' "/proc/$1/cgroup")/$3
	cat "$f"
}
cgroup_value() { value_of "$(pod inspect -f '{{.State.Pid}}' "$1")" "${@:2}"; }

podman_runs() {
	prints "podman run" hello one box /bin/echo hello
	ends "podman run, exit code" 7 one box sh -c 'exit 7'
	ends "podman run, program is missing: 127" 127 one box /bin/none
	ends "podman run, program is no program: 126" 126 one box /etc/passwd
	prints "podman run -t" /dev/pts/0 one -t box tty
	prints "podman run --env --workdir" "/srv v" one --env K=v --workdir /srv box sh -c 'echo $PWD $K'
	prints "podman run --hostname" other one --hostname other box cat /proc/sys/kernel/hostname
	prints "podman run --user" "uid=65534(nobody) gid=65534(nogroup)" one --user 65534:65534 box id
	prints "podman run --user with groups" "groups=6(6),7" one --user 5:6 --group-add 7 box id
	prints "podman run --cap-drop" "CapEff:	0000000000000000" one --cap-drop all box grep CapEff /proc/self/status
	prints "podman run --cap-add" "CapBnd:	0000000000001000" one --cap-drop all --cap-add net_admin box grep CapBnd /proc/self/status
	prints "podman run, no_new_privs" "NoNewPrivs:	1" one --security-opt no-new-privileges box grep NoNewPrivs /proc/self/status
	prints "podman run, its seccomp profile" "Seccomp:	2" one box grep Seccomp: /proc/self/status
	prints "podman run, seccomp profile is what decides" "not permitted" one --security-opt "seccomp=$T/deny.json" box sh -c 'ln -s a /tmp/b; true'
	prints "podman run, seccomp unconfined" "Seccomp:	0" one --security-opt seccomp=unconfined box grep Seccomp: /proc/self/status
	prints "podman run --read-only" "Read-only" one --read-only box sh -c 'touch /srv/x; true'
	prints "podman run, writable" done one box sh -c 'touch /srv/x && echo done'
	prints "podman run --tmpfs" "size=1024k" one --tmpfs /srv:size=1m box grep ' /srv ' /proc/mounts
	mkdir -p "$T/volume"
	echo from-host >"$T/volume/in"
	prints "podman run -v" from-host one -v "$T/volume:/data" box sh -c 'cat /data/in; echo from-box >/data/out'
	prints "podman run -v, written through" from-box cat "$T/volume/out"
	prints "podman run -v ro" Read-only one -v "$T/volume:/data:ro" box sh -c 'echo x >/data/y; true'
	prints "podman run --device" "crw" one --device /dev/null:/dev/mine box ls -l /dev/mine
	prints "podman run --sysctl" 7 one --sysctl net.ipv4.ip_default_ttl=7 box cat /proc/sys/net/ipv4/ip_default_ttl
	prints "podman run --ulimit" 512 one --ulimit nofile=512:512 box sh -c 'ulimit -n'
	prints "podman run --oom-score-adj" 300 one --oom-score-adj 300 box cat /proc/self/oom_score_adj
	prints "podman run --uidmap" "         0     200000      65536" one --uidmap 0:200000:65536 --gidmap 0:200000:65536 box cat /proc/self/uid_map
	prints "podman run --pid host --ipc host --uts host" "$(cat /proc/sys/kernel/hostname)" one --pid host --ipc host --uts host box cat /proc/sys/kernel/hostname
	prints "podman run --privileged" "CapEff" one --privileged box grep CapEff /proc/self/status
	prints "podman run, masked paths" "empty" one box sh -c 'ls /proc/acpi | grep -q . || echo empty; [ ! -s /proc/kcore ]'
	prints "podman run --shm-size" "size=2048k" one --shm-size 2m box grep /dev/shm /proc/mounts
}

podman_lives() {
	does "podman run -d" prun -d --name a -m 64m --cpus 0.5 --pids-limit 40 box sh -c 'trap "echo got term; exit 3" TERM; echo up; while :; do sleep 0.1; done'
	does "podman logs" logs_hold a up
	prints "podman run -m" 67108864 cgroup_value a memory.limit_in_bytes memory.max memory
	prints "podman run --cpus" 50000 cgroup_value a cpu.cfs_quota_us cpu.max cpu
	prints "podman run --pids-limit" 40 cgroup_value a pids.max pids.max pids
	prints "podman exec" inside pod exec a echo inside
	ends "podman exec, exit code" 5 pod exec a sh -c 'exit 5'
	ends "podman exec, program is missing: 127" 127 pod exec a /bin/none
	prints "podman exec -t" /dev/pts pod exec -t a tty
	prints "podman exec --user --workdir --env" "65534 /srv v" pod exec --user 65534 --workdir /srv --env K=v a sh -c 'echo $(id -u) $PWD $K'
	does "podman exec -d" pod exec -d a touch /tmp/there
	does "podman exec -d did it" lib_until 10 pod exec a test -e /tmp/there
	prints "podman stats" MB pod stats --no-stream --no-reset --format '{{.MemUsage}}' a
	does "podman top" pod top a
	does "podman inspect, it runs" is_state a running
	does "podman pause" pod pause a
	does "podman pause, it is" is_state a paused
	does "podman unpause" pod unpause a
	prints "podman unpause, it goes on" on pod exec a echo on
	does "podman kill -s CONT" pod kill -s CONT a
	does "podman restart" pod restart -t 5 a
	does "podman restart, it runs" is_state a running
	does "podman stop" pod stop -t 5 a
	prints "podman stop, its own exit code" 3 pod inspect -f '{{.State.ExitCode}}' a
	does "podman start" pod start a
	does "podman kill" pod kill a
	does "podman kill, it ended" is_state a exited
	prints "podman kill, exit code" 137 pod inspect -f '{{.State.ExitCode}}' a
	does "podman rm" pod rm a
	does "podman create" pod create $LIMITS --name b box sleep 100
	does "podman init" pod init b
	does "podman start after init" pod start b
	does "podman rm -f" pod rm -f -t 0 b
}

# --- containerd --------------------------------------------------------------------------------------------------
start_containerd() {
	mkdir -p "$T/cd"
	printf 'version = 2\nroot = "%s/root"\nstate = "%s/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "%s/sock"\n[ttrpc]\n  address = "%s/sock.ttrpc"\n' \
		"$T/cd" "$T/cd" "$T/cd" "$T/cd" >"$T/cd/config.toml"
	lib_run containerd containerd --config "$T/cd/config.toml"
	lib_until 15 test -S "$T/cd/sock" || die "containerd does not start: $(tail -n 2 "$T/log/containerd")"
}
ctr_status() { lib_until 10 sh -c "ctrd task ls | grep -qE '^$1 .* $2'"; }
containerd_runs() {
	start_containerd
	does "ctr image import" ctrd image import --snapshotter native "$T/box.tar"
	IMAGE=$(ctrd image ls -q | head -n 1)
	prints "ctr run" hello cbox --rm "$IMAGE" one /bin/echo hello
	ends "ctr run, exit code" 7 cbox --rm "$IMAGE" two sh -c 'exit 7'
	program tbox "$T/bin/cbox -t --rm $IMAGE three tty"
	prints "ctr run -t" /dev/pts/0 socat -u "EXEC:$T/bin/tbox,pty,setsid,ctty,stderr" -
	prints "ctr run, seccomp" "Seccomp:	2" cbox --rm --seccomp "$IMAGE" four grep Seccomp: /proc/self/status
	does "ctr run -d" cbox -d --memory-limit 33554432 "$IMAGE" life sleep 1000
	does "ctr run -d, it runs" ctr_status life RUNNING
	prints "ctr run --memory-limit" 33554432 value_of "$(ctrd task ls | awk '$1 == "life" {print $2}')" memory.limit_in_bytes memory.max memory
	prints "ctr task exec" inside ctrd task exec --exec-id e1 life echo inside
	ends "ctr task exec, exit code" 5 ctrd task exec --exec-id e2 life sh -c 'exit 5'
	does "ctr task ps" ctrd task ps life
	does "ctr task metrics" ctrd task metrics life
	does "ctr task pause" ctrd task pause life
	does "ctr task pause, it is" ctr_status life PAUSED
	does "ctr task resume" ctrd task resume life
	does "ctr task resume, it is" ctr_status life RUNNING
	does "ctr task kill" ctrd task kill -s KILL life
	does "ctr task kill, it ended" ctr_status life STOPPED
	does "ctr task delete" bash -c 'ctrd task delete life; ! ctrd task ls -q | grep -q life'
	does "ctr container delete" ctrd container delete life
}

# --- buildah -----------------------------------------------------------------------------------------------------
failing() { "$@" && return 0; return 1; } # buildah gives the program's code or 1, as it comes
buildah_runs() {
	printf 'FROM localhost/box:latest\nRUN echo built >/srv/made && id -u >>/srv/made\nUSER 65534\nRUN id -u >/tmp/who\n' >"$T/Containerfile"
	does "buildah bud with RUN lines" build -t built -f "$T/Containerfile" "$T/volume"
	prints "what buildah built" "built 0 65534" one localhost/built sh -c 'echo $(cat /srv/made /tmp/who)'
	printf 'FROM localhost/box:latest\nRUN exit 3\n' >"$T/Containerfile"
	ends "buildah, a RUN line that fails" 1 failing build -f "$T/Containerfile" "$T/volume"
}

engines_end() {
	local rc=$? t i
	trap - EXIT
	set +e
	pod rm -f -a -t 0 >>"$T/log/end" 2>&1
	for t in $(ctrd task ls -q 2>/dev/null); do ctrd task kill -s KILL "$t"; ctrd task delete -f "$t"; ctrd container delete "$t"; done >>"$T/log/end" 2>&1
	for i in $(seq 50); do pgrep -f "$T/" | grep -vqx $$ || break; sleep 0.1; [ "$i" -lt 10 ] || break; done
	for t in $(awk '{print $5}' /proc/self/mountinfo | grep -F "$T/" | sort -r); do umount -l "$t"; done
	for t in "${LIB_PIDS[@]}"; do lib_stop "$t"; done
	# what the engines made for their own: below the parent that they were given
	lib_until 5 sh -c "find /sys/fs/cgroup -depth -type d -path '*/$LIB_ID*' -exec rmdir {} + 2>/dev/null; ! find /sys/fs/cgroup -type d -path '*/$LIB_ID*' | grep -q ." ||
		fail "groups are left: $(find /sys/fs/cgroup -type d -path "*/$LIB_ID*" | head -n 3 | tr '\n' ' ')"
	(exit $rc)
	lib_end
}
trap engines_end EXIT
export T

make_root
mkdir -p "$T/podman"
printf '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["symlink","symlinkat"],"action":"SCMP_ACT_ERRNO"}]}' >"$T/deny.json"
pod import "$T/fs.tar" box:latest >"$T/log/import" 2>&1 || die "podman import: $(tail -n 1 "$T/log/import")"
pod save --format oci-archive -o "$T/box.tar" box:latest >>"$T/log/import" 2>&1 || die "podman save: $(tail -n 1 "$T/log/import")"
case $ENGINES in *podman*) podman_runs; podman_lives ;; esac
case $ENGINES in *buildah*) mkdir -p "$T/volume"; buildah_runs ;; esac
case $ENGINES in *ctr*) containerd_runs ;; esac
for t in "${TODO[@]}"; do
	[ "$ENGINES" = "podman buildah ctr" ] || break
	case " ${DONE[*]} " in *" $t "*) ;; *) fail "TODO names \"$t\", which is no check" ;; esac
done
lib_say "$(printf '%s\n' "${DONE[@]}" | wc -l) checks of $(basename "$RUNTIME") under: $ENGINES"
