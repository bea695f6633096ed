"""paths.py - classes A1 to A16: names of an image or a volume that lead elsewhere, and what a runtime leaves open to the container."""
import array
import json
import os
import shutil
import socket
import subprocess
import time

from rig import bind
from verdict import CONTAINED, ESCAPED, NO_START, REFUSED, Trick, tricks

TOKEN = ["/inside", "token"]


def link(target, *names):
    """An image in which these names are links."""
    def image(r):
        for n in names:
            p = f"{r}/{n}"
            if os.path.isdir(p) and not os.path.islink(p):
                shutil.rmtree(p)
            elif os.path.lexists(p):
                os.unlink(p)
            os.makedirs(os.path.dirname(p), exist_ok=True)
            os.symlink(target, p)
    return image


def a1_overwrite(g):
    """The program of the runtime, held open by a container that execs it, and written to."""
    def image(r):
        os.symlink("/proc/self/exe", r + "/entry")
        with open(r + "/script", "w") as f:
            f.write("#!/proc/self/exe\n")
        os.chmod(r + "/script", 0o755)
        shutil.copy(g.tools + "/trojan.so", r + "/trojan.so")  # libraries of the image: the runtime's own, and one that is slow
        for lib in subprocess.run(["ldd", g.runtime], capture_output=True, text=True, check=False).stdout.split():
            if lib.startswith("/"):
                os.makedirs(r + os.path.dirname(lib), exist_ok=True)
                shutil.copy(lib, r + lib)
    def slow(c):
        c["process"]["env"] += ["LD_PRELOAD=/trojan.so", "LIMPET_PROBE_SLOW=1"]
    before = g.picture()["runtime"]
    i = g.start(["/inside", "overwrite"], slow, image)
    if not i:
        return NO_START, "the control"
    for n in range(max(g.tries // 50, 20)):
        g.call("exec", i, ("/entry", "/script", "/inside")[n % 3], "token", timeout=60)
    said = open(g.T + "/stay").read()
    g.stop(i)
    g.run(["/entry", "token"], slow, image)
    if g.picture()["runtime"] != before or "ESCAPE" in said:
        return ESCAPED, "the runtime's program was written to"
    return CONTAINED, f"its program was held open {said.count('held')} times, never written"


def a2_static(g):
    """The target of a mount goes through a link in a volume that another container can write."""
    os.makedirs(g.T + "/vol", exist_ok=True)
    def change(target):
        def fn(c):
            if not os.path.lexists(g.T + "/vol/d"):
                os.symlink(target, g.T + "/vol/d")
            c["mounts"] += [bind(g.T + "/vol", "/vol", "rw"), {"destination": "/vol/d/in", "type": "tmpfs", "source": "limpetmark", "options": []}]
        return fn
    def honest(c):
        os.makedirs(g.T + "/vol/e/in", exist_ok=True)
        c["mounts"] += [bind(g.T + "/vol", "/vol", "rw"), {"destination": "/vol/e/in", "type": "tmpfs", "source": "limpetmark", "options": []}]
    def all_of(target):
        return Trick(target, ["/inside", "token", "limpetmark"], change(target), bad="limpetmark missing", after=lambda: os.unlink(g.T + "/vol/d"))
    r = tricks(g, honest, [all_of(t) for t in (g.canary, "../../../../../../../.." + g.canary, "/proc/1/root" + g.canary)])
    shutil.rmtree(g.T + "/vol")
    return r


def a3_proc_sys(g):
    """/proc or /sys of the image is a link, to the host or to another directory."""
    seen = ["/inside", "token", " - proc ", " - sysfs "]  # what is not among the container's mounts was mounted outside
    out = (g.canary, "../../../../../../.." + g.canary, "/proc/1/root" + g.canary)
    return tricks(g, None, [Trick(f"{n} -> {t}", seen, None, link(t, n), bad=" missing") for n in ("proc", "sys") for t in out] +
                  [Trick(f"{n} -> /data", TOKEN, None, link("/data", n)) for n in ("proc", "sys")])


def a4_dev(g):
    """/dev of the image is a link, with and without a file system that is mounted there."""
    def bare(c):
        c["mounts"] = [m for m in c["mounts"] if not m["destination"].startswith("/dev")]
    def fresh(change, target):
        return Trick(f"dev -> {target}", TOKEN, change, link(target, "dev"), before=g.fresh_canary)
    r = tricks(g, None, [fresh(c, t) for c in (None, bare) for t in (g.canary, "../../../../../../../.." + g.canary, "/data")])
    g.fresh_canary()
    return r


def a5_null(g):
    """/dev/null of the image, which masks are made of, leads to a file of the kernel or of the host."""
    def bare(c):
        c["mounts"] = [m for m in c["mounts"] if not m["destination"].startswith("/dev")]
        c["linux"]["maskedPaths"] += ["/secret"]
    def image(target):
        def fn(r):
            if target:
                os.symlink(target, r + "/dev/null")
            with open(r + "/secret", "w") as f:
                f.write("shown")
        return fn
    read = ["/inside", "read", "/secret", "/proc/kcore"]
    return tricks(g, bare, [Trick(f"null -> {t}", read, bare, image(t), bad='"shown')
                            for t in ("", "/proc/sys/kernel/core_pattern", "/proc/kcore", g.canary + "/null", "/secret")])


def with_terminal(g, image, args=None):
    """Runs with a terminal whose master comes over a socket; what was said on it."""
    path, i = g.T + "/console", g.new_id()
    def change(c):
        c["process"]["terminal"] = True
    b = g.bundle(args or TOKEN, change, image)
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(1)
    s.settimeout(30)
    r = g.call("create", "-b", b, "--console-socket", path, i)
    try:
        c, _ = s.accept()
        _, more, _, _ = c.recvmsg(64, socket.CMSG_LEN(4))
        fd = array.array("i", more[0][2][:4])[0]
        g.call("start", i)
        end = time.time() + 30
        os.set_blocking(fd, False)
        while time.time() < end and "token" not in r.out and "end" not in r.out:
            try:
                r.out += os.read(fd, 4096).decode(errors="replace")
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:
                break
        os.close(fd)
    except (OSError, IndexError):
        pass
    s.close()
    os.unlink(path)
    g.stop(i)
    return r


def a6_console(g):
    """/dev/console, /dev/pts and /dev/pts/0 of the image are links."""
    if not with_terminal(g, None).has("token"):
        return NO_START, "the control"
    refused = n = 0
    for names, t in ((("dev/console",), g.canary + "/console"), (("dev/pts",), g.canary + "/pts"), (("dev/pts/0", "dev/ptmx"), g.canary + "/file"),
                     (("dev",), g.canary)):
        before = g.picture()
        r = with_terminal(g, link(t, *names))
        n += 1
        refused += not r.has("token")
        what = [x.removeprefix(g.canary + "/") for x in g.changes(before, g.picture())]
        g.fresh_canary()
        if what:
            return ESCAPED, f"{names[0]}: changed: {' '.join(what)[:80]}"
    return CONTAINED, f"{refused} of {n} refused"


def a7_proc_writes(g):
    """Settings that a runtime writes below /proc, where the bundle mounts other things over it."""
    fake = g.canary
    def settings(c):
        c["process"]["oomScoreAdj"] = 500
        c["linux"]["sysctl"] = {"net.ipv4.ip_default_ttl": "77"}
    def over(dest, source, kind="bind"):
        def change(c):
            settings(c)
            c["mounts"] += [bind(source, dest) if kind == "bind" else {"destination": dest, "type": "tmpfs", "source": "tmpfs", "options": []}]
        return change
    tr = [Trick("fake /proc", TOKEN, over("/proc", fake)), Trick("fake self/attr", TOKEN, over("/proc/self/attr", fake + "/self/attr")),
          Trick("fake sys", TOKEN, over("/proc/sys", fake + "/sys")), Trick("tmpfs on /proc/self", TOKEN, over("/proc/self", "", "tmpfs"))]
    return tricks(g, settings, tr)


def a8_targets(g):
    """Mount points that have to be made, on links of the image."""
    def change(dest, source):
        def fn(c):
            c["mounts"] += [bind(source, dest)]
        return fn
    out = g.canary + "/made"
    tr = [Trick(f"{kind} through {t}", TOKEN, change(dest, src), link(t, "l"))
          for t in (g.canary, out, "../../../../../../../.." + out, "/proc/self/root" + out)
          for kind, dest, src in (("directory", "/l/new", g.T + "/bin"), ("file", "/l/newfile", g.runtime), ("end", "/l", g.T + "/bin"))]
    return tricks(g, change("/made/here", g.T + "/bin"), tr)


def a9_cwd(g):
    """The working directory is one that a runtime may have left open."""
    def change(path):
        def fn(c):
            c["process"]["cwd"] = path
        return fn
    tr = [Trick(p, ["/inside", "cwd", g.canary], change(p)) for p in [f"/proc/self/fd/{n}" for n in range(3, 65)] + ["/proc/1/cwd", "/proc/self/cwd"]]
    return tricks(g, change("/tmp"), tr)


def a10_descriptors(g):
    """Descriptors of the runtime, or of who started it (50 of them), and abstract sockets."""
    fds = [os.open("/", os.O_RDONLY) for _ in range(50)]
    for f in fds:
        os.set_inheritable(f, True)
    s = socket.socket(socket.AF_UNIX)
    s.bind("\0limpet-probe")
    s.listen(1)
    try:
        tr = [Trick("run", ["/inside", "fds"], more={"close_fds": False}), Trick("abstract", ["/inside", "net", "1", "limpet-probe"])]
        r = tricks(g, None, tr)
        i = g.start(["/inside", "sleep"])
        x = g.call("exec", i, "/inside", "fds", close_fds=False) if i else None
        if i:
            g.stop(i)
        if r[0] == CONTAINED and (not x or not x.has("end")):
            return NO_START, "exec"
        if x and x.has("ESCAPE"):
            return ESCAPED, "exec: " + x.reason()
        return r
    finally:
        s.close()
        for f in fds:
            os.close(f)


def a11_attach(g):
    """A process of the container attaches to one that exec brings in, before it is the container's."""
    i = g.start(["/inside", "attach"])
    if not i:
        return NO_START, "the control"
    for _ in range(max(g.tries // 50, 20)):
        g.call("exec", i, "/inside", "uid", timeout=60)
    said = open(g.T + "/stay").read()
    g.stop(i)
    return (ESCAPED, said.split("ESCAPE ")[1].splitlines()[0]) if "ESCAPE" in said else (CONTAINED, f"the window was met {said.count('seen')} times")


def a12_host_tools(g):
    """The environment of the image reaches no program of the host: hooks, and what the runtime may start."""
    def change(c):
        c["process"]["env"] += [f"LD_PRELOAD={g.tools}/trojan.so", f"LD_LIBRARY_PATH={g.tools}", f"LIMPET_PROBE_MARK={g.T}/marked"]
        c["hooks"] = {k: [{"path": "/bin/true"}] for k in ("prestart", "createRuntime", "createContainer", "poststart", "poststop")}
    def image(r):
        for n in ("tar", "xz", "lz4", "sh", "nft", "ip"):
            shutil.copy(r + "/inside", f"{r}/bin/{n}")
    env = dict(os.environ, LD_PRELOAD=g.tools + "/trojan.so", LIMPET_PROBE_MARK=g.T + "/marked")
    subprocess.run(["/bin/true"], env=env, check=False)
    if not os.path.exists(g.T + "/marked"):
        return NO_START, "the trojan itself"
    os.unlink(g.T + "/marked")
    return tricks(g, None, [Trick("LD_PRELOAD", TOKEN, change, image)])


def a13_users(g):
    """passwd and group of the image that never end, and user names that may come out as 0."""
    def passwd(kind):
        def image(r):
            for f in ("passwd", "group"):
                p = f"{r}/etc/{f}"
                if kind == "fifo":
                    os.mkfifo(p)
                elif kind == "long":
                    with open(p, "wb") as o:
                        o.truncate(1 << 30)
                elif kind == "overflow":
                    with open(p, "w") as o:
                        o.write("evil:x:4294967296:4294967296::/:/bin/sh\n4294967296:x:0:0::/:/bin/sh\n")
                else:
                    os.symlink(kind, p)
        return image
    tr = [Trick(k, TOKEN, None, passwd(k), hang=2) for k in ("fifo", "long", "/dev/zero", g.canary + "/file")]
    r = tricks(g, None, tr)
    i = g.start(["/inside", "sleep"], image=passwd("overflow"))
    if not i:
        return NO_START, "exec"
    for u in ("4294967296", "4294967296:4294967296", "0x0", "-1", "1 ", "evil", "1:-1", "18446744073709551616", "00x"):
        x = g.call("exec", "--user", u, i, "/inside", "uid", timeout=60)
        if x.has("uid 0 0") or x.has("hangs"):
            r = ESCAPED, f"exec --user \"{u}\" {'hangs' if x.has('hangs') else 'is root'}"
    g.stop(i)
    return r


def a14_names(g):
    """Names that become paths of the host: the container's id, its cgroup, its pid file."""
    if not g.run(TOKEN).has("token"):
        return NO_START, "the control"
    before, bad, said = g.picture(), [], ""
    b = g.bundle(TOKEN)
    for i in ("../out", "a/../../out", "..", ".", "/", "a/b", "a\nb", "", "a" * 5000):
        r = g.call("run", "-b", b, i)
        said = r.reason()
        if r.has("token"):
            bad.append(i[:10])
    def change(c):
        c["linux"]["cgroupsPath"] = "/../../../limpet-probe-out"
    g.run(TOKEN, change)
    outside = [p for p in ("/sys/fs/limpet-probe-out", "/limpet-probe-out", "/sys/limpet-probe-out") if os.path.exists(p)]
    what = g.changes(before, g.picture())
    if what or outside or bad:
        return ESCAPED, ", ".join(what + outside + [f"id {x!r} accepted" for x in bad])[:120]
    return REFUSED, said


def a15_volume_files(g):
    """A volume in which links stand where files are to be bound."""
    v = g.T + "/vol"
    os.makedirs(v)
    os.symlink(g.canary + "/file", v + "/resolv.conf")
    os.symlink(g.canary + "/new", v + "/hosts")
    os.symlink("../../../../../../.." + g.canary + "/in", v + "/secrets")
    def change(name, source):
        def fn(c):
            c["mounts"] += [bind(v, "/vol", "rw"), bind(source, f"/vol/{name}", "rw")]
        return fn
    r = tricks(g, lambda c: c["mounts"].append(bind(v, "/vol", "rw")), [Trick(n, ["/inside", "token"], change(n, s)) for n, s in (
        ("resolv.conf", g.tools + "/inside"), ("hosts", g.tools + "/inside"), ("secrets", g.tools), ("secrets/more", g.tools))])
    shutil.rmtree(v)
    return r


def a16_live_mounts(g):
    """A mount is added and taken away again; between both its directory is moved, and a link to /proc stands in its place."""
    v = g.T + "/vol"
    os.makedirs(v + "/d/sys")
    with open(g.T + "/list", "w") as f:
        json.dump([bind(g.T + "/bin", "/vol/d/sys", "rw")], f)
    i = g.start(["/inside", "sleep"], lambda c: c["mounts"].append(bind(v, "/vol", "rw")))
    if not i:
        return NO_START, "the control"
    def points():
        with open(f"/proc/{g.pid(i)}/mountinfo") as f:
            return sorted(x.split()[4] for x in f)
    before = points()
    added = g.call("mounts", "add", i, g.T + "/list")
    if added.rc != 0 or "/vol/d/sys" not in points():
        g.stop(i)
        shutil.rmtree(v)
        return REFUSED, added.reason()
    os.rename(v + "/d", v + "/moved")
    os.symlink("/proc", v + "/d")
    g.call("mounts", "remove", i, g.T + "/list")
    after = points()
    g.stop(i)
    shutil.rmtree(v)
    gone = [x for x in before if x not in after]
    return (ESCAPED, f"taken off: {gone[0]}") if gone else (CONTAINED, "mount comes, goes" if after == before else "it stays")


PROBES = [("A1", "the runtime's own program", a1_overwrite), ("A2", "mount target through a link of a volume", a2_static),
          ("A3", "/proc, /sys are links", a3_proc_sys), ("A4", "/dev is a link", a4_dev), ("A5", "/dev/null of the image as mask", a5_null),
          ("A6", "/dev/console, /dev/pts are links", a6_console), ("A7", "writes below a false /proc", a7_proc_writes),
          ("A8", "mount points made through links", a8_targets), ("A9", "working directory by descriptor", a9_cwd),
          ("A10", "descriptors, abstract sockets", a10_descriptors), ("A11", "attach to a joining process", a11_attach),
          ("A12", "image's environment in host programs", a12_host_tools), ("A13", "passwd, group and user names", a13_users),
          ("A14", "names that become host paths", a14_names), ("A15", "files bound over links of a volume", a15_volume_files),
          ("A16", "mounts that come and go", a16_live_mounts)]
