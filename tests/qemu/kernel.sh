# kernel.sh - a real kernel of Debian for x86-64, unpacked and not installed. To be sourced:
#   kernel_get SUITE FOLDER     SUITE "" : of this machine's own release
# prints the folder that holds boot/vmlinuz-* and lib/modules/*, or nothing when it cannot be had. FOLDER is a cache.

# Private state of apt for another suite: the mirror is the one that this machine uses, its own lists stay as they are.
kernel_apt_options() { # SUITE FOLDER
	local d=$2/apt mirror
	mirror=$(sed -nE 's/^URIs: *([^ ]+\/debian)\/? *$/\1/p; s/^deb (\[[^]]*\] )?([^ ]+\/debian)\/? .*/\2/p' \
		/etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list /etc/apt/sources.list 2>/dev/null | head -n 1)
	[ -n "$mirror" ] || return 1
	mkdir -p "$d"/etc/apt/{apt.conf.d,preferences.d,sources.list.d} "$d"/var/lib/apt/lists/partial "$d"/var/cache/apt/archives/partial
	: >"$d/status"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main" >"$d/etc/apt/sources.list"
	printf '%s\n' -o "Dir=$d" -o "Dir::State::status=$d/status" -o APT::Architecture=amd64 -o APT::Architectures=amd64 \
		-o Acquire::Languages=none -o Dir::Etc::trustedparts=/etc/apt/trusted.gpg.d -o APT::Sandbox::User=root
}

kernel_fetch() { # FOLDER PACKAGE OPTION...; lists that are too old name packages that have gone
	local dir=$1 name=$2; shift 2
	cd "$dir" || return 1
	timeout 300 apt-get "$@" -q download "$name" >>apt.log 2>&1 && return
	timeout 120 apt-get "$@" -q update >>apt.log 2>&1 && timeout 300 apt-get "$@" -q download "$name" >>apt.log 2>&1
}

kernel_get() { # SUITE FOLDER
	local suite=$1 dir=$2 options=() name
	if [ ! -e "$dir/complete" ]; then
		rm -rf "$dir"
		mkdir -p "$dir/tree"
		if [ -n "$suite" ]; then
			mapfile -t options < <(kernel_apt_options "$suite" "$dir")
			[ ${#options[@]} -gt 0 ] || return 0
			timeout 120 apt-get "${options[@]}" -q update >"$dir/apt.log" 2>&1 || return 0
		elif [ -z "$(apt-cache show linux-image-cloud-amd64 2>/dev/null)" ]; then
			timeout 120 apt-get -q update >"$dir/apt.log" 2>&1 || return 0
		fi
		name=$(apt-cache "${options[@]}" show linux-image-cloud-amd64 2>>"$dir/apt.log" | awk '/^Depends:/ {sub(",", "", $2); print $2; exit}')
		[ -n "$name" ] || return 0
		(kernel_fetch "$dir" "$name" "${options[@]}") || return 0
		dpkg-deb -x "$dir/$name"_*.deb "$dir/tree" || return 0
		rm -rf "$dir"/*.deb "$dir/apt"
		touch "$dir/complete"
	fi
	echo "$dir/tree"
}
