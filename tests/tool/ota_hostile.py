"""Hostile images: nothing outside the store changes, nothing with privileges gets in, each refusal has its reason."""
import itertools
import random

from ota_image import *

F, D, S, H = T.REGTYPE, T.DIRTYPE, T.SYMTYPE, T.LNKTYPE
good = [member("ok", data=b"control")]


def refused_images(canary):
    up = "../" * 20
    name255, deep = "w" * 256, "d/" * 70
    yield "dotdot", [tar(member("../evil", data=b"x"))], "invalid", ".."
    yield "dotdot inside", [tar(member("a/../../evil", data=b"x"))], "invalid", ".."
    yield "absolute", [tar(raw("/" + canary.strip("/") + "/evil", data=b"x"))], "invalid", "absolute"
    yield "dot inside", [tar(raw("a/./b", data=b"x"))], "invalid", "path"
    yield "empty part", [tar(raw("a//b", data=b"x"))], "invalid", "empty part"
    yield "empty name", [tar(raw("", data=b"x"))], "invalid", "name"
    yield "long part", [tar(member(name255, data=b"x"))], "invalid", "255"
    yield "long path", [tar(member("l/" * 600 + "x", data=b"x"))], "invalid", ""
    yield "deep", [tar(member(deep + "x", data=b"x"))], "invalid", "deep"
    yield "through link", [tar(member("l", S, link=canary), member("l/evil", data=b"x"))], "invalid", "link"
    yield "through link up", [tar(member("l", S, link=up + canary), member("l/evil", data=b"x"))], "invalid", "link"
    yield "dir through link", [tar(member("l", S, link=canary), member("l/evil", D))], "invalid", "link"
    yield "link through link", [tar(member("l", S, link=canary), member("l/evil", S, link="x"))], "invalid", "link"
    yield "through link of a lower layer", [tar(member("l", S, link=canary)), tar(member("l/evil", data=b"x"))], "invalid", "link"
    yield "whiteout through link", [tar(member("l", S, link=canary)), tar(member("l/.wh.file"))], "invalid", "link"
    yield "opaque through link", [tar(member("l", S, link=canary)), tar(member("l/.wh..wh..opq"))], "invalid", "link"
    yield "hardlink out", [tar(member("h", H, link=up + canary + "/file"))], "invalid", ".."
    yield "hardlink absolute", [tar(member("h", H, link=canary + "/file"))], "invalid", "absolute"
    yield "hardlink through link", [tar(member("l", S, link=canary), member("h", H, link="l/file"))], "invalid", "link"
    yield "hardlink to nothing", [tar(member("h", H, link="nothing"))], "invalid", "does not have"
    yield "hardlink to folder", [tar(member("d", D), member("h", H, link="d"))], "invalid", "directory"
    yield "hardlink to itself", [tar(member("h", data=b"x"), member("h", H, link="h"))], "invalid", "itself"
    yield "root as file", [tar(raw("./", data=b"x"))], "invalid", ""
    yield "below a file", [tar(member("f", data=b"x"), member("f/x", data=b"x"))], "invalid", "in the way"
    yield "char device", [tar(member("etc/zero", T.CHRTYPE))], "invalid", "etc/zero: a device node"
    yield "block device", [tar(member("etc/sda", T.BLKTYPE))], "invalid", "etc/sda: a device node"
    yield "fifo", [tar(member("etc/fifo", T.FIFOTYPE))], "invalid", "etc/fifo: a FIFO"
    yield "unknown type", [tar(raw("x", b"Z"))], "unsupported", "0x5a"
    yield "sparse", [tar(raw("x", b"S", b"data"))], "unsupported", "sparse"
    for n, wh in enumerate((".wh.", ".wh..", ".wh...", ".wh..wh.x", ".wh." + ".wh.a")):
        yield "whiteout %s" % wh, [tar(member("keep", data=b"k")), tar(member(wh))], "invalid", "whiteout"
    yield "file named like a whiteout's folder", [tar(member(".wh.d/f", data=b"x"))], "invalid", "whiteout"
    yield "long whiteout", [tar(member(".wh." + "w" * 256))], "invalid", "255"
    yield "pax says less", [tar(raw("p", b"x", b"10 size=1\n"), raw("f", data=b"x" * 600))], "invalid", ""
    yield "negative size", [tar(raw("f", size_field=b"\xff" * 12))], "invalid", "size"
    yield "huge size", [tar(raw("f", size_field=b"\x80" + b"\x00" * 3 + b"\x7f" * 8))], "invalid", ""
    yield "cut off", [raw("f", data=b"x" * 2000)[:1500]], "invalid", "cut off"
    yield "ends after an extension header", [tar(raw("p", b"x", b"10 path=f\n"))[:1024]], "invalid", "cut off"
    yield "behind the end", [tar(raw("f", data=b"x")) + raw("g", data=b"x")], "invalid", "after the end"
    yield "owner -1", [tar(member("f", uid=0xffffffff, data=b"x"))], "invalid", "owner"


