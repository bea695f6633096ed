"""Power goes while the agent updates, rolls back, collects and rotates its trust: see tests/sys/ota_power.sh.
  record WORK FOLDER   mounts a logged copy of WORK/base on FOLDER until SIGTERM; serves WORK/tell, where core tells its points
  replay WORK          each prefix of the log, then RANDOM random subsets: mount, start as the agent does, check
"""
import multiprocessing
import signal
import socket

from blklog import *
from ota_image import *

FS = os.environ.get("FS", "ext4")
RANDOM = int(os.environ.get("OTA_POWER_RANDOM", "1000"))
STEP = int(os.environ.get("OTA_POWER_STEP", "1")) # of the prefixes: every one, every second ...
SEED = int(os.environ.get("OTA_POWER_SEED", "7"))
CORE = os.path.join(BUILD, "bin", "agentd-core")


class Digests:
    """sha256 of files. The same bytes come again and again: they are compared with those that were seen, and not hashed anew."""

    def __init__(self):
        self.seen = {}

    def __call__(self, path):
        with open(path, "rb") as f:
            data = f.read()
        alike = self.seen.setdefault((len(data), data[:64]), [])
        for other, digest in alike:
            if other == data:
                return digest
        digest = hashlib.sha256(data).hexdigest()
        if len(alike) < 4:
            alike.append((data, digest))
        return digest


def trees(state, digest=sha256):
    images = os.path.join(state, "store", "images")
    return {n: tree(os.path.join(images, n, "rootfs"), digest) for n in os.listdir(images)}


def record(work, directory):
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    shutil.copyfile(os.path.join(work, "base"), os.path.join(work, "disk"))
    known = {}
    with open(os.path.join(work, "qsd.log"), "wb") as output, open(os.path.join(work, "points"), "w") as points:
        rec = Recorder(os.path.join(work, "disk"), os.path.join(work, "log"), os.path.join(work, "export"), output)
        try:
            with Mount(rec.export, directory, FS), socket.socket(socket.AF_UNIX) as s:
                s.bind(os.path.join(work, "tell"))
                s.listen()
                s.settimeout(0.1)
                known.update(trees(directory))
                while not ended:
                    try:
                        peer, _ = s.accept()
                    except (TimeoutError, InterruptedError):
                        continue
                    with peer:
                        words = peer.makefile().readline().split()
                        points.write("%d %s\n" % (rec.entries(), " ".join(words)))
                        points.flush()
                        if words[0] == "installed": # core waits: the image is whole now
                            known.update(trees(directory))
                        peer.sendall(b".")
            with open(os.path.join(work, "trees"), "w") as f:
                json.dump(known, f)
        finally:
            rec.close()


def read_points(work):
    with open(os.path.join(work, "points")) as f:
        return [(int(a), b, int(c), int(d)) for a, b, c, d in (line.split() for line in f)]


def promised(points, cut):
    """What was told as durable by then."""
    p = {"rev": 0, "seen": 0, "trust": 0, "good": 0, "back": 0, "verdict": 0}
    for at, name, rev, trust in points:
        if at > cut:
            break
        p["trust"] = max(p["trust"], trust if name == "trust-saved" else 0)
        if name == "accept-after-ledger": # its rev is used up: no lower one may come again
            p["seen"], p["back"] = rev, 0
        elif name == "accept-after-document":
            p["rev"] = rev
        elif name == "confirm-after-good":
            p["good"] = rev
        elif name == "verdict-saved":
            p["verdict"] = rev
        elif name == "rollback-saved":
            p["back"] = rev
    return p


