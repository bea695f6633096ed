"""Every system call of an update, the mending of a damaged image, a collection, a rollback, a verdict and a trust rotation is a place where the process may be killed
and, where it can happen, fail. Each pair (call, n) is tried: first one run is recorded, then one run a pair. Afterwards the next start
must find whole images, empty tmp/, the old or the new state and nothing between, and doing it again must succeed; a run that failed must
not have said that it went well.
  ota_calls.py [full]    full: all pairs; otherwise of each call the first, the last and every so manieth
"""
import multiprocessing
import random
import re
import signal

from ota_image import *

STATE_TOOL = os.path.join(BUILD, "bin", "state-tool")
BUDGET = int(os.environ.get("OTA_CALLS_BUDGET", "1500")) # pairs in a run that is not full
CHANGE = ("write", "mkdirat", "linkat", "symlinkat", "renameat", "ftruncate", "sendfile")
DRESS = ("fchmod", "fchmodat", "fchown", "fchownat", "utimensat")
# Where each can come from; openat: of a file that is made, see can_fail. brk is not here: it never answers with an error number.
ERRORS = {
    "ENOSPC": CHANGE + ("openat", "fsync", "syncfs"),
    "EDQUOT": CHANGE + ("openat", "fsync", "fchown"),
    "EIO": CHANGE + DRESS + ("openat", "read", "pread64", "getdents64", "newfstatat", "unlinkat", "fsync", "syncfs", "statfs", "fstatfs"),
    "EROFS": CHANGE[1:] + DRESS + ("openat", "unlinkat"),
    "ENOMEM": CHANGE + DRESS + ("openat", "read", "getdents64", "newfstatat", "unlinkat", "fsync", "mmap", "clone", "pipe2"),
    "EINTR": ("write", "read", "pread64", "wait4", "fsync", "flock", "sendfile", "getrandom", "openat"),
}
DURABLE = ("fsync", "syncfs", "write", "renameat", "linkat", "mkdirat", "symlinkat", "ftruncate") # without these there is no success
TIMED = ("read", "write") # of pipes: how many there are depends on how much stands in them each time


def listing(store):
    """All names that the store has given, but for empty directories of objects."""
    out = []
    for base, dirs, files in os.walk(store):
        at = os.path.relpath(base, store)
        out += [os.path.join(at, n) for n in files if os.path.join(at, n) not in ("./work", "./lock")]
        out += [os.path.join(at, n) for n in dirs if not (at == "objects" and not os.listdir(os.path.join(base, n)))]
    return sorted(out)


class StoreOp:
    """One verb of ota-tool on a copy of a prepared store."""

    def __init__(self, name, base, args, images, wanted, gone=()):
        self.name, self.base, self.args = name, base, args
        self.images, self.wanted, self.gone = images, wanted, gone # digest -> tree; digests that must (not) be there at the end

    def command(self, at):
        return [TOOL, at, *self.args]

    def reference(self, at):
        kind, _, err = tool(at, *self.args)
        if kind:
            raise RuntimeError("%s: %s" % (self.name, err))
        self.names = listing(at)

    def trees(self, at):
        bad = []
        for n in os.listdir(os.path.join(at, "images")):
            want = self.images.get("sha256:" + n)
            if os.path.exists(os.path.join(at, "images", n, "damaged")): # known to be hurt: it does not count
                continue
            if tree(os.path.join(at, "images", n, "rootfs")) != want:
                bad.append("image %.12s is not whole" % n)
        bad += ["the old image is gone" for d in self.images if d not in self.gone and d not in self.wanted
                and not os.path.exists(rootfs(at, d))]
        return bad

    def ended(self, at):
        """It said that it went well: did it?"""
        names = listing(at)
        lacks, more = set(self.names) - set(names), {n for n in set(names) - set(self.names) if not n.startswith("blobs/")}
        return ["said well: lacks %s, more %s" % (sorted(lacks)[:2], sorted(more)[:2])] if lacks or more else []

    def after(self, at):
        bad = self.trees(at)
        kind, _, err = tool(at, "list")
        if kind or os.listdir(os.path.join(at, "tmp")):
            bad.append("next start: %s %s" % (err, os.listdir(os.path.join(at, "tmp"))))
        kind, _, err = tool(at, *self.args)
        if kind:
            bad.append("again: " + err)
        return bad + self.ended(at) + self.trees(at) + check_store(at)


