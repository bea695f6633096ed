# lib.sh - what the benches share. To be sourced by bash after SOURCE and BUILD are set:
#   figure NAME VALUE UNIT OP LIMIT   one line "figure: NAME = VALUE UNIT; aim OP LIMIT; ok|short"
#   peer NAME VALUE UNIT              one line "peer: NAME = VALUE UNIT"
#   no_peer NAME WHY                  one line "peer: NAME not measured: WHY"
# A bench ends with 0 whatever its figures are; it fails only when it cannot measure.
. "$SOURCE/tests/sys/lib.sh"

figure() {
	awk -v n="$1" -v v="$2" -v u="$3" -v op="$4" -v lim="$5" 'BEGIN {
		ok = op == "<=" ? v + 0 <= lim + 0 : v + 0 >= lim + 0
		printf "figure: %s = %s %s; aim %s %s; %s\n", n, v, u, op, lim, ok ? "ok" : "short" }'
}
peer() { printf 'peer: %s = %s %s\n' "$1" "$2" "$3"; }
no_peer() { printf 'peer: %s not measured: %s\n' "$1" "$2"; }

# median FILE: of its numbers, one a line.  ratio A B: A / B with two decimals.  first_line FILE: cut, for a reason.
median() { sort -n "$1" | awk '{v[NR] = $1} END {if (NR) print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2; else print "nan"}'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", b ? a / b : 0}'; }
first_line() { tail -n 1 "$1" 2>/dev/null | tr -d '\r' | cut -c1-160; }

# The static payload and stopwatch (stamp.c), as $STAMP.
make_stamp() {
	STAMP=$T/stamp
	musl-gcc -static -Os -s -o "$STAMP" "$SOURCE/tests/bench/stamp.c" 2>"$T/log/stamp" ||
		cc -static -Os -s -o "$STAMP" "$SOURCE/tests/bench/stamp.c" 2>"$T/log/stamp" || die "stamp.c does not build: $(first_line "$T/log/stamp")"
}
boot_ns() { "$STAMP"; }

# stamp_image TAG BYTES: an image in the layout $T/img that holds stamp and so many bytes that do not compress.
stamp_image() {
	local b=$T/bundle-$1
	[ -d "$T/img" ] || umoci init --layout "$T/img" >>"$T/log/images" 2>&1
	umoci new --image "$T/img:$1" >>"$T/log/images" 2>&1
	umoci unpack --image "$T/img:$1" "$b" >>"$T/log/images" 2>&1
	mkdir -p "$b"/rootfs/{bin,etc,proc,sys,dev,data,tmp}
	cp "$STAMP" "$b/rootfs/bin/stamp"
	[ "$2" = 0 ] || head -c "$2" /dev/urandom >"$b/rootfs/bin/ballast"
	umoci repack --image "$T/img:$1" "$b" >>"$T/log/images" 2>&1
	umoci config --image "$T/img:$1" --config.entrypoint /bin/stamp --config.cmd pause >>"$T/log/images" 2>&1
	rm -rf "$b"
}
push_stamp() { # TAG: into the registry as bench/stamp:TAG, and published
	skopeo copy -q --dest-tls-verify=false "oci:$T/img:$1" "docker://127.0.0.1:$REG_PORT/bench/stamp:$1" >>"$T/log/images" 2>&1
	fleetctl publish "$REG/bench/stamp:$1" --version "$1" >>"$T/log/publish" 2>&1
}

# --- podman, in directories of this bench's own ---
# Its default limits are above what this machine may have; its crun refuses hybrid cgroups, so runc.
podman_() {
	podman --root "$T/podman/root" --runroot "$T/podman/run" --tmpdir "$T/podman/tmp" --cgroup-manager cgroupfs --events-backend none \
		--storage-driver "${PODMAN_DRIVER:-overlay}" --runtime "$(command -v runc)" "$@"
}
podman_run() { podman_ run -d --network=none --cgroup-parent "/$LIB_ID" --ulimit nofile=1024:1024 --ulimit nproc=30000:30000 "$@"; }
# podman_works IMAGE: sets PODMAN_WHY when it does not. Falls back from overlay to vfs.
podman_works() {
	PODMAN_WHY=
	command -v podman >/dev/null || { PODMAN_WHY="podman is not installed"; return 1; }
	mkdir -p "$T/podman"
	for PODMAN_DRIVER in overlay vfs; do
		if podman_ pull -q --tls-verify=false "$1" >"$T/log/podman" 2>&1 && podman_run --name probe "$1" idle >>"$T/log/podman" 2>&1; then
			podman_ rm -f -t 0 probe >>"$T/log/podman" 2>&1
			return 0
		fi
		PODMAN_WHY=$(first_line "$T/log/podman")
		podman_end
		mkdir -p "$T/podman"
	done
	return 1
}
podman_is_gone() { ! pgrep -f "$T/podman/" >/dev/null; }
podman_end() {
	[ -d "$T/podman" ] || return 0
	podman_ rm -f -a -t 0 >>"$T/log/podman" 2>&1 || true
	podman_ rmi -f -a >>"$T/log/podman" 2>&1 || true
	# conmon's own cleanup runs after its container and mounts the storage once more
	lib_until 10 podman_is_gone || true
	while umount -l "$T/podman/root/overlay" 2>/dev/null; do :; done
	rm -rf "$T/podman"
	find /sys/fs/cgroup -depth -type d -path "*/$LIB_ID*" -exec rmdir {} \; 2>/dev/null || true
}
