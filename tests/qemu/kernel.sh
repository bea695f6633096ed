# kernel.sh - a real kernel of Debian for x86-64, unpacked and not installed. To be sourced:
#   kernel_get SUITE FOLDER [PACKAGE MODULE...]
# prints the directory that holds boot/vmlinuz-* and lib/modules/*, or nothing when it cannot be had. FOLDER is a cache. SUITE "": of this
# machine's own release. PACKAGE: what depends on the kernel; of that one only MODULES and what they need are kept.
#   kernel_initramfs TREE FOLDER MODULE...
# packs FOLDER into FOLDER.gz, with busybox and the modules, which its /init finds as /*.ko*, each after what it needs.

# Private state of apt for another suite: the mirror is the one that this machine uses, its own lists stay as they are.
kernel_apt_options() { # SUITE FOLDER
	local d=$2/apt mirror
	mirror=$(sed -nE 's/^URIs: *([^ ]+\/debian)\/? *$/\1/p; s/^deb (\[[^]]*\] )?([^ ]+\/debian)\/? .*/\2/p' \
		/etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list /etc/apt/sources.list 2>/dev/null | head -n 1 || true)
	[ -n "$mirror" ] || return 1
	mkdir -p "$d"/etc/apt/{apt.conf.d,preferences.d,sources.list.d} "$d"/var/lib/apt/lists/partial "$d"/var/cache/apt/archives/partial
	: >"$d/status"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main" >"$d/etc/apt/sources.list"
	printf '%s\n' -o "Dir=$d" -o "Dir::State::status=$d/status" -o APT::Architecture=amd64 -o APT::Architectures=amd64 \
		-o Acquire::Languages=none -o Dir::Etc::trustedparts=/etc/apt/trusted.gpg.d -o APT::Sandbox::User=root
}

# suite_unpack SUITE FOLDER PACKAGE...: these packages of another suite, unpacked below FOLDER, a cache. Fails when they cannot be had.
suite_unpack() {
	local suite=$1 dir=$2 options=() deb
	shift 2
	[ ! -e "$dir/done" ] || return 0
	mkdir -p "$dir"
	mapfile -t options < <(kernel_apt_options "$suite" "$dir")
	[ ${#options[@]} -gt 0 ] || return 1
	timeout 200 apt-get "${options[@]}" -q update >"$dir/apt.log" 2>&1 || return 1
	(cd "$dir" && timeout 200 apt-get "${options[@]}" -q download "$@" >>apt.log 2>&1) || return 1
	for deb in "$dir"/*.deb; do dpkg-deb -x "$deb" "$dir" || return 1; done
	rm -rf "$dir"/*.deb "$dir/apt"
	touch "$dir/done"
}

kernel_fetch() { # FOLDER PACKAGE OPTION...; lists that are too old name packages that have gone
	local dir=$1 name=$2; shift 2
	cd "$dir" || return 1
	timeout 300 apt-get "$@" -q download "$name" >>apt.log 2>&1 && return
	timeout 120 apt-get "$@" -q update >>apt.log 2>&1 && timeout 300 apt-get "$@" -q download "$name" >>apt.log 2>&1
}

kernel_modules() { # TREE MODULE...: their files, each after what it needs
	local tree=$1 version m
	version=$(ls "$tree/lib/modules")
	depmod -b "$tree" "$version" # an unpacked package has no list of what needs what
	shift
	for m in "$@"; do
		modprobe -S "$version" -d "$tree" --show-depends "$m" 2>/dev/null | awk '$1 == "insmod" {print $2}'
	done | awk '!seen[$0]++'
}

kernel_keep() { # TREE MODULE...: of all its files only these and the kernel stay
	local tree=$1
	kernel_modules "$@" >"$tree/keep"
	[ -s "$tree/keep" ] || return 1
	find "$tree" -type f -name '*.ko*' | grep -vxF -f "$tree/keep" | xargs -r rm
	rm -rf "$tree/usr" "$tree/keep" "$tree"/boot/{config,System.map}-*
}

kernel_initramfs() {
	local tree=$1 i=$2 n=0 m
	shift 2
	mkdir -p "$i"/{bin,dev,proc,new}
	while read -r m; do
		n=$((n + 1))
		cp "$m" "$i/$(printf %02d $n)-${m##*/}"
	done < <(kernel_modules "$tree" "$@")
	cp "$(command -v busybox)" "$i/bin/busybox"
	(cd "$i" && find . | cpio -o -H newc --quiet | gzip -1) >"$i.gz"
}

kernel_get() {
	local suite=$1 dir=$2 package=${3:-linux-image-cloud-amd64} options=() name
	shift $(($# < 3 ? $# : 3))
	if [ "$(cat "$dir/complete" 2>/dev/null || echo no)" != "$*" ]; then
		rm -rf "$dir"
		mkdir -p "$dir/tree"
		if [ -n "$suite" ]; then
			mapfile -t options < <(kernel_apt_options "$suite" "$dir")
			[ ${#options[@]} -gt 0 ] || return 0
			timeout 120 apt-get "${options[@]}" -q update >"$dir/apt.log" 2>&1 || return 0
		elif [ -z "$(apt-cache show "$package" 2>/dev/null)" ]; then
			timeout 120 apt-get -q update >"$dir/apt.log" 2>&1 || return 0
		fi
		name=$(apt-cache "${options[@]}" show "$package" 2>>"$dir/apt.log" | awk '/^Depends:/ {sub(",", "", $2); print $2; exit}')
		[ -n "$name" ] || return 0
		(kernel_fetch "$dir" "$name" "${options[@]}") || return 0
		dpkg-deb -x "$dir/$name"_*.deb "$dir/tree" || return 0
		rm -rf "$dir"/*.deb "$dir/apt"
		[ $# = 0 ] || kernel_keep "$dir/tree" "$@" || return 0
		echo "$*" >"$dir/complete"
	fi
	echo "$dir/tree"
}