class PackOp(StoreOp):
    """The same by pack-tool: an image that comes by a pack. What is staged may stay after a failure: the next try goes on with it."""

    def command(self, at):
        return [os.path.join(BUILD, "bin", "pack-tool"), at, *self.args]

    def run(self, at):
        env = dict(os.environ, FETCH=os.path.join(BUILD, "bin", "agentd-fetch"), UNPACK=os.path.join(BUILD, "bin", "agentd-unpack"))
        p = subprocess.run(self.command(at), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return "" if p.returncode == 0 else KINDS.get(p.returncode, "exit %d" % p.returncode), p.stderr.decode()

    def reference(self, at):
        kind, err = self.run(at)
        if kind:
            raise RuntimeError("%s: %s" % (self.name, err))
        self.names = listing(at)

    def after(self, at):
        bad = self.trees(at)
        kind, _, err = tool(at, "list")
        if kind or os.listdir(os.path.join(at, "tmp")):
            bad.append("next start: %s %s" % (err, os.listdir(os.path.join(at, "tmp"))))
        kind, err = self.run(at)
        if kind:
            bad.append("again: " + err)
        return bad + self.ended(at) + self.trees(at) + check_store(at)


class StateOp:
    """One verb of state-tool on a copy of a prepared state directory: afterwards each word is the old or the new one."""

    def __init__(self, name, base, args):
        self.name, self.base, self.args = name, base, args

    def command(self, at):
        return [STATE_TOOL, at, *self.args]

    @staticmethod
    def show(at):
        p = subprocess.run([STATE_TOOL, at, "show"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return None if p.returncode else p.stdout.decode(), p.stderr.decode()

    def reference(self, at):
        self.old = self.show(at)[0]
        subprocess.run(self.command(at), check=True, stdout=subprocess.DEVNULL)
        self.new = self.show(at)[0]
        if self.old == self.new:
            raise RuntimeError("%s changes nothing" % self.name)

    def ended(self, at):
        got, err = self.show(at)
        return [] if got == self.new else ["said well: %s instead of %s %s" % (got, self.new, err)]

    def after(self, at):
        got, err = self.show(at)
        if got is None or err:
            return ["next start: " + err]
        words = [{a, b} for a, b in zip(self.old.split(), self.new.split())]
        bad = ["between old and new: " + got] if any(g not in w for g, w in zip(got.split(), words)) else []
        p = subprocess.run(self.command(at), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if self.show(at)[0] != self.new:
            bad.append("again: %s %s" % (self.show(at)[0], p.stderr.decode()))
        return bad


def strace(op, at, *options):
    env = dict(os.environ, UNTAR=os.path.join(BUILD, "bin", "agentd-untar"), FETCH=os.path.join(BUILD, "bin", "agentd-fetch"),
               UNPACK=os.path.join(BUILD, "bin", "agentd-unpack"))
    return subprocess.run(["strace", "-qq", *options, *op.command(at)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)


def calls_of(op, work):
    """(name, n, text) of each call since the program looked at the directory."""
    at, trace = os.path.join(work, "rec"), os.path.join(work, "trace")
    subprocess.run(["cp", "-a", op.base, at], check=True)
    strace(op, at, "-o", trace)
    shutil.rmtree(at)
    count, out, began = {}, [], False
    with open(trace) as f:
        for line in f:
            m = re.match(r"(\w+)\(", line)
            if not m or m.group(1) in ("execve", "exit_group"):
                continue
            count[m.group(1)] = count.get(m.group(1), 0) + 1
            began = began or at in line
            if began:
                out.append((m.group(1), count[m.group(1)], line))
    return out


def can_fail(call, error, text):
    if call not in ERRORS[error] or text.startswith("write(1,") or text.startswith("write(2,"):
        return False
    if call == "openat" and error in ("ENOSPC", "EDQUOT", "EROFS"):
        return "O_CREAT" in text
    return not (call == "openat" and error == "EINTR" and "O_CREAT" not in text)


def pairs_of(op, work):
    for call, n, text in calls_of(op, work):
        yield call, n, "kill"
        for error in ERRORS:
            if can_fail(call, error, text):
                yield call, n, error


def judge(op, at, call, how, p):
    bad = []
    code = p.returncode
    aborts = how == "ENOMEM" and call == "mmap" and code in (-signal.SIGABRT, 128 + signal.SIGABRT) # mem_need's way
    if how == "kill":
        if code == 0 and call in TIMED: # this time there was no such call: then it ended well
            bad += op.ended(at)
        elif code not in (-signal.SIGKILL, 128 + signal.SIGKILL):
            bad.append("was not killed: %d" % code)
    elif (code < 0 or code > 100) and not aborts:
        bad.append("crashed: %d %s" % (code, p.stderr.decode()[-200:]))
    elif code == 0:
        bad += op.ended(at)
        if call in DURABLE and how in ("EIO", "ENOSPC", "EDQUOT"):
            bad.append("said well although a %s failed" % call)
    elif not aborts and not p.stderr:
        bad.append("failed without a word")
    return bad + op.after(at)


def worker(args):
    op, pairs = args
    work, failed = tempfile.mkdtemp(prefix="ota-calls-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None), []
    at = os.path.join(work, "at")
    os.chmod(work, 0o755)
    try:
        for call, n, how in pairs:
            subprocess.run(["cp", "-a", op.base, at], check=True)
            what = "signal=SIGKILL" if how == "kill" else "error=" + how
            p = strace(op, at, "-o", "/dev/null", "-e", "trace=" + call, "-e", "inject=%s:%s:when=%d" % (call, what, n))
            bad = judge(op, at, call, how, p)
            if bad:
                failed.append((op.name, call, n, how, bad[:3]))
            shutil.rmtree(at)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return op.name, len(pairs), failed


def image(path, names, changed, files_more=0):
    F, D, S, H = T.REGTYPE, T.DIRTYPE, T.SYMTYPE, T.LNKTYPE
    files = [member("d%d" % k, D, mode=0o755) for k in range(2)]
    files += [member("d%d/f%d" % (n % 2, n), data=b"%d" % n * 700, mode=0o640, gid=n) for n in range(names)]
    files += [member("p%d" % n, data=random.Random(n).randbytes(40000) + changed * n) for n in range(files_more)]
    second = [member("d1/.wh.f1"), member("d1/new", data=changed * 3000), member("l", S, link="d1/new"), member("h", H, link="big"), member("e")]
    return Layout(path, [tar(*files, member("big", data=changed * 300000)), tar(*second)])


def store_ops(c):
    one, two = image(c.path("i1"), 5, b"1"), image(c.path("i2"), 5, b"2")
    trees = {}
    for name, layout in (("ref1", one), ("ref2", two)):
        kind, _, err = install(c.path(name), layout)
        c.check(kind == "", err)
        trees[layout.digest] = tree(rootfs(c.path(name), layout.digest))
    base = c.path("update")
    install(base, one)
    tool(base, "put", *two.files())
    both = c.path("collect")
    install(both, one)
    install(both, two)
    hurt = c.path("mend")
    subprocess.run(["cp", "-a", both, hurt], check=True)
    with open(os.path.join(rootfs(hurt, two.digest), "big"), "r+b") as f:
        f.write(b"x")
    kind, out, _ = tool(hurt, "scrub")
    c.check(out.count("objects/") == 1 and os.path.exists(os.path.join(rootfs(hurt, two.digest), "..", "damaged")), "scrub: " + out)
    tool(hurt, "put", *two.files())
    return [StoreOp("update", base, ["install", two.digest], trees, [two.digest]),
            StoreOp("mend", hurt, ["install", two.digest], trees, [two.digest]),
            StoreOp("collect", both, ["collect", two.digest], trees, [two.digest], [one.digest])]


def pack_ops(c):
    """From image 1 to image 2 by a patch and by chunks, out of a directory."""
    one, two = image(c.path("p1"), 5, b"1", 6), image(c.path("p1"), 5, b"2", 6)
    env = dict(os.environ, FLEETCTL_DIR=c.path("fleet"))
    for args in (["init", "--fleet", "test"],
                 ["publish", "dir:%s@%s" % (one.path, one.digest), "--name", "app", "--version", "1", "--codec", "lz4"],
                 ["publish", "dir:%s@%s" % (two.path, two.digest), "--name", "app", "--version", "2", "--codec", "lz4", "--from", "dir:%s@%s" % (one.path, one.digest)]):
        subprocess.run([os.path.join(BUILD, "bin", "fleetctl"), *args], env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    trees = {}
    for name, layout in (("pref1", one), ("pref2", two)):
        kind, _, err = install(c.path(name), layout)
        c.check(kind == "", err)
        trees[layout.digest] = tree(rootfs(c.path(name), layout.digest))
    base = c.path("packs")
    os.mkdir(base)
    tool(base, "put", *one.files()) # all blobs of both, the packs too
    release = lambda n: c.path("fleet", "releases", "app", "%d.json" % n)
    first = PackOp("", base, [release(1), "chunks", "lz4", "-", "--", "dir:" + one.path], trees, [])
    kind, err = first.run(base)
    c.check(kind == "" and tree(rootfs(base, one.digest)) == trees[one.digest], "by chunks: %s %s" % (kind, err))
    tool(base, "put", *one.files())
    return [PackOp("update by " + how, base, [release(2), how, "lz4", one.digest, "--", "dir:" + one.path], trees, [two.digest])
            for how in ("patch", "chunks")]


def state_ops(c):
    ops, base = [], c.path("state0")
    for name, args in (("trust 1", None), ("accept 1", None), ("confirm", None), ("accept 2", "accept"), ("refuse", "verdict"),
                       ("accept 3", None), ("confirm", "confirm"), ("rollback", "rollback"), ("trust 2", "trust"), ("accept 4", "accept after rollback")):
        if args:
            ops.append(StateOp(args, base, name.split()))
        following = c.path("state-" + name.replace(" ", "-") + str(len(ops)))
        if os.path.exists(base):
            subprocess.run(["cp", "-a", base, following], check=True)
        subprocess.run([STATE_TOOL, following, *name.split()], check=True, stdout=subprocess.DEVNULL)
        base = following
    return ops


def sample(pairs, share):
    """Of each (call, how) the first, the last and every so manieth."""
    groups, out = {}, []
    for p in pairs:
        groups.setdefault((p[0], p[2]), []).append(p)
    for g in groups.values():
        step = max(1, round(1 / share))
        out += [p for i, p in enumerate(g) if i in (0, len(g) - 1) or i % step == 0]
    return out


def main():
    if not shutil.which("strace"):
        skip("no strace")
    full = sys.argv[1:] == ["full"]
    with Case() as c:
        ops, jobs, total = store_ops(c) + pack_ops(c) + state_ops(c), [], 0
        for op in ops:
            subprocess.run(["cp", "-a", op.base, c.path("reference")], check=True)
            op.reference(c.path("reference"))
            shutil.rmtree(c.path("reference"))
            op.pairs = list(pairs_of(op, c.dir))
            total += len(op.pairs)
        for op in ops:
            chosen = op.pairs if full or total <= BUDGET else sample(op.pairs, BUDGET / total)
            kills, errors = [p for p in chosen if p[2] == "kill"], [p for p in chosen if p[2] != "kill"]
            print("%-22s %4d of %4d pairs: %d kills, %d errors" % (op.name, len(chosen), len(op.pairs), len(kills), len(errors)))
            jobs += [(op, chosen[k:k + 60]) for k in range(0, len(chosen), 60)]
        done, failed = 0, []
        with multiprocessing.Pool(2) as pool:
            for _, n, bad in pool.imap_unordered(worker, jobs):
                done += n
                failed += bad
        for f in sorted(failed, key=str)[:40]:
            print("failed: %s: %s %d %s: %s" % (*f[:4], "; ".join(f[4])))
        c.count += done
        c.failed += len(failed)
        print("%d of %d pairs (call, n) killed or failed: %d bad" % (done, total, len(failed)))


main()
