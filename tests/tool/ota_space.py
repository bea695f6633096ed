"""A full disk: the refusal names need and have, what is installed stays whole, and more links than a file system allows."""
from ota_image import *


class Disk:
    """A small loop-mounted ext4; unmounted and gone in any case."""

    def __init__(self, c, name, mib, inodes):
        self.image, self.path = c.path(name + ".img"), c.path(name)
        os.mkdir(self.path)
        with open(self.image, "wb") as f:
            f.truncate(mib << 20)
        if subprocess.run(["mkfs.ext4", "-q", "-F", "-N", str(inodes), "-m", "0", self.image], stderr=subprocess.DEVNULL).returncode:
            skip("mkfs.ext4 fails")
        if subprocess.run(["mount", "-o", "loop", self.image, self.path], stderr=subprocess.DEVNULL).returncode:
            skip("no loop mounts here")

    def __enter__(self):
        return os.path.join(self.path, "store")

    def __exit__(self, *exc):
        subprocess.run(["umount", self.path], check=True)


def rnd(n):
    return os.urandom(n)


def try_bytes(c):
    with Disk(c, "bytes", 24, 600) as store:
        old = Layout(c.path("old"), [tar(*[member("f%d" % n, data=rnd(20000)) for n in range(50)])])
        big = Layout(c.path("big"), [tar(*[member("g%d" % n, data=rnd(1 << 20)) for n in range(9)])])
        kind, out, err = install(store, old, 1 << 20, 60)
        c.check(kind == "", "old: " + err)
        want = tree(rootfs(store, old.digest))
        for limits in ((30 << 20, 20), ()): # told before the first byte; found out on the way
            kind, out, err = install(store, big, *limits)
            c.check(kind == "no-space" and "needs" in err and "there are" in err, "big: %s %s" % (kind, err))
            c.check(os.listdir(os.path.join(store, "tmp")) == [] and not os.path.exists(rootfs(store, big.digest)), "left something")
            c.check(tree(rootfs(store, old.digest)) == want, "the old image changed")
        kind, out, err = tool(store, "collect", old.digest)
        kind, out, err = install(store, Layout(c.path("next"), [tar(member("n", data=rnd(100000)))]), 100000, 1)
        c.check(kind == "", "after collect: " + err)
        c.check(tree(rootfs(store, old.digest)) == want and check_store(store) == [], "the old image changed")


def try_inodes(c):
    with Disk(c, "inodes", 16, 256) as store:
        old = Layout(c.path("iold"), [tar(*[member("f%d" % n, data=b"%d" % n) for n in range(20)])])
        many = Layout(c.path("many"), [tar(*[member("d%d" % n, T.DIRTYPE) for n in range(400)])])
        kind, out, err = install(store, old)
        c.check(kind == "", "old: " + err)
        want = tree(rootfs(store, old.digest))
        for limits in ((100000, 400), ()):
            kind, out, err = install(store, many, *limits)
            c.check(kind == "no-space" and "inodes" in err, "many: %s %s" % (kind, err))
            c.check(tree(rootfs(store, old.digest)) == want, "the old image changed")
    with Disk(c, "tiny", 8, 64) as store:
        kind, out, err = install(store, Layout(c.path("t"), [tar(member("x", data=b"x"))]))
        c.check(kind == "no-space" and "inodes" in err, "64 inodes: %s %s" % (kind, err))


def try_links(c):
    """ext4 allows 65000 links of one file; the next one is a copy."""
    with Disk(c, "links", 64, 2000) as store:
        data = b"the same" * 100
        one = Layout(c.path("one"), [tar(member("a", data=data))])
        kind, out, err = install(store, one)
        c.check(kind == "", err)
        first = os.path.join(rootfs(store, one.digest), "a")
        os.mkdir(os.path.join(store, "..", "x"))
        for n in range(70000):
            try:
                os.link(first, os.path.join(store, "..", "x", str(n)))
            except OSError:
                break
        c.check(os.lstat(first).st_nlink == 65000, "links: %d" % os.lstat(first).st_nlink)
        two = Layout(c.path("two"), [tar(member("b", data=data), member("c", T.LNKTYPE, link="b"))])
        kind, out, err = install(store, two)
        c.check(kind == "", err)
        t = tree(rootfs(store, two.digest))
        c.check(t["b"] == t["c"] == tree(rootfs(store, one.digest))["a"], "a copy with other metadata")
        c.check(os.lstat(os.path.join(rootfs(store, two.digest), "b")).st_nlink < 100, "not a copy")


def main():
    with Case() as c:
        try_bytes(c)
        try_inodes(c)
        try_links(c)


main()
