"""Odd but real images. Each is published with packs and without, comes to a device by its layers and by chunks, and is unpacked by umoci: the
trees agree, or publish and the device refuse the image for one reason. What umoci makes of an image that ours refuse is not asked."""
import base64
import concurrent.futures
import random
import resource
import threading

from ota_image import *

F, D, S, H = T.REGTYPE, T.DIRTYPE, T.SYMTYPE, T.LNKTYPE
GNU = T.GNU_FORMAT
FLEETCTL = os.path.join(BUILD, "bin", "fleetctl")
PACK_TOOL = os.path.join(BUILD, "bin", "pack-tool")
WAY = "a link or file is in the way"
ABSENT = "a hard link to what the image does not have"
CPU_SECONDS = 10


def f(path, data=b"data", **kw):
    return member(path, data=data, **kw)


def d(path, **kw):
    return member(path, D, mode=kw.pop("mode", 0o755), **kw)


def link(path, to, **kw):
    return member(path, S, link=to, **kw)


def hard(path, to, **kw):
    return member(path, H, link=to, **kw)


def wh(path):
    base, _, last = path.rpartition("/")
    return member((base + "/" if base else "") + ".wh." + last)


def opaque(path):
    return member((path + "/" if path else "") + ".wh..wh..opq")


def long_path(size):
    """A path of exactly so many bytes."""
    out = "/".join("p" * 200 for _ in range(size // 201))
    return out + "/" + "q" * (size - len(out) - 1)


BASE = tar(d("a"), f("a/old", b"old"), f("a/keep", b"keep"), d("a/sub"), f("a/sub/x", b"x"), f("file", b"file"), link("ln", "a"))

# name: (layers, None or the reason why all of ours refuse it)
ODD = {
    # ---- without content
    "only folders": ([tar(d("a"), d("a/b", mode=0o700))], None),
    "only empty files": ([tar(f("a", b""), f("b/c", b"", mode=0o600))], None),
    "only links": ([tar(link("a", "b"), link("b", "/nowhere"))], None),
    "an empty layer": ([tar(f("a")), tar(), tar(f("b"))], None),
    "only an empty layer": ([tar()], None),
    "a layer of nothing but zeros, shorter than two blocks": ([tar(f("a")), b"\0" * 512], None),
    "no layers": ([], "empty"),
    # ---- deletions
    "whiteout": ([BASE, tar(wh("a/old"), wh("file"))], None),
    "whiteout of what is not there": ([BASE, tar(wh("a/never"), wh("no/such"))], None),
    "whiteout of a folder": ([BASE, tar(wh("a"))], None),
    "whiteout of a link": ([BASE, tar(wh("ln"))], None),
    "whiteout and new again": ([BASE, tar(wh("file"), f("file", b"new"))], None),
    "new and whiteout after it": ([BASE, tar(f("file", b"new"), wh("file"))], None),
    "whiteout in the lowest layer": ([tar(f("a"), wh("b"))], None),
    "whiteout through a link of a lower layer": ([tar(d("usr"), d("usr/lib"), f("usr/lib/old"), link("lib", "usr/lib")), tar(wh("lib/old"))], WAY),
    "whiteout below a file": ([BASE, tar(wh("file/x"))], WAY),
    "whiteout far below a file": ([BASE, tar(wh("file/x/y/z"))], WAY),
    "opaque below a file": ([BASE, tar(opaque("file/x/y"))], WAY),
    "a hard link to far below a file": ([BASE, tar(hard("h", "file/x/y"))], WAY),
    "whiteout below what the layer makes a folder of": ([BASE, tar(d("ln"), wh("ln/old"))], WAY),
    "whiteout below what the layer makes a file of": ([BASE, tar(wh("a/old"), f("a", b"a file"))], None),
    "opaque, new entries before": ([BASE, tar(f("a/new", b"n"), d("a/sub"), f("a/sub/n"), opaque("a"))], None),
    "opaque, new entries after": ([BASE, tar(d("a", mode=0o711), opaque("a"), f("a/new", b"n"), f("a/sub/n"))], None),
    "opaque root": ([BASE, tar(opaque(""), f("new"))], None),
    "opaque in the place of a link": ([BASE, tar(d("ln"), opaque("ln"), f("ln/n"))], None),
    "opaque in the place of a file": ([BASE, tar(d("file"), opaque("file"), f("file/n"))], None),
    "opaque of what is not there": ([BASE, tar(d("n"), opaque("n"), f("n/x"))], None),
    "opaque, and what is there stays a link": ([BASE, tar(opaque("ln"))], WAY),
    "opaque, and what is there stays a file": ([BASE, tar(f("n"), opaque("file"))], WAY),
    "opaque through a link": ([BASE, tar(opaque("ln/sub"))], WAY),
    "aufs' own names": ([BASE, tar(f(".wh..wh.aufs", b""), d(".wh..wh.plnk"), f(".wh..wh.plnk/1.2", b"x"), d(".wh..wh.orph"), f("n"))], None),
    # ---- hard links
    "a chain of hard links": ([tar(f("a"), hard("b", "a"), hard("c", "b"), hard("x/d", "c"))], None),
    "a hard link to a lower file": ([BASE, tar(hard("h", "a/old"))], None),
    "a hard link to a lower file that is replaced afterwards": ([BASE, tar(hard("h", "file"), f("file", b"new"))], None),
    "a hard link to a lower file that is deleted afterwards": ([BASE, tar(hard("h", "a/old"), wh("a/old"))], ABSENT),
    "a hard link to a lower file that is deleted before": ([BASE, tar(wh("a/old"), hard("h", "a/old"))], ABSENT),
    "a hard link to a lower file, replaced and deleted": ([BASE, tar(hard("h", "file"), f("file", b"new"), wh("file"))], ABSENT),
    "a hard link into a folder that is opaque afterwards": ([BASE, tar(hard("h", "a/old"), opaque("a"))], ABSENT),
    "a hard link to a symbolic link": ([tar(link("l", "x"), f("x"), hard("h", "l"))], None),
    "a hard link to an empty file": ([tar(f("e", b"", mode=0o600), hard("h", "e"))], None),
    "a hard link to what comes later": ([tar(hard("h", "x"), f("x"))], ABSENT),
    "a hard link to a folder": ([tar(d("a"), hard("h", "a"))], "a hard link to a directory"),
    "a hard link through a link": ([BASE, tar(hard("h", "ln/old"))], WAY),
    "a hard link to itself": ([tar(f("a"), hard("a", "a"))], "a hard link to itself, or to what it would replace"),
    "a hard link in the place of its target's folder": ([BASE, tar(hard("a", "a/old"))], "a hard link to itself, or to what it would replace"),
    "a hard link in the place of a folder": ([BASE, tar(hard("a", "file"))], None),
    "a hard link to what it is already": ([tar(f("a"), hard("b", "a"), hard("b", "a"))], None),
    "a hard link with ./ and mode of its own": ([tar(f("./a", mode=0o640), hard("./b", "./a", mode=0o777))], None),
    # ---- one kind in the place of another
    "a folder in the place of a file": ([BASE, tar(d("file"), f("file/n"))], None),
    "a file in the place of a folder": ([BASE, tar(f("a", b"now a file"))], None),
    "a link in the place of a folder": ([BASE, tar(link("a", "elsewhere"))], None),
    "a folder in the place of a link": ([BASE, tar(d("ln"), f("ln/n"))], None),
    "a link in the place of a file and back": ([BASE, tar(link("file", "a")), tar(f("file", b"again"))], None),
    "file, folder, file in one layer": ([tar(f("x"), d("x"), f("x/y"), f("x", b"last"))], None),
    "below a link": ([BASE, tar(f("ln/n"))], WAY),
    "below a file": ([BASE, tar(f("file/n"))], WAY),
    "entries twice in one layer": ([tar(f("x", b"first", mode=0o600), f("x", b"second", uid=7), d("y", mode=0o700), d("y", mode=0o755, gid=9))], None),
    "a folder's mode and owner changed": ([BASE, tar(d("a", mode=0o700, uid=3, gid=4))], None),
    # ---- names, modes
    "entries without their folders": ([tar(f("a/b/c/d"), link("x/y", "z"))], None),
    "folders after what is in them": ([tar(f("a/b"), d("a", mode=0o750, uid=5))], None),
    "./ and trailing slashes": ([tar(d("./"), d("./a/"), f("./a/b"), d("c/", mode=0o700), f("././d"))], None),
    "no type and a trailing slash": ([tar(raw("old/", kind=b"\0", mode=b"0000755\0"), raw("plain", kind=b"\0", data=b"p"))], None),
    "the root folder with an odd mode": ([tar(d("./", mode=0o711, uid=11, gid=12), f("a"))], None),
    "the root folder in a later layer": ([tar(f("a")), tar(d(".", mode=0o751))], None),
    "set-id and sticky": ([tar(f("su", mode=0o4755), f("sg", mode=0o2755, gid=5), d("t", mode=0o1777), d("g", mode=0o2775, gid=6), f("s", mode=0o1644))], None),
    "no permissions at all": ([tar(d("a", mode=0), f("a/b", mode=0), f("c", mode=0o111))], None),
    "large owners": ([tar(f("a", uid=65534, gid=2000000), f("b", uid=4000000000, gid=1), f("c", uid=3000000, fmt=GNU))], None),
    "long names": ([tar(f("n" * 180 + "/" + "m" * 200), f("g" * 120 + "/" + "h" * 130, fmt=GNU), link("l", "t" * 127), link("m", "u" * 900),
                        link("k", "v" * 300, fmt=GNU), f("w" * 255))], None),
    "a link of 100 bytes, without a NUL": ([tar(link("l", "t" * 100), f("x" * 100))], None),
    "a name of 256 bytes": ([tar(f("w" * 256))], "a part of the path is longer than 255 bytes"),
    "a path of 1023 bytes": ([tar(f(long_path(1023)))], None),
    "a path of 1024 bytes": ([tar(f(long_path(1024)))], "a path of 1024 bytes, or with a NUL; at most 1023 are taken"),
    "a link of 1024 bytes": ([tar(link("l", "t" * 1024))], "a linkpath of 1024 bytes, or with a NUL; at most 1023 are taken"),
    "non-ASCII, blanks, newlines and bytes that are no text": ([tar(f("ä/ж 日本"), f("new\nline"), f("tab\t \\n"), f("\udcff\udcfe", fmt=GNU), link("ü", "ß\n"),
                                                               f("cafe\u0301"), f("caf\u00e9"))], None),
    "dots": ([tar(f("..."), f("..a"), f("a../b"), f(".a"), f("-rf"), f("a:b,c*?"))], None),
    "an absolute path": ([tar(f("/etc/x"))], "an absolute path"),
    "out of the image": ([tar(f("a/../../x"))], "\".\" or \"..\" in the path"),
    # ---- what tar has besides
    "sparse": ([tar(raw("s", kind=b"S", data=b"x" * 512))], "a sparse file"),
    "sparse by pax": ([tar(f("s", pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s"}))], "sparse file"),
    "a FIFO": ([tar(f("a"), member("p", T.FIFOTYPE))], "a FIFO"),
    "comments and times by pax": ([tar(f("a", pax={"comment": "c", "mtime": "1.5", "atime": "2.25", "LIBARCHIVE.creationtime": "1"}))], None),
    "behind the end": ([tar(f("a")) + b"\0" * 10240], None),
}


class Fleet:
    """A fleet's folder of its own, so that two images can be published at the same time."""

    def __init__(self, folder):
        self.folder, self.n = folder, 0
        self.run("init", "--fleet", "odd", "--broker", "localhost:1")

    def run(self, *args):
        p = subprocess.run([FLEETCTL, "-C", self.folder, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
        return p.returncode, p.stderr.decode(errors="replace").strip()

    def publish(self, ref, *options):
        """Returns (what it says when it refuses or "", the file with the release)."""
        self.n += 1
        name = "r%d" % self.n
        status, said = self.run("publish", ref, "--name", name, *options)
        return said or "exit %d" % status if status else "", os.path.join(self.folder, "releases", name, "1.json")


def platform_of(release):
    with open(release) as r:
        return json.loads(base64.b64decode(json.load(r)["payload"]))["platforms"][0]


def shared(path):
    """The names of each content that is one file: sets of two and more."""
    sets = {}
    for base, _, files in os.walk(path):
        for n in files:
            p = os.path.join(base, n)
            st = os.lstat(p)
            if stat.S_ISREG(st.st_mode) and st.st_size:
                sets.setdefault(st.st_ino, set()).add(os.path.relpath(p, path))
    return [s for s in sets.values() if len(s) > 1]


def as_on_devices(one):
    """As a device has it: without set-id bits, the sticky bit of files, which says nothing, and what aufs kept for itself."""
    def clean(what):
        mode, _, rest = what.partition(" ")
        return what if mode == "link" else "%o %s" % (int(mode, 8) & ~(0o6000 if stat.S_ISDIR(int(mode, 8)) else 0o7000), rest)
    return {k: clean(v) for k, v in one.items() if not k.startswith(".wh..wh.")}


def unlike(ours, want):
    """Why a rootfs of ours is not the tree that umoci made, or ""."""
    a, b = tree(ours), as_on_devices(tree(want))
    different = [k for k in differences(a, b) if k != "."] + ([] if a["."] == b["."] else ["."])
    if different:
        return "; ".join("%r: %s, not %s" % (k, a.get(k), b.get(k)) for k in different[:4])
    apart = [s for s in shared(want) if not any(s <= t for t in shared(ours))]
    return "%s are not one file" % apart if apart else ""


def reason(text):
    return text.strip().splitlines()[-1].rpartition(": ")[2] if text.strip() else ""


def refused(c, name, layout, publish, why):
    """Publish in both of its ways, and the device."""
    said = [publish("--no-packs")[0], publish("--codec", "lz4")[0], install(c.path(name + ".device"), layout)[2]]
    for who, text in zip(("publish --no-packs", "publish", "the device"), said):
        c.check(reason(text).endswith(why), "%s: %s says %r, not %r" % (name, who, text, why))


def by_chunks(store, layout, release):
    platform = platform_of(release)
    full = [p for p in platform["packs"] if p["kind"] == "full"][0]
    manifest = os.path.join(layout.blobs, platform["manifest"]["digest"][7:])
    with open(manifest) as m:
        config = os.path.join(layout.blobs, json.load(m)["config"]["digest"][7:])
    for args in (("put", manifest, config), ("fetch", full["digest"], full["size"], "BLOB", "--", "dir:" + layout.path)):
        kind, _, err = tool(store, *args)
        if kind:
            return err
    e = dict(os.environ, FETCH=os.path.join(BUILD, "bin", "agentd-fetch"), UNPACK=os.path.join(BUILD, "bin", "agentd-unpack"))
    p = subprocess.run([PACK_TOOL, store, release, "chunks", "lz4", "-", "--", "dir:" + layout.path], env=e, timeout=120, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE)
    return "" if p.returncode == 0 else p.stderr.decode(errors="replace") or "exit %d" % p.returncode


def taken(c, name, layout, publish):
    blobs = layout.files()
    bundle = c.path(name + ".umoci")
    p = subprocess.run(["umoci", "unpack", "--image", layout.path + ":t", bundle], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    said, plain = publish("--no-packs")
    c.check(said == "", "%s: publish --no-packs: %s" % (name, said))
    said_too, packed = publish("--codec", "lz4")
    c.check(said_too == "", "%s: publish: %s" % (name, said_too))
    c.check(p.returncode == 0, "%s: umoci: %s" % (name, p.stdout.decode(errors="replace")))
    if said or said_too or p.returncode:
        return
    want, signed = os.path.join(bundle, "rootfs"), platform_of(plain)
    layers, chunks = c.path(name + ".layers"), c.path(name + ".chunks")
    kind, _, err = tool(layers, "put", *blobs)
    if not kind:
        kind, _, err = tool(layers, "install", layout.digest, signed["unpacked_bytes"], signed["inodes"])
    why = err if kind else unlike(rootfs(layers, layout.digest), want)
    c.check(why == "", "%s: by layers: %s" % (name, why))
    why = by_chunks(chunks, layout, packed) or unlike(rootfs(chunks, layout.digest), want)
    c.check(why == "", "%s: by chunks: %s" % (name, why))


def try_one(c, fleet, number, name, layers, why):
    short = "i%d" % number
    layout = Layout(c.path(short), layers)
    publish = lambda *o: fleet.publish("dir:%s:t" % layout.path, *o)
    before = c.failed
    if why:
        refused(c, short, layout, publish, why)
    else:
        taken(c, short, layout, publish)
    if c.failed > before:
        print("  %s is: %s" % (short, name))


def change(layout, edit_config=None, edit_manifest=None):
    """The same image with other documents, by text; replaces what index.json names."""
    manifest = json.loads(layout.manifest_bytes)
    if edit_config:
        with open(os.path.join(layout.blobs, manifest["config"]["digest"][7:]), "rb") as old:
            manifest["config"].update(layout.put(edit_config(old.read())))
    layout.manifest_bytes = json.dumps(manifest).encode()
    if edit_manifest:
        layout.manifest_bytes = edit_manifest(layout.manifest_bytes)
    entry = layout.put(layout.manifest_bytes)
    layout.digest, layout.size = entry["digest"], entry["size"]
    with open(os.path.join(layout.path, "index.json")) as old:
        index = json.load(old)
    index["manifests"][0].update(entry)
    with open(os.path.join(layout.path, "index.json"), "w") as new:
        json.dump(index, new)


def labels(text):
    return lambda config: config.replace(b'"Cmd"', b'"Labels": {%s}, "Cmd"' % text, 1)


def try_documents(c, fleet):
    """Configs and manifests that are odd."""
    escaped = rb'"a\u0026b": "x \u003c y \u2028 \\ \/", "a\u003cb": "", "\u00e4": "\ud83d\ude00", "del": "' + b"\x7f" + b'", "": "no name"'
    many = b",".join(b'"key-%d": "v"' % i for i in range(2000))
    for name, edit in (("escapes", labels(escaped)), ("many", labels(many)),
                       ("nulls", lambda t: t.replace(b'"Cmd"', b'"Entrypoint": null, "Env": null, "Volumes": null, "User": "", "Cmd"', 1))):
        layout = Layout(c.path("config-" + name), [tar(f("a"))])
        change(layout, edit)
        taken(c, "config-" + name, layout, lambda *o: fleet.publish("dir:%s:t" % layout.path, *o))
    layout = Layout(c.path("foreign"), [tar(f("a"))])
    change(layout, None, lambda m: m.replace(b"layer.v1.tar+gzip", b"layer.nondistributable.v1.tar+gzip"))
    refused(c, "foreign", layout, lambda *o: fleet.publish("dir:%s:t" % layout.path, *o), "is not what is read here (tar, tar+gzip and tar+zstd are)")
    twice = Layout(c.path("twice"), [tar(f("a"))])
    change(twice, labels(rb'"a&b": "1", "a\u0026b": "2"'))
    refused(c, "twice", twice, lambda *o: fleet.publish("dir:%s:t" % twice.path, *o), "duplicate key")


def docker_save(layout, file, name):
    """As docker save writes it: layers as plain tars in folders of their own, the second time as a link."""
    with open(os.path.join(layout.blobs, json.loads(layout.manifest_bytes)["config"]["digest"][7:]), "rb") as config:
        members, names = [f("c0ffee.json", config.read())], []
    for i, layer in enumerate(layout.layers):
        with open(os.path.join(layout.blobs, layer["digest"][7:]), "rb") as packed:
            names.append("%d/layer.tar" % i)
            members += [d("%d/" % i), f(names[-1], gzip.decompress(packed.read()))] if i < 2 else [link(names[-1], "../1/layer.tar")]
    with open(file, "wb") as out:
        out.write(tar(*members, f("manifest.json", json.dumps([{"Config": "c0ffee.json", "RepoTags": [name], "Layers": names}]).encode())))


def try_archive(c, fleet):
    """docker-archive:FILE:NAME:TAG, copied into a layout."""
    again = tar(wh("a/old"), f("n", b"new"))
    source = Layout(c.path("saved"), [BASE, again, again])
    file = c.path("saved.tar")
    docker_save(source, file, "docker.io/demo/web:1.2")
    to = c.path("copied")
    for ref, found in ((":demo/web:1.2", True), (":docker.io/demo/web:1.2", True), (":web:1.2", True), (":1.2", True), ("", True), (":demo/web:1.3", False),
                       (":eb:1.2", False)):
        said = fleet.publish("docker-archive:" + file + ref, "--to", "dir:%s:t" % to, "--no-packs", "--version", "v")[0]
        c.check((said == "") == found, "docker-archive:FILE%s: %r" % (ref, said))
    copied = Layout.__new__(Layout)
    copied.path, copied.blobs = to, os.path.join(to, "blobs", "sha256")
    with open(os.path.join(to, "index.json")) as index:
        copied.digest = [m["digest"] for m in json.load(index)["manifests"] if m["annotations"]["org.opencontainers.image.ref.name"] == "t"][0]
    taken(c, "copied", copied, lambda *o: fleet.publish("dir:%s:t" % to, *o))


def cpu_of(c, what, argv, env=None):
    """Run it with a bound on its processor time, which it must not need; the figure is printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    p = subprocess.run(argv, env=dict(os.environ, **(env or {})), timeout=300, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS)))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    print("%s: %.2f s of processor time" % (what, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    c.check(p.returncode == 0, "%s: exit %d %s" % (what, p.returncode, p.stderr.decode(errors="replace")))


def try_large(c, fleet):
    """What must not grow by the square: many names of one file, many deletions, many keys."""
    links = tar(f("dir/f"), *(raw("dir/h%d" % i, kind=b"1", link=b"dir/f") for i in range(70000)))
    deletions = tar(*(raw("dir/.wh.h%d" % i) for i in range(30000)))
    layout = Layout(c.path("large"), [links, deletions])
    cpu_of(c, "publish of 70000 hard links, 30000 of them deleted", [FLEETCTL, "-C", fleet.folder, "publish", "dir:%s:t" % layout.path, "--name", "links",
                                                                     "--codec", "lz4"])
    n = 8000
    keys = Layout(c.path("keys"), [tar(f("a"))])
    change(keys, labels(b",".join(b'"key-%d": ""' % i for i in range(n))))
    blobs = keys.files()
    cpu_of(c, "publish of %d labels" % n, [FLEETCTL, "-C", fleet.folder, "publish", "dir:%s:t" % keys.path, "--name", "keys", "--no-packs"])
    store = c.path("keys-store")
    c.check(tool(store, "put", *blobs)[0] == "", "put")
    cpu_of(c, "install with %d labels" % n, [TOOL, store, "install", keys.digest], {"UNTAR": os.path.join(BUILD, "bin", "agentd-untar")})


def some_layer(dice, entries):
    """Entries of three names, at most three deep, which are in each other's way. Folders are as those that no entry makes: what becomes of the
    mode of one that goes and comes again without an entry is nowhere said."""
    def path():
        return "/".join(dice.choice("abc") for _ in range(dice.randint(1, 3)))

    def one():
        make = dice.choice((lambda p: f(p, b"%d" % dice.randrange(3)), lambda p: f(p, b"x", mode=0o600), d, d,
                            lambda p: link(p, dice.choice(("a", "b", "../a", "/c"))), lambda p: hard(p, path()), wh, wh, opaque))
        return make(path())

    return tar(*(one() for _ in range(entries)))


def try_any(c, fleet):
    """Layers by chance, the same each time: taken in each way, to the same tree, or refused in each."""
    counts = {"taken": 0, "refused": 0}
    for seed in range(40):
        dice, name = random.Random(seed), "any%d" % seed
        layout = Layout(c.path(name), [some_layer(dice, dice.randint(2, 6)) for _ in range(dice.randint(2, 3))])
        publish = lambda *o: fleet.publish("dir:%s:t" % layout.path, *o)
        kind, _, err = install(c.path(name + ".first"), layout)
        counts["refused" if kind else "taken"] += 1
        if kind:
            said = publish("--no-packs")[0]
            c.check(said != "", "%s: the device says %r, publish takes it" % (name, err))
        else:
            taken(c, name, layout, publish)
    print("by chance: %s" % counts)
    c.check(min(counts.values()) >= 5, "by chance: %s" % counts)


def main():
    if not shutil.which("umoci"):
        skip("no umoci")
    if not os.path.exists(FLEETCTL):
        skip("built without fleetctl")
    with Case() as c:
        os.environ["UMOCI_LOG_LEVEL"] = "error"
        own = threading.local()
        free = [Fleet(c.path("fleet%d" % i)) for i in range(2)]

        def job(number, name, layers, why):
            if not hasattr(own, "fleet"):
                own.fleet = free.pop()
            try_one(c, own.fleet, number, name, layers, why)

        parts = Fleet(c.path("fleet"))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(job, i, name, *odd) for i, (name, odd) in enumerate(ODD.items())]
        for j in jobs:
            j.result()
        for part in (try_any, try_documents, try_archive, try_large):
            part(c, parts)


main()