def judge(state, p, known, digest):
    """Start as after a boot, and compare with what was promised. Returns complaints."""
    run = subprocess.run([CORE, "--check", state], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if run.returncode == 1:
        return ["does not start: " + run.stderr.decode().strip()]
    s = json.loads(run.stdout)
    bad = ["%s: %s" % (b["name"], b["why"]) for b in s["bad"]]
    rev = s["revs"].get("device", 0)
    if not s["bootable"]:
        bad.append("no complete bootable state: runs %d, %s" % (s["run"], s["apps"]))
    for what, have, least in (("rev", rev, p["rev"]), ("used up rev", rev, p["seen"] - 1), ("trust", s["trust"], p["trust"]),
                              ("good", s["good"], p["good"])):
        if have < least:
            bad.append("lost: %s is %d, promised was %d" % (what, have, least))
    if s["candidate"] == p["verdict"] and s["verdict"] == "none":
        bad.append("lost: the verdict of rev %d" % p["verdict"])
    if p["back"] and rev == p["back"] and not s["follow_previous"]:
        bad.append("lost: the operator's rollback of rev %d" % rev)
    store = os.path.join(state, "store")
    if os.listdir(os.path.join(store, "tmp")):
        bad.append("tmp/ is not empty")
    bad += check_store(store, digest)
    bad += ["image %s is another tree" % n for n, t in trees(state, digest).items() if known.get(n) != t]
    return bad


def replay_some(args):
    """One worker: its cuts in rising order. seeds: None for a prefix, else of a random subset."""
    work, name, cuts = args
    base = "/dev/shm" if os.statvfs("/dev/shm").f_bavail * os.statvfs("/dev/shm").f_frsize > 300 << 20 else work
    own = tempfile.mkdtemp(prefix="ota-power-", dir=base)
    mnt = os.path.join(own, "mnt")
    os.mkdir(mnt)
    points, failed, digest = read_points(work), [], Digests()
    with open(os.path.join(work, "trees")) as f:
        known = json.load(f)
    try:
        r = Replay(os.path.join(work, "base"), os.path.join(work, "log"), own)
        for cut, seed in cuts:
            image = r.prefix(cut) if seed is None else r.some(cut, random.Random(seed))
            try:
                with Mount(image, mnt, FS) as at:
                    complaints = judge(at, promised(points, cut), known, digest)
            except OSError as e:
                complaints = ["cannot be mounted: %s" % e]
            if complaints:
                failed.append((cut, seed, complaints[:3]))
    finally:
        shutil.rmtree(own, ignore_errors=True)
    return name, len(cuts), failed


def replay(work):
    entries, points = read_log(os.path.join(work, "log")), read_points(work)
    start = time.time()
    prefixes = [(0, None)] + [(n + 1, None) for n, e in enumerate(entries) if e.size] # a flush alone changes nothing
    prefixes = prefixes[::STEP]
    rnd = random.Random(SEED)
    some = sorted((rnd.randrange(1, len(entries) + 1), SEED * 1000003 + n) for n in range(RANDOM))
    print("%d writes and flushes, %d points told: %s" % (len(entries), len(points), " ".join(sorted({p[1] for p in points}))))
    half = len(some) // 2
    jobs = [(work, "prefix", prefixes[:len(prefixes) // 2]), (work, "prefix", prefixes[len(prefixes) // 2:]),
            (work, "random", some[:half]), (work, "random", some[half:])]
    failed, count = [], {}
    with multiprocessing.Pool(2, own_mounts) as pool:
        for name, n, bad in pool.imap_unordered(replay_some, jobs):
            count[name] = count.get(name, 0) + n
            failed += bad
    for cut, seed, complaints in sorted(failed, key=str)[:10]:
        print("failed: cut after %d of %d (%s): %s" % (cut, len(entries), "prefix" if seed is None else "seed %d" % seed,
                                                       "; ".join(complaints)))
    print("power went at %d points (%d prefixes, %d random subsets of what was not flushed) in %d s: %d bad" % (
        sum(count.values()), count["prefix"], count["random"], time.time() - start, len(failed)))
    wanted = {"accept-after-ledger", "accept-after-document", "installed", "confirm-after-good", "verdict-saved", "collected",
              "rollback-saved", "trust-saved"}
    lacks = wanted - {p[1] for p in points}
    if lacks:
        print("failed: never happened: %s" % lacks)
    return 1 if failed or lacks else 0


def main():
    if sys.argv[1] == "record":
        record(sys.argv[2], sys.argv[3])
    else:
        sys.exit(replay(sys.argv[2]))


main()
