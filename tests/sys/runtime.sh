#!/bin/sh
# runtime: images that try to reach the host while their container is set up, and a thousand starts that leave nothing.
set -u
limpet=$BUILD/bin/limpet
[ "$(id -u)" = 0 ] || { echo "skipped: needs root"; exit 77; }
[ -x /bin/busybox ] || { echo "skipped: needs busybox-static"; exit 77; }
[ -n "${LIMPET_ALONE:-}" ] || exec "$SOURCE/tests/sys/alone" "$0" "$@"
dir=$(mktemp -d)
chmod 755 "$dir"
failed=0
cleanup() {
    "$limpet" --root "$dir/state" list -q 2>/dev/null | while read -r id; do
        "$limpet" --root "$dir/state" delete --force "$id"
    done
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM
check() { # WHAT COMMAND...
    what=$1
    shift
    if "$@"; then echo "ok   $what"; else
        echo "FAIL $what"
        failed=1
    fi
}
fresh() { # a bundle with a busybox rootfs; $1: the program's arguments as JSON
    rm -rf "$dir/b"
    mkdir -p "$dir/b/rootfs/bin" "$dir/b/rootfs/data" "$dir/b/rootfs/etc" "$dir/b/rootfs/tmp"
    cp /bin/busybox "$dir/b/rootfs/bin/"
    for a in sh echo cat ls sleep true; do ln -s busybox "$dir/b/rootfs/bin/$a"; done
    "$limpet" spec -b "$dir/b"
    sed -i "s|\"args\": \[\"sh\"\]|\"args\": [$1]|; s|\"terminal\": true|\"terminal\": false|" "$dir/b/config.json"
}
run() { timeout -k 1 120 "$limpet" --root "$dir/state" run -b "$dir/b" "t$$" </dev/null >"$dir/out" 2>&1; }

# --- a canary that no set-up may touch
mkdir -p "$dir/canary/pts" "$dir/canary/shm"
echo precious >"$dir/canary/ptmx"
echo precious >"$dir/canary/null"
picture() { (cd "$dir/canary" && find . -printf '%p %y %m %i %s\n' | sort && cat ptmx null); }
picture >"$dir/before"
# Mounts since the start. Not their number: one that another test made goes here too, when that test removes its directory.
awk '{print $1, $3, $5}' /proc/self/mountinfo >"$dir/mounts"
new_mounts() { awk 'NR == FNR {seen[$0]; next} !(($1 " " $3 " " $5) in seen) {n++} END {print n + 0}' "$dir/mounts" /proc/self/mountinfo; }

fresh '"echo","token"'
run
check "control: an honest image runs" grep -q '^token$' "$dir/out"

for place in proc dev sys; do
    for link in "$dir/canary" "../../../../../../../..$dir/canary" "/proc/1/root$dir/canary" "/data"; do
        fresh '"echo","token"'
        rm -rf "$dir/b/rootfs/$place"
        ln -s "$link" "$dir/b/rootfs/$place"
        if run; then
            echo "FAIL /$place -> $link: started"
            failed=1
        fi
        grep -q "limpet: t$$: mount" "$dir/out" || { echo "FAIL /$place -> $link: no reason: $(cat "$dir/out")"; failed=1; }
        picture | cmp -s - "$dir/before" || { echo "FAIL /$place -> $link: the canary changed"; failed=1; }
    done
    echo "ok   /$place as a link is refused with a reason, the canary is untouched"
done

# --- targets of binds go through links of the image, and end inside of it
mkdir -p "$dir/volume"
echo volume >"$dir/volume/file"
bind() { sed -i "s|\"mounts\": \[|\"mounts\": [{\"destination\": \"$1\", \"type\": \"bind\", \"source\": \"$dir/volume\", \"options\": [\"rbind\", \"ro\"]},|" "$dir/b/config.json"; }
fresh '"cat","/data/file"'
bind /data
run
check "control: a volume is seen" grep -q '^volume$' "$dir/out"
fresh '"sh","-c","cat /link/file"'
ln -s "$dir/canary" "$dir/b/rootfs/link"
bind /link
run
check "a target that is a link to the host stays inside" test ! -e "$dir/canary/file"
picture | cmp -s - "$dir/before"
check "the canary is untouched" test $? = 0
check "no mount came out" test "$(new_mounts)" = 0

# --- masks: the host shows something there, the container nothing
fresh '"sh","-c","cat /proc/timer_list; echo end; cat /proc/uptime"'
run
check "control: timer_list tells the host something" test -n "$(head -c 10 /proc/timer_list)"
check "a masked file is empty, its neighbour is not" sh -c "[ \"\$(head -n 1 '$dir/out')\" = end ] && [ \$(wc -l <'$dir/out') = 2 ]"

# --- working directory outside
for cwd in /proc/self/fd/3 /proc/self/fd/7 /proc/1/cwd/../../..; do
    fresh '"sh","-c","ls"'
    sed -i "s|\"cwd\": \"/\"|\"cwd\": \"$cwd\"|" "$dir/b/config.json"
    if run && grep -q '^canary$' "$dir/out"; then echo "FAIL cwd $cwd"; failed=1; fi
done
echo "ok   a working directory through descriptors does not lead out"

# --- what is not supported is refused by name
fresh '"true"'
sed -i 's|"linux": {|"linux": {"sysctl": {"kernel.core_pattern": "x"},|' "$dir/b/config.json"
run
check "a setting of the whole machine is refused by its path" grep -q 'linux.sysctl.kernel.core_pattern: belongs to the whole machine' "$dir/out"

# --- limits without end are written as 2^64-1
fresh '"sh","-c","ulimit -H -c; ulimit -S -n"'
sed -i 's|"rlimits": .*|"rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 18446744073709551615}, {"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}],|' "$dir/b/config.json"
run
check "a limit of 2^64-1 is none" test "$(tr '\n' ' ' <"$dir/out")" = "unlimited 77 "

# --- old kernels
for deny in 1 2 4 8 10 20 40 80 200 2ff; do
    fresh '"echo","token"'
    LIMPET_SYS_DENY=$deny run
    grep -q '^token$' "$dir/out" || { echo "FAIL without calls $deny: $(cat "$dir/out")"; failed=1; }
done
echo "ok   starts without each of the newer calls, and without all"

# --- the runtime killed at any instant: delete --force finds all that it left
fresh '"sleep","30"'
n=0
left=0
while [ $n -lt 60 ]; do
    "$limpet" --root "$dir/state" run -b "$dir/b" "k$$-$n" </dev/null >/dev/null 2>&1 &
    victim=$!
    sleep "0.0$((n % 6))$((n % 10))"
    kill -9 $victim 2>/dev/null
    wait $victim 2>/dev/null
    timeout -k 1 120 "$limpet" --root "$dir/state" delete --force "k$$-$n" || left=$((left + 1))
    [ -z "$(find /sys/fs/cgroup -type d -name "k$$-$n" 2>/dev/null)" ] || left=$((left + 1))
    n=$((n + 1))
done
check "killed $n times while it started or ran, nothing is left ($left)" test $left = 0

# the same under a cgroup path of the bundle's own
sed -i "s|\"linux\": {|\"linux\": {\"cgroupsPath\": \"/limpet-own-$$/deep\",|" "$dir/b/config.json"
n=0
left=0
met=0
while [ $n -lt 30 ]; do
    "$limpet" --root "$dir/state" run -b "$dir/b" "o$$-$n" </dev/null >/dev/null 2>&1 &
    victim=$!
    sleep "0.0$((n % 3))$((n % 10))"
    kill -9 $victim 2>/dev/null
    wait $victim 2>/dev/null
    [ -z "$(find /sys/fs/cgroup -type d -path "*limpet-own-$$*" 2>/dev/null)" ] || met=$((met + 1))
    timeout -k 1 120 "$limpet" --root "$dir/state" delete --force "o$$-$n" || left=$((left + 1))
    [ -z "$(find /sys/fs/cgroup -type d -path "*limpet-own-$$*" 2>/dev/null)" ] || left=$((left + 1))
    n=$((n + 1))
done
check "killed $n times under a path of its own, its group there $met times, nothing is left ($left)" test $left = 0 -a $met -gt 0

# a parent whose maker was killed before it could mark it; control: one that somebody else made stays
ctl=$(find /sys/fs/cgroup -maxdepth 1 -type d -name 'devices' | head -n 1)
if [ -n "$ctl" ]; then
    parent=$ctl/limpet-own-$$
    with_parent() { # MODE ID: made before, a container below it, killed and deleted
        mkdir -m "$1" "$parent"
        "$limpet" --root "$dir/state" run -b "$dir/b" "$2" </dev/null >/dev/null 2>&1 &
        victim=$!
        n=0
        while [ ! -d "$parent/deep" ] && [ $n -lt 200 ]; do n=$((n + 1)); sleep 0.1; done
        kill -9 $victim 2>/dev/null
        wait $victim 2>/dev/null
        "$limpet" --root "$dir/state" delete --force "$2"
    }
    with_parent 1755 "p$$"
    check "a parent that nobody had time to mark goes too" test ! -d "$parent"
    [ ! -d "$parent" ] || rmdir "$parent"
    with_parent 0755 "q$$"
    check "control: one that somebody else made stays" rmdir "$parent"
fi

# --- a thousand lives
count() {
    echo "mounts $(new_mounts) links $(ls /sys/class/net | grep -vc '^limpet')" \
        "groups $(find /sys/fs/cgroup -type d -name "limpet-c$$-*" 2>/dev/null | wc -l) state $(ls "$dir/state" | wc -l)"
}
fresh '"/bin/true"'
before=$(count)
start=$(date +%s%N)
n=0
while [ $n -lt 1000 ]; do
    "$limpet" --root "$dir/state" run -b "$dir/b" "c$$-$n" </dev/null >"$dir/out" 2>&1 || { echo "FAIL life $n: $(cat "$dir/out")"; failed=1; break; }
    n=$((n + 1))
done
after=$(count)
echo "     $n lives, $((($(date +%s%N) - start) / 1000000 / (n ? n : 1))) ms each; before: $before; after: $after"
check "they leave nothing" test "$before" = "$after"
exit $failed