def try_refused(c, store, canary):
    for n, (name, layers, kind, message) in enumerate(refused_images(canary)):
        image = Layout(c.path("r%d" % n), layers)
        got, out, err = install(store, image)
        c.check(got == kind and message in err, "%s: wanted %s (%s), got %s: %s" % (name, kind, message, got, err))
        c.check(not os.path.exists(rootfs(store, image.digest)), name + ": has its name")
        c.check(os.listdir(os.path.join(store, "tmp")) == [], name + ": left something in tmp")


def try_stripped(c, store):
    image = Layout(c.path("strip"), [tar(
        member("su", data=b"su", mode=0o6755), member("d", D, mode=0o7777), member("sticky", data=b"s", mode=0o1644),
        member("cap", data=b"c", pax={"SCHILY.xattr.security.capability": "\x01\x02", "SCHILY.xattr.trusted.overlay.opaque": "y"}),
        member("dev", D), member("dev/null", T.CHRTYPE), member("dev/log", T.FIFOTYPE), member(".wh..wh.plnk", D),
        member("abs", S, link="/etc/shadow"))])
    kind, out, err = install(store, image)
    c.check(kind == "", err)
    for line in ("su: set-uid", "d: set-uid", "cap: extended attributes", "dev/null: left out", "dev/log: left out", ".wh..wh.plnk/: left out"):
        c.check(line in out, "not told: " + line)
    t = tree(rootfs(store, image.digest))
    c.check(t["su"].startswith("100755 ") and t["d"].startswith("41777 ") and t["sticky"].startswith("100644 "), t)
    c.check("dev/null" not in t and ".wh..wh.plnk" not in t and t["abs"] == "link 0:0 /etc/shadow", t)
    c.check(os.listxattr(os.path.join(rootfs(store, image.digest), "cap")) == [], "xattrs kept")


def try_privileges(c, store):
    """The same refused, by its path, where the manifest asks for that."""
    cases = (("su", member("su", data=b"su", mode=0o4755)), ("sg", member("sg", D, mode=0o2755)), ("dev/null", member("dev/null", T.CHRTYPE)),
             ("cap", member("cap", data=b"c", pax={"SCHILY.xattr.security.capability": "\x01\x02"})))
    for n, (path, entry) in enumerate(cases):
        image = Layout(c.path("priv%d" % n), [tar(member("dev", D), entry)])
        kind, out, err = install(store, image, env={"REFUSE": "1"})
        c.check(kind == "invalid" and path + ":" in err and not os.path.exists(rootfs(store, image.digest)), "%s: %s %s" % (path, kind, err))
    image = Layout(c.path("priv"), [tar(member("dev", D), member("plain", data=b"p", mode=0o755))])
    kind, out, err = install(store, image, env={"REFUSE": "1"})
    c.check(kind == "", "control: " + err)


def try_duplicates(c, store):
    """As in tar, the last one wins; types may change."""
    image = Layout(c.path("dup"), [tar(
        member("a", data=b"1"), member("a", data=b"22"), member("b", D), member("b/x", data=b"x"), member("b", data=b"file"),
        member("e", data=b"f"), member("e", D), member("e/y", data=b"y"), member("l", S, link="a"), member("l", data=b"no link"),
        member("k", data=b"k"), member("k", S, link="a"), member("m", D, mode=0o700), member("m/z", data=b"z"), member("m", D, mode=0o755))])
    kind, out, err = install(store, image)
    c.check(kind == "", err)
    root = rootfs(store, image.digest)
    text = lambda n: open(os.path.join(root, n), "rb").read()
    c.check(kind == "" and text("a") == b"22" and text("b") == b"file" and text("e/y") == b"y" and text("l") == b"no link"
            and os.readlink(os.path.join(root, "k")) == "a" and text("m/z") == b"z", "duplicates")
    c.check(kind == "" and os.lstat(os.path.join(root, "m")).st_mode & 0o777 == 0o755, "last mode")


