#!/usr/bin/env bash
# What a package would hold: the release preset, installed below a DESTDIR. Every file is there with its mode, nothing else is, programs
# run from there, manual pages and unit name the directories that they are in.
set -euo pipefail
cd "$SOURCE"
out=$BUILD/release dest=$BUILD/dest
bad=0
fail() { echo "FAIL $*"; bad=1; }
run() { "$@" >"$BUILD/install.log" 2>&1 || { tail -n 20 "$BUILD/install.log"; echo "FAIL $*"; exit 1; }; }

install_as() { # CMAKE-OPTION...: into an empty $dest
	run cmake --preset release -B "$out" -DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_INSTALL_LIBEXECDIR=libexec "$@"
	run ninja -C "$out" -j2
	rm -rf "$dest"
	DESTDIR=$dest run cmake --install "$out" --strip
}

wanted() {
	cat <<-END
		755 usr/bin/agentctl
		755 usr/bin/fleetctl
		755 usr/bin/limpet
		755 usr/libexec/limpet/agentd-core
		755 usr/libexec/limpet/agentd-fetch
		755 usr/libexec/limpet/agentd-link
		755 usr/libexec/limpet/agentd-unpack
		755 usr/libexec/limpet/agentd-untar
		755 usr/libexec/limpet/limpet-init
		755 usr/libexec/limpet/limpet-seccomp
		755 usr/sbin/agentd
		644 usr/share/man/man1/agentctl.1
		644 usr/share/man/man1/fleetctl.1
		644 usr/share/man/man1/limpet.1
		644 usr/share/man/man8/agentd.8
	END
	local f
	for f in LICENSE README.md CHANGELOG.md architecture.md costs.md packs.md protocol.md requirements.md security.md; do echo "644 usr/share/doc/limpet/$f"; done
	for f in agentd.json mosquitto.conf mosquitto_dashboard.conf mosquitto.service.conf acl acl-dashboard; do echo "644 usr/share/doc/limpet/examples/$f"; done
	for f in configs/examples/*; do echo "644 usr/share/doc/limpet/examples/${f##*/}"; done
	for f in configs/schemas/*; do echo "644 usr/share/limpet/schemas/${f##*/}"; done
}
compare() { # NAME < the lines wanted beside those of wanted()
	{ wanted; cat; } | sort -k2 >"$BUILD/install.want"
	(cd "$dest" && find . -type f -printf '%m %P\n') | sort -k2 >"$BUILD/install.have"
	diff "$BUILD/install.want" "$BUILD/install.have" || fail "$1: < is missing, > is too much"
}

install_as -DLIMPET_INIT=systemd
compare systemd <<-END
	644 usr/lib/systemd/system/agentd.service
	644 usr/lib/sysusers.d/limpet.conf
	644 usr/lib/tmpfiles.d/limpet.conf
END
grep -q '^ExecStart=/usr/sbin/agentd ' "$dest/usr/lib/systemd/system/agentd.service" || fail "the unit starts another agentd"
for program in usr/sbin/agentd usr/bin/agentctl usr/bin/fleetctl usr/bin/limpet; do
	"$dest/$program" --version >"$BUILD/install.version" 2>&1 || fail "$program --version: $(cat "$BUILD/install.version")"
	grep -q "$(sed -nE 's/^project\(limpet VERSION ([0-9.]+).*/\1/p' CMakeLists.txt)" "$BUILD/install.version" || fail "$program says another version"
done
grep -q /usr/libexec/limpet "$dest/usr/sbin/agentd" || fail "agentd looks for the other programs elsewhere"
! grep -qF "$SOURCE" "$dest"/usr/sbin/* "$dest"/usr/libexec/limpet/* || fail "a program names the directory where it was built"

install_as -DLIMPET_INIT=busybox
compare busybox <<-END
	755 etc/init.d/S80limpet
END
sh -n "$dest/etc/init.d/S80limpet" || fail "the init script is no shell script"
[ $bad = 0 ] && echo "ok   $(wc -l <"$BUILD/install.have") files"
exit $bad
