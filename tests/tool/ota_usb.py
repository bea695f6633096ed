"""Layouts on sticks; loop devices stand for them. Nothing is written to one, nothing stays mounted, a lying one is refused."""
from ota_chunks import *

DATA = random.Random(7).randbytes(6 << 20)
HEX = hashlib.sha256(DATA).hexdigest()
MAKE = {"ext4": ["mkfs.ext4", "-q", "-F", "-L"], "vfat": ["mkfs.vfat", "-n"], "exfat": ["mkfs.exfat", "-L"], "minix": None,
        "vfat -F 12": ["mkfs.vfat", "-F", "12", "-n"], "vfat -F 32": ["mkfs.vfat", "-F", "32", "-n"]}


def run(*args):
    return subprocess.run(list(map(str, args)), check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode().strip()


def can_mount(kind):
    with open("/proc/filesystems") as f:
        return kind in f.read().split()


class Stick:
    """An image file with a file system, and a loop device that a directory of devices names."""
    all = []

    def __init__(self, c, name, kind="ext4", label="LIMPET", fill=True):
        self.c, self.file, self.directory, self.at = c, c.path(name + ".img"), c.path(name + "-dev"), c.path("mnt")
        os.makedirs(self.directory)
        os.makedirs(self.at, exist_ok=True)
        with open(self.file, "wb") as f:
            f.truncate(24 << 20)
        if MAKE[kind]:
            run(*MAKE[kind], label, self.file)
        else:
            run("mkfs." + kind, self.file)
        self.loop = None
        self.plug()
        Stick.all.append(self)
        if fill:
            self.change(self.fill)

    def fill(self, at):
        os.makedirs(os.path.join(at, "img/blobs/sha256"))
        with open(os.path.join(at, "img/blobs/sha256", HEX), "wb") as f:
            f.write(DATA)

    def change(self, how):
        run("mount", self.loop, self.at)
        try:
            how(self.at)
        finally:
            run("umount", self.at)

    def plug(self):
        self.loop = run("losetup", "-f", "--show", self.file)
        link = os.path.join(self.directory, "stick")
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink(self.loop, link)

    def unplug(self):
        if self.loop:
            subprocess.run(["losetup", "-d", self.loop], stderr=subprocess.DEVNULL)
        self.loop = None

    def sum(self):
        run("sync", self.file)
        with open(self.file, "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()


def fetch(c, name, stick, source, env=None):
    store = c.path("s-" + name)
    kind, out, err = tool(store, "fetch", "sha256:" + HEX, len(DATA), "BLOB", "--", source,
                          env=dict({"USB_FOLDER": stick.directory, "DEADLINE_MS": "120000"}, **(env or {})))
    return kind, err, os.path.exists(os.path.join(store, "blobs", HEX)), store


def try_good(c):
    s = Stick(c, "good")
    before = s.sum()
    for source in ("usb:LIMPET/img", "usb:limpet/img/", "usb:*/img"):
        kind, err, held, store = fetch(c, "good", s, source)
        c.check(kind == "" and held, "%s: %s %s" % (source, kind, err))
        shutil.rmtree(store)
    spans = some_spans(len(DATA), 3)
    kind, got, fetched, err = chunks(c.path("s-chunks"), "sha256:" + HEX, len(DATA), chunk_list(c.path("list"), DATA, spans), "usb:LIMPET/img",
                                     env={"USB_FOLDER": s.directory})
    c.check(kind == "" and got == wanted(DATA, spans), "chunks: %s %s" % (kind, err))
    c.check(s.sum() == before, "something was written to the stick")
    with open("/proc/self/mountinfo") as f:
        c.check(s.loop not in f.read(), "the stick is still mounted")
    s.unplug()
    c.check(s.file not in run("losetup", "-a"), "the stick is still in use")
    for source, directory in (("usb:OTHER/img", s), ("usb:LIMPET/other", s)):
        s.plug()
        kind, err, held, _ = fetch(c, "not", directory, source)
        c.check(kind == "io" and not held, "%s: %s %s" % (source, kind, err))
        s.unplug()
    start = time.time()
    kind, err, held, _ = fetch(c, "none", s, "usb:LIMPET/img")
    c.check(kind == "io" and not held and time.time() - start < 60, "no stick: %s %s" % (kind, err))


def try_shared(c):
    """Somebody has mounted the stick for writing: it is read all the same."""
    s = Stick(c, "shared")
    run("mount", s.loop, s.at)
    try:
        kind, err, held, _ = fetch(c, "shared", s, "usb:LIMPET/img")
        c.check(kind == "" and held, "shared: %s %s" % (kind, err))
        with open(os.path.join(s.at, "still"), "w") as f:
            f.write("writable")
    finally:
        run("umount", s.at)


def try_journal(c):
    """A stick that was pulled out while it was written to: it is read as it is, its journal is not played back."""
    s = Stick(c, "used")
    run("mount", s.loop, s.at)
    try:
        with open(os.path.join(s.at, "more"), "wb") as f:
            f.write(DATA[:65536])
            f.flush()
            os.fsync(f.fileno())
        shutil.copy(s.file, c.path("pulled.img"))
    finally:
        run("umount", s.at)
    s.unplug()
    shutil.copy(c.path("pulled.img"), s.file)
    c.check("needs_recovery" in run("dumpe2fs", "-h", s.file), "the test's stick needs no recovery")
    s.plug()
    before = s.sum()
    kind, err, held, _ = fetch(c, "used", s, "usb:*/img")
    c.check(kind == "" and held and s.sum() == before, "%s %s, written: %s" % (kind, err, s.sum() != before))


def try_removed(c):
    """Carried away in the middle: the job ends, the next one goes on where it was."""
    s = Stick(c, "cut")
    s.unplug()
    shutil.copy(s.file, c.path("whole.img"))
    with open(s.file, "rb") as f:
        at = f.read().find(DATA[3 << 20:(3 << 20) + 4096])
    c.check(at > 0, "the blob is not found in the image")
    s.plug() # at its full size; what is cut off now cannot be read
    os.truncate(s.file, at // 4096 * 4096)
    kind, err, held, store = fetch(c, "cut", s, "usb:LIMPET/img")
    partial = os.path.join(store, "partial", HEX)
    had = os.path.getsize(partial) if os.path.exists(partial) else 0
    c.check(kind == "io" and not held, "cut: %s %s" % (kind, err))
    s.unplug()
    shutil.copy(c.path("whole.img"), s.file)
    s.plug()
    kind, err, held, _ = fetch(c, "cut", s, "usb:LIMPET/img")
    c.check(kind == "" and held, "again: %s %s" % (kind, err))
    return had


def try_bad(c):
    s = Stick(c, "bad", fill=False)
    secret = c.path("secret")
    with open(secret, "wb") as f:
        f.write(DATA)

    def link(at):
        os.makedirs(os.path.join(at, "img/blobs/sha256"))
        os.symlink(secret, os.path.join(at, "img/blobs/sha256", HEX))
        os.makedirs(os.path.join(at, "up/blobs"))
        os.symlink(c.dir, os.path.join(at, "up/blobs/sha256"))
        os.makedirs(os.path.join(at, "dev/blobs/sha256"))
        os.mknod(os.path.join(at, "dev/blobs/sha256", HEX), 0o600 | stat.S_IFIFO)
        os.makedirs(os.path.join(at, "short/blobs/sha256"))
        with open(os.path.join(at, "short/blobs/sha256", HEX), "wb") as f:
            f.write(DATA[:-1])
    s.change(link)
    os.rename(secret, c.path(HEX))
    for path, want in (("img", "io"), ("up", "io"), ("../../" + c.dir, "io"), ("dev", "source"), ("short", "source")):
        kind, err, held, _ = fetch(c, "bad", s, "usb:LIMPET/" + path)
        c.check(kind == want and not held, "%s: %s %s" % (path, kind, err))


def try_kinds(c):
    other = Stick(c, "minix", "minix", fill=False)
    kind, err, held, _ = fetch(c, "minix", other, "usb:*/img")
    c.check(kind == "io" and "no file system that a stick may have" in err, "minix: %s %s" % (kind, err))
    for make in ("vfat", "vfat -F 12", "vfat -F 32", "exfat"):
        name = make.split()[0]
        if not can_mount(name):
            print("part skipped: this kernel has no " + name)
        s = Stick(c, make.replace(" ", ""), make, label="STICK-1", fill=can_mount(name))
        kind, err, held, _ = fetch(c, name, s, "usb:STICK-1/img")
        if can_mount(name):
            c.check(kind == "" and held, "%s: %s %s" % (name, kind, err))
        else: # found by its label, and the kernel was asked for the right one
            c.check(kind == "io" and "mount as " + name in err, "%s: %s %s" % (name, kind, err))
        kind, err, held, _ = fetch(c, name + "-other", s, "usb:STICK-2/img")
        c.check(kind == "io" and "mount" not in err, "%s, another label: %s %s" % (name, kind, err))


def main():
    with Case() as c:
        try:
            for part in (try_good, try_shared, try_journal, try_bad, try_kinds):
                part(c)
            c.check(try_removed(c) > 0, "nothing came before the stick was carried away")
        finally:
            if os.path.ismount(c.path("mnt")):
                subprocess.run(["umount", c.path("mnt")])
            for s in Stick.all:
                s.unplug()


main()