def try_bombs(c, store):
    before = sum(os.lstat(os.path.join(b, f)).st_size for b, _, fs in os.walk(store) for f in fs)
    bomb = Layout(c.path("bomb"), [tar(member("zeros", data=b"\0" * (64 << 20)))])
    kind, out, err = install(store, bomb, 1 << 20, 10)
    c.check(kind == "invalid" and "signed" in err, "gzip bomb: %s %s" % (kind, err))
    spread = Layout(c.path("spread"), [tar(*[member("z%d" % n, data=b"\0" * (1 << 20)) for n in range(20)])])
    kind, out, err = install(store, spread, 10 << 20, 100)
    c.check(kind == "invalid" and "signed" in err, "spread bomb: %s %s" % (kind, err))
    inodes = Layout(c.path("inodes"), [tar(*[raw("f%d" % n) for n in range(20000)])])
    kind, out, err = install(store, inodes, 1 << 20, 1000)
    c.check(kind == "invalid" and "1000 entries" in err, "inode bomb: %s %s" % (kind, err))
    names = Layout(c.path("names"), [tar(*[member("x%d" % n, pax={"comment": "c" * 200000}) for n in range(40)])])
    kind, out, err = install(store, names, 1 << 10, 40)
    c.check(kind == "invalid" and "unpacks to more" in err, "header bomb: %s %s" % (kind, err))
    trailing = Layout(c.path("trailing"), [tar()], packed=[gzip.compress(tar(*good)) + b"garbage"])
    kind, out, err = install(store, trailing)
    c.check(kind == "invalid" and "garbage" in err, "garbage behind gzip: %s %s" % (kind, err))
    wrong = Layout(c.path("wrong"), [tar(member("not seen before", data=b"x"))], diff_ids=["sha256:" + "0" * 64])
    kind, out, err = install(store, wrong)
    c.check(kind == "integrity" and "diff_id" in err, "wrong diff_id: %s %s" % (kind, err))
    exact = Layout(c.path("exact"), [tar(member("a", data=b"12345"), member("b", D))])
    kind, out, err = install(store, exact, 5, 2)
    c.check(kind == "", "exactly what was signed: " + err)
    tool(store, "collect")
    after = sum(os.lstat(os.path.join(b, f)).st_size for b, _, fs in os.walk(store) for f in fs)
    c.check(after <= before + 100000, "disk is not back: %d -> %d" % (before, after))


def try_orders(c, store, canary):
    """Every order of (file, folder, link out, hard link) over nested names, up to two entries; some of three and four."""
    names, kinds = ("a", "a/b", "a/b/c"), (F, D, S, H)
    targets = {S: canary, H: "a"}
    entries = [(n, k) for n in names for k in kinds]
    random.seed(7)
    cases = [x for r in (1, 2) for x in itertools.product(entries, repeat=r)]
    cases += [tuple(random.choice(entries) for _ in range(random.choice((3, 4)))) for _ in range(150)]
    done = 0
    for n, case in enumerate(cases):
        members = [member(p, k, data=b"evil" if k == F else b"", mode=0o777, link=targets.get(k, "")) for p, k in case]
        layers = [tar(*members)] if n % 2 else [tar(*members[:1]), tar(*members[1:])]
        image = Layout(c.path("o"), layers)
        kind, out, err = install(store, image)
        c.check(kind in ("", "invalid"), "%s: %s %s" % (case, kind, err))
        done += kind == ""
        shutil.rmtree(c.path("o"))
        if n % 50 == 49:
            tool(store, "collect")
    c.check(10 < done < len(cases), "%d of %d orders were installed" % (done, len(cases)))
    print("orders tried: %d, installed: %d" % (len(cases), done))


def main():
    with Case() as c:
        store, canary = c.path("store"), c.path("canary")
        os.mkdir(canary)
        with open(os.path.join(canary, "file"), "w") as f:
            f.write("canary")
        before = tree(canary), os.listdir(c.dir)
        image = Layout(c.path("good"), [tar(*good)])
        kind, out, err = install(store, image)
        c.check(kind == "" and open(os.path.join(rootfs(store, image.digest), "ok")).read() == "control", "control: " + err)
        try_refused(c, store, canary)
        try_stripped(c, store)
        try_privileges(c, store)
        try_duplicates(c, store)
        try_bombs(c, store)
        try_orders(c, store, canary)
        c.check(tree(canary) == before[0], "the canary changed")
        c.check(sorted(n for n in os.listdir(c.dir) if "evil" in n) == [], "something was written outside")
        for complaint in check_store(store):
            c.check(False, complaint)


main()
