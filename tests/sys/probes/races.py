"""races.py LIMPET FOLDER TRIES [A2 ...] - see runtime_races.sh: two names change places all the time while containers start."""
import json
import os
import shutil
import signal
import subprocess
import sys

from rig import Rig, bind

LIMPET, T, TRIES = sys.argv[1], sys.argv[2], int(sys.argv[3])
ONLY = sys.argv[4:]


def swap(a, b):
    return subprocess.Popen([T + "/inside", "swap", a, b])


def end(p):
    p.send_signal(signal.SIGKILL)
    p.wait()


def tries(g, bad):
    """How many starts of the bundle that is there showed the token, and how many were refused; ends at the first escape."""
    before, ran = g.picture(), 0
    for n in range(TRIES):
        r = g.run()
        ran += r.has("token") or r.has("end")
        if r.has("hangs") or r.has(bad):
            return ran, n + 1, f"try {n}: {r.out.strip()[-100:]}"
        if n % 100 == 99 or n == TRIES - 1:
            what = [w for w in g.changes(before, g.picture()) if w not in ("files", "processes")]  # the swapper is one of them
            if what:
                return ran, n + 1, f"by try {n} changed: {' '.join(what)[:100]}"
    return ran, TRIES, ""


def volume(g, target):
    """A volume in which d is now a directory, now a link to the host."""
    v = g.T + "/vol"
    shutil.rmtree(v, ignore_errors=True)
    os.makedirs(v + "/d/in")
    os.symlink(target, v + "/x")
    return v


def a2(g):
    v = volume(g, g.canary)
    def change(c):
        c["mounts"] += [bind(v, "/vol", "rw"), {"destination": "/vol/d/in", "type": "tmpfs", "source": "limpetmark", "options": []}]
    g.bundle(["/inside", "token", "limpetmark"], change)
    return swap(v + "/d", v + "/x"), lambda: tries(g, "limpetmark missing")


def a8(g):
    v = volume(g, "../" * 12 + g.canary.lstrip("/"))
    os.rmdir(v + "/d/in")
    def change(c):
        c["mounts"] += [bind(v, "/vol", "rw"), bind(g.T + "/bin", "/vol/d/made/deep", "rw")]
    g.bundle(["/inside", "token"], change)
    return swap(v + "/d", v + "/x"), lambda: tries(g, "ESCAPE")


def a5(g):
    def change(c):
        c["mounts"] = [m for m in c["mounts"] if not m["destination"].startswith("/dev")]
        c["linux"]["maskedPaths"] += ["/secret"]
    r = g.bundle(["/inside", "read", "/secret"], change) + "/rootfs"
    with open(r + "/secret", "w") as f:
        f.write("shown token")
    os.mknod(r + "/dev/null", 0o20666, os.makedev(1, 3))
    os.symlink("/secret", r + "/dev/other")
    return swap(r + "/dev/null", r + "/dev/other"), lambda: tries(g, '"shown')


def a7(g):
    def change(c):
        c["linux"]["sysctl"] = {"net.ipv4.ip_default_ttl": "77"}
        c["process"]["oomScoreAdj"] = 500
    r = g.bundle(["/inside", "token", " - proc "], change) + "/rootfs"
    os.symlink(g.canary, r + "/false")
    return swap(r + "/proc", r + "/false"), lambda: tries(g, " missing")


def a11(g):
    i = g.start(["/inside", "attach"])
    if not i:
        sys.exit("FAIL A11: the control does not start")
    class Nobody:
        def send_signal(self, _):
            g.stop(i)

        def wait(self):
            return 0
    def fn():
        ran = 0
        for n in range(TRIES):
            ran += g.call("exec", i, "/inside", "token").has("token")
            if n % 100 == 99 and "ESCAPE" in open(g.T + "/stay").read():
                return ran, n + 1, open(g.T + "/stay").read().split("ESCAPE ")[1].splitlines()[0]
        said = open(g.T + "/stay").read()
        return ran, TRIES, said.split("ESCAPE ")[1].splitlines()[0] if "ESCAPE" in said else ""
    return Nobody(), fn


def a16(g):
    """A mount comes and goes at /vol/d/sys; d is now that directory, now a link to /proc."""
    v = volume(g, "/proc")
    os.makedirs(v + "/d/sys")
    with open(g.T + "/list", "w") as f:
        json.dump([bind(g.T + "/bin", "/vol/d/sys", "rw")], f)
    i = g.start(["/inside", "sleep"], lambda c: c["mounts"].append(bind(v, "/vol", "rw")))
    if not i:
        sys.exit("FAIL A16: the control does not start")
    def mounts():
        with open(f"/proc/{g.pid(i)}/mountinfo") as f:
            return sorted(x.split()[4] for x in f)
    before = mounts()
    def fn():
        ran = 0
        for n in range(TRIES):
            if g.call("mounts", "add", i, g.T + "/list").rc == 0:
                ran += g.call("mounts", "remove", i, g.T + "/list").rc == 0
            left = [x for x in before if x not in mounts()]
            if left:
                return ran, n + 1, f"try {n}: taken off: {left[0]}"
        more = len(mounts()) - len(before)
        return ran, TRIES, f"{more} mounts stay" if more else ""
    p = swap(v + "/d", v + "/x")
    class Both:
        def send_signal(self, sig):
            g.stop(i)
            p.send_signal(sig)

        def wait(self):
            return p.wait()
    return Both(), fn


RACES = {"A2": (a2, "mount through a directory of a volume that becomes a link"), "A5": (a5, "/dev/null that becomes a link while masks are made"),
         "A7": (a7, "/proc that becomes a link while settings are written"), "A8": (a8, "mount point made in a directory that becomes a link"),
         "A11": (a11, "attach to a process that exec brings in"), "A16": (a16, "mounts that come and go below a directory that becomes a link")}
bad = 0
for key, (fn, what) in RACES.items():
    if ONLY and key not in ONLY:
        continue
    shutil.rmtree(T + "/limpet", ignore_errors=True)
    rig = Rig("limpet", LIMPET, T, T, TRIES)
    swapper, go = fn(rig)
    try:
        ran, n, wrong = go()
    finally:
        end(swapper)
    if wrong:
        print(f"FAIL {key} {what}: {wrong}", flush=True)
        bad = 1
    elif ran == 0:
        print(f"FAIL {key} {what}: none of {n} started, so nothing was shown", flush=True)
        bad = 1
    else:
        print(f"ok   {key} {what}: 0 escapes in {n} tries, {ran} of them started", flush=True)
sys.exit(bad)
