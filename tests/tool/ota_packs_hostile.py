"""Hostile packs: every byte of a pack is named by a signed digest, so they are what somebody with a stolen release key could publish. The most
that they may do is to be refused: nothing outside of the store changes, no image has its name, nothing is left in tmp/, what is written, the
memory and the time are bounded by what was signed, and the right pack goes into the same store afterwards.
The generator shares no code with ours: trees, heads, tables, chunks and streams are written here by hand, from ota/pack/pack.h and ota/pack/patch.h."""
import itertools
import lzma
import random
import re
import struct
import time

from ota_image import *

PACK_TOOL = os.path.join(BUILD, "bin", "pack-tool")
SANITIZED = os.environ.get("SANITIZED") == "1"  # the sanitizer's own memory is not ours
MEMORY_KIB = 8 << 10
SECONDS = 60
BLOCK = 64 << 10
FILE, DIR, LINK, HARD, WHITEOUT, OPAQUE, SKIPPED, END = range(8)
XATTR, AGAIN = 1, 2
RAW, LZ4, LZMA, X86 = range(4)


def sha(data):
    return hashlib.sha256(data).digest()


def name(data):
    return "sha256:" + sha(data).hex()


# ---- the formats

def head_of(kind, path, mode=0o644, uid=0, gid=0, size=0, link=b"", flags=0, path_len=None):
    return struct.pack("<BBHHHIIIIQ", kind, flags, len(path) if path_len is None else path_len, len(link), 0, mode, uid, gid, 0, size)


def entry(kind, path, content=b"", size=None, digest=None, link=b"", path_len=None, **kw):
    path, link = os.fsencode(path), os.fsencode(link)
    size = len(content) if size is None else size
    out = head_of(kind, path, size=size, link=link, path_len=path_len, **kw) + path + link
    return out + (digest or sha(content)) if kind == FILE and size else out


def file(path, content=b"", **kw):
    return entry(FILE, path, content, **kw)


def directory(path, **kw):
    return entry(DIR, path, mode=kw.pop("mode", 0o755), **kw)


def tree_of(*entries, end=True):
    return b"LPLAYER1" + b"".join(entries) + (entry(END, "", mode=0) if end else b"")


class Chunk:
    """packed: the bytes in the data; the rest is what its record says."""

    def __init__(self, raw, codec=RAW, packed=None, raw_len=None, check=None, packed_len=None, whole=True):
        self.packed = raw if packed is None else packed
        self.raw_len = len(raw) if raw_len is None else raw_len
        self.codec, self.raw = codec, bytes(16) if whole else sha(raw)[:16]
        self.packed_len = len(self.packed) if packed_len is None else packed_len
        self.check = sha(self.packed)[:8] if check is None else check

    def record(self):
        return struct.pack("<I", self.packed_len) + struct.pack("<I", self.raw_len)[:3] + bytes([self.codec]) + self.check + self.raw


def cut(data, size=BLOCK):
    return [Chunk(data[i:i + size], whole=len(data) <= size) for i in range(0, len(data), size)]


def lzma_raw(data, end=True):
    return lzma.compress(data, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": 65536, "lc": 3, "lp": 0, "pb": 2}])


def lz4_zeros(n):
    """One block of n (>= 300) zeros: a literal, one long copy of it, five literals."""
    left = n - 1 - 5 - 4 - 15
    return b"\x1f\0\x01\0" + b"\xff" * (left // 255) + bytes([left % 255]) + b"\x50" + b"\0" * 5


class Full:
    """A full pack: head and data, of which every part can be replaced."""

    def __init__(self, tree, chunks, tree_chunks=None, table_chunks=None, table=None, documents_at=None, **head):
        self.tree = tree
        self.table = b"".join(c.record() for c in chunks) if table is None else table
        tree_chunks = cut(tree, 2048) if tree_chunks is None else tree_chunks
        table_chunks = cut(self.table, 2048) if table_chunks is None else table_chunks
        objects = b"".join(c.packed for c in chunks)
        self.data = objects + b"".join(c.packed for c in tree_chunks + table_chunks)
        h = dict(magic=b"LPFULL01", codec=LZ4, props=0, n_tree=len(tree_chunks), n_table=len(table_chunks), tree_bytes=len(tree),
                 tree=sha(tree), table_bytes=len(self.table), table=sha(self.table), data_bytes=len(self.data), data=sha(self.data),
                 object_bytes=sum(c.raw_len for c in chunks), documents_at=len(objects) if documents_at is None else documents_at, more=b"")
        h.update(head)
        self.head = (h["magic"] + struct.pack("<BBHIII", h["codec"], h["props"], 0, h["n_tree"] & 0xffffffff, h["n_table"] & 0xffffffff, 0)
                     + struct.pack("<Q", h["tree_bytes"]) + h["tree"] + struct.pack("<Q", h["table_bytes"]) + h["table"]
                     + struct.pack("<Q", h["data_bytes"]) + h["data"] + struct.pack("<QQ", h["object_bytes"], h["documents_at"])
                     + b"".join(c.record() for c in tree_chunks + table_chunks) + h["more"])
        self.chunks = chunks

    def release(self, image, **more):
        pack = {"kind": "full", "codec": "lz4", "digest": name(self.head), "size": len(self.head), "memory": 400000,
                "data": {"digest": name(self.data), "size": len(self.data)}}
        pack.update(more.pop("in_pack", {}))
        return release(image, self.tree, [pack], sum(c.raw_len for c in self.chunks), **more)

    def blobs(self):
        return [self.head]

    def served(self):
        return [self.data]


def varint(v):
    out = b""
    while v >= 128:
        out += bytes([v & 127 | 128])
        v >>= 7
    return out + bytes([v])


def zigzag(v):
    return varint(v << 1 if v >= 0 else (-v << 1) - 1)


def new_object(content, flags=0):
    """An object of the stream that is all new bytes."""
    return bytes([flags]) + varint(0) + content


def copied(length, at=0):
    """An object that is bytes of its bases, copied: one cover over all of it, no differences."""
    return bytes([2]) + varint(1) + varint(0) + varint(length) + zigzag(at) + b"".join(
        varint(min(32768, length - i)) for i in range(0, length, 32768))


def bases_table(*rows, end=b"\0"):
    """rows: (offset in the new tree, [bases as numbers])."""
    out, at, base = b"", 0, 0
    for offset, bases in rows:
        out += varint(offset - at) + bytes([len(bases)])
        at = offset
        for b in bases:
            out += zigzag(b - base)
            base = b
    return out + end


class Patch:
    """A patch pack. stream: raw; segments: of (packed, raw bytes, digest) instead of it."""

    def __init__(self, tree, stream, old, objects=0, segments=None, writes=None, codec=RAW, segment=256 << 10, more=b"", **head):
        if segments is None:
            segments = [(s, len(s), sha(s)) for s in (stream[i:i + segment] for i in range(0, len(stream), segment))]
        self.tree, self.old, self.writes, self.objects = tree, old, objects if writes is None else writes, objects
        h = dict(magic=b"LMPTCH1\n", codec=codec, props=0x5d, flags=0, zero=0, n=len(segments), covers=16, pieces=0, memory=200000,
                 raw=sum(s[1] for s in segments))
        h.update(head)
        self.pack = (h["magic"] + bytes([h["codec"], h["props"], h["flags"], h["zero"]])
                     + struct.pack("<IIIIQ", h["n"], h["covers"], h["pieces"], h["memory"], h["raw"])
                     + b"".join(struct.pack("<II", len(p), r) + d for p, r, d in segments) + b"".join(s[0] for s in segments) + more)

    def release(self, image, **more):
        pack = {"kind": "patch", "codec": "lz4", "digest": name(self.pack), "size": len(self.pack), "memory": 400000,
                "from": {"tree": name(self.old), "size": len(self.old)}, "writes": self.writes}
        pack.update(more.pop("in_pack", {}))
        return release(image, self.tree, [pack], self.objects, **more)

    def blobs(self):
        return [self.pack]

    def served(self):
        return []


def stream_of(tree, table, *objects):
    return new_object(tree) + new_object(struct.pack("<Q", len(table))) + new_object(table) + b"".join(objects)


def release(image, tree, packs, object_bytes, unpacked=None, inodes=1000, tree_bytes=None, tree_digest=None):
    r = {"schema": "limpet.release/1", "name": "web", "counter": 1, "version": "1", "issued": 1, "platforms": [{
        "os": "linux", "architecture": "amd64", "variant": "", "manifest": {"digest": name(image), "size": len(image)},
        "packed_bytes": 1000, "unpacked_bytes": unpacked or max(object_bytes, 1), "inodes": inodes,
        "tree": {"digest": tree_digest or name(tree), "size": tree_bytes or len(tree), "bytes": object_bytes}, "packs": packs}]}
    payload = base64(json.dumps(r).encode())
    return json.dumps({"payloadType": "application/vnd.limpet.release.v1+json", "payload": payload,
                       "signatures": [{"keyid": "k", "sig": base64(bytes(64))}]}).encode()  # pack-tool does not look at it


def base64(data):
    import base64 as b
    return b.b64encode(data).decode()


# ---- running them

class Bench:
    def __init__(self, c):
        self.c, self.n, self.refused, self.installed = c, 0, 0, 0
        self.store, self.served = c.path("store"), c.path("served", "blobs", "sha256")
        self.canary, self.peak, self.slowest, self.keep = c.path("canary"), 0, 0, []
        os.makedirs(self.served)
        os.mkdir(self.canary)
        with open(os.path.join(self.canary, "file"), "w") as f:
            f.write("canary")
        os.chmod(self.canary, 0o700)
        self.before = tree(self.canary)

    def image(self):
        """A manifest and its config of their own for each case, so that each is an image of its own."""
        self.n += 1
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/x"], "Labels": {"n": str(self.n)}},
                             "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}}).encode()
        media = "application/vnd.oci.image."
        manifest = json.dumps({"schemaVersion": 2, "mediaType": media + "manifest.v1+json",
                               "config": {"mediaType": media + "config.v1+json", "digest": name(config), "size": len(config)},
                               "layers": [{"mediaType": media + "layer.v1.tar", "digest": "sha256:" + "0" * 64, "size": 1}]}).encode()
        return manifest, config

    def write(self, directory, data):
        path = os.path.join(directory, sha(data).hex())
        with open(path, "wb") as f:
            f.write(data)
        return path

    def install(self, pack, old=None, **more):
        """Returns (kind, text, image digest)."""
        manifest, config = self.image()
        put = self.c.path("put")
        os.makedirs(put, exist_ok=True)
        files = [self.write(put, b) for b in (manifest, config, *pack.blobs())]
        for data in pack.served():
            files.append(self.write(self.served, data))
        kind, _, err = tool(self.store, "put", *files[:2 + len(pack.blobs())])
        if kind:
            raise RuntimeError("put: " + err)
        envelope = self.c.path("release.json")
        with open(envelope, "wb") as f:
            f.write(pack.release(manifest, **more))
        env = dict(os.environ, FETCH=os.path.join(BUILD, "bin", "agentd-fetch"), UNPACK=os.path.join(BUILD, "bin", "agentd-unpack"))
        route = "chunks" if isinstance(pack, Full) else "patch"
        start = time.monotonic()
        p = subprocess.Popen([PACK_TOOL, self.store, envelope, route, "lz4", old or "-", "--", "dir:" + self.c.path("served")], env=env,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = p.communicate(timeout=SECONDS * (3 if SANITIZED else 1))
        except subprocess.TimeoutExpired:
            p.kill()
            out, err = p.communicate()
            err += b" (ran for more than %d s)" % SECONDS
        self.slowest = max(self.slowest, time.monotonic() - start)
        for f in files:
            os.unlink(f)
        kind = "" if p.returncode == 0 else KINDS.get(p.returncode, "exit %d" % p.returncode)
        got = dict(re.findall(r"^(io|wrote|peak) (\d+)$", out.decode(), re.M))
        return kind, err.decode(), name(manifest), got

    def signed(self, pack):
        """What a job may write: files, tree (staged and record), table (blob and kept) and what was asked of the fetch program."""
        extra = 2 * len(pack.table) + 24 * len(pack.chunks) if isinstance(pack, Full) else 0
        return 2 * len(pack.tree) + extra

    def run(self, what, pack, kinds=("invalid",), message="", may_install=False, old=None, unpacked=None, fresh=False, **more):
        """fresh: nothing is held of an earlier case."""
        c = self.c
        if fresh or self.n % 40 == 0:
            self.collect()
        kind, text, digest, got = self.install(pack, old=old, unpacked=unpacked, **more)
        objects = unpacked or (sum(x.raw_len for x in pack.chunks) if isinstance(pack, Full) else pack.objects)
        limit = objects + self.signed(pack) + BLOCK
        if "io" in got and kind: # what went in was synced, names and all
            c.check(int(got["io"]) <= limit + 4096 * pack.tree.count(b"/\0") + 15 * 4096, "%s: wrote %s bytes of at most %d" % (what, got["io"], limit))
            c.check(int(got["wrote"]) <= 3 * limit, "%s: wrote %s bytes, pipes too, of at most %d" % (what, got["wrote"], 3 * limit))
        c.check("peak" in got or what.startswith("release: "), "%s: says nothing of its memory: %s %s" % (what, kind, text))
        if "peak" in got and not SANITIZED:
            self.peak = max(self.peak, int(got["peak"]))
            c.check(int(got["peak"]) <= MEMORY_KIB, "%s: %s KiB of memory" % (what, got["peak"]))
        if kind == "" and may_install:
            self.installed += 1
        else:
            self.refused += 1
            c.check(kind in kinds and message in text, "%s: wanted %s (%s), got %s: %s" % (what, kinds, message, kind, text))
            c.check(len(text.strip()) > 12, "%s: no message: %s" % (what, text))
            c.check(not os.path.exists(os.path.join(self.store, "images", digest.split(":")[1])), what + ": has its name")
        c.check(os.listdir(os.path.join(self.store, "tmp")) == [], what + ": left something in tmp")
        c.check(tree(self.canary) == self.before, what + ": the canary changed")
        return kind, digest

    def collect(self):
        tool(self.store, "collect", *self.keep)

    def control(self, what, pack, files, old=None):
        """The right one goes in."""
        kind, text, digest, _ = self.install(pack, old=old)
        self.c.check(kind == "", "%s: %s: %s" % (what, kind, text))
        for path, content in files.items():
            at = os.path.join(rootfs(self.store, digest), path)
            self.c.check(kind == "" and open(at, "rb").read() == content, "%s: %s" % (what, path))
        return digest


BIN = random.Random(3).randbytes(150000)
OLD_FILES = {"a": b"old a\n" * 1000, "bin": BIN}
NEW_FILES = {"a": b"old a\n" * 999 + b"new a\n", "bin": BIN[:100000] + b"changed" + BIN[100000:], "n": b"new"}


def tree_and_offsets(files):
    entries, at, offsets = [], 8, {}
    for path, content in sorted(files.items()):
        entries.append(file(path, content))
        offsets[path] = at
        at += len(entries[-1])
    return tree_of(*entries), offsets


def full_of(files, **kw):
    return Full(kw.pop("tree", None) or tree_and_offsets(files)[0],
                kw.pop("chunks", None) or [ch for _, content in sorted(files.items()) for ch in cut(content)], **kw)


def one(*entries, chunks=None, **kw):
    return Full(tree_of(*entries), chunks or [], **kw)


# ---- trees

def try_orders(b):
    kinds = {FILE: lambda p: file(p, b"evil"), DIR: lambda p: directory(p, mode=0o777), LINK: lambda p: entry(LINK, p, link=b.canary, mode=0o777),
             HARD: lambda p: entry(HARD, p, link="a")}
    evil = [Chunk(b"evil")]

    def pack(case):
        has = any(k == FILE for _, k in case)
        seen, entries = False, []
        for p, k in case:
            e = kinds[k](p)
            if k == FILE and seen:
                e = e[:1] + bytes([AGAIN]) + e[2:]
            seen = seen or k == FILE
            entries.append(e)
        return Full(tree_of(*entries), evil if has else [])

    rnd, cases = random.Random(7), []
    for names in (("a", "a/b", "a/b/c"), ("a", "a.b", "a/b"), ("a", "aa", "aa/a")):
        for r in (1, 2, 3):  # in their order: all of them
            for some in itertools.combinations(names, r):
                cases += [tuple(zip(some, ks)) for ks in itertools.product(kinds, repeat=r)]
        every = [(n, k) for n in names for k in kinds]
        cases += [tuple(rnd.choice(every) for _ in range(n % 3 + 2)) for n in range(40)]
    went = 0
    for case in cases:
        ordered = all(x[0].encode() < y[0].encode() for x, y in zip(case, case[1:]))
        kind, digest = b.run(str(case), pack(case), may_install=True)
        went += kind == ""
        b.c.check(ordered or kind != "", "%s: not sorted, but installed" % (case,))
        b.c.check(kind != "" or all(k != HARD for _, k in case), "%s: a hard link in a tree" % (case,))
        if kind == "":
            root = rootfs(b.store, digest)
            for p, k in case:
                st = os.lstat(os.path.join(root, p))
                b.c.check({FILE: stat.S_ISREG, DIR: stat.S_ISDIR, LINK: stat.S_ISLNK}[k](st.st_mode), "%s: %s is something else" % (case, p))
    b.c.check(10 < went < len(cases), "%d of %d orders went in" % (went, len(cases)))
    return len(cases)


def try_trees(b):
    bad = lambda what, *entries, message="", kinds=("invalid",), chunks=None, **kw: b.run("tree: " + what, one(*entries, chunks=chunks), kinds, message, **kw)
    x = [Chunk(b"x")]
    for p in ("../evil", "a/../../evil", "..", "a/.."):
        bad(p, file(p, b"x"), chunks=x, message='".."')
        bad(p + " directory", directory(p), message='".."')
        bad(p + " link", entry(LINK, p, link="x"), message='".."')
    bad("absolute", file(b.canary + "/evil", b"x"), chunks=x, message="absolute")
    bad("absolute link", entry(LINK, "/evil", link="x"), message="absolute")
    bad("empty", file("", b"x"), chunks=x, message="name")
    bad("empty part", file("a//b", b"x"), chunks=x, message="empty part")
    bad("dot", file("a/./b", b"x"), chunks=x, message="path")
    bad("4096 bytes", file("p/" * 2048, b"x"), chunks=x, message="4096 bytes")
    bad("a part of 256 bytes", file("p" * 256, b"x"), chunks=x, message="255")
    bad("deep", file("p/" * 70 + "x", b"x"), chunks=x, message="deep")
    bad("NUL", file("a\0b", b"x"), chunks=x, message="NUL")
    bad("NUL in a link", entry(LINK, "a", link="b\0c"), message="NUL")
    bad("empty link", entry(LINK, "a"), message="link to nothing")
    bad("link text of a file", entry(FILE, "a", b"x", link="b"), chunks=x, message="link")
    for p in (".wh.a", ".wh..wh..opq", "a/.wh.b", ".wh.a/b", ".wh..wh.plnk/x", ".wh."):
        bad(p, file(p, b"x"), chunks=x, message="whiteout")
        bad(p + " empty", file(p), message="whiteout")
    for kind in (HARD, WHITEOUT, OPAQUE, SKIPPED):
        bad("kind %d" % kind, directory("a"), entry(kind, "b", link="a" if kind == HARD else b""), message="kind %d" % kind)
    for kind in (8, 9, 255):
        bad("kind %d" % kind, entry(kind, "b"), message="kind")
    bad("unsorted", file("b", b"x"), file("a", b"x", flags=AGAIN), chunks=x, message="sorted")
    bad("twice", file("a", b"x"), file("a", b"x", flags=AGAIN), chunks=x, message="sorted")
    bad("twice by another spelling", file("a", b"x"), file("./a", b"x", flags=AGAIN), chunks=x, message="sorted")
    bad("two roots", directory("/"), directory("."), message="sorted")
    bad("below a file", file("a", b"x"), file("a/b", b"x", flags=AGAIN), chunks=x, message="in the way")
    bad("through a link", entry(LINK, "a", link=b.canary), file("a/file", b"x"), chunks=x, message="in the way")
    bad("directory through a link", entry(LINK, "a", link=b.canary), directory("a/d"), message="in the way")
    bad("link through a link up", entry(LINK, "a", link="../" * 30 + b.canary), entry(LINK, "a/d", link="x"), message="in the way")
    bad("AGAIN without a first", file("a", b"never", flags=AGAIN), kinds=("not-found",), message="is missing")
    bad("AGAIN before the first", file("a", b"x", mode=0o600, flags=AGAIN), file("b", b"y"), chunks=[Chunk(b"y")], kinds=("not-found",), message="is missing")
    bad("unknown flags", file("a", b"x", flags=0x80), chunks=x, message="flag")
    bad("owner -1", file("a", b"x", uid=0xffffffff), chunks=x, message="owner")
    bad("group -1", directory("a", gid=0xffffffff), message="owner")
    bad("mode bits", directory("a", mode=0o40755), message="mode")
    bad("size of a directory", entry(DIR, "a", size=5), message="content without a file")
    bad("size of a link", entry(LINK, "a", link="b", size=5), message="content without a file")
    nospace = ("invalid", "no-space")
    bad("size too small", file("a", b"xyz", size=2), chunks=[Chunk(b"xyz")], message="behind its object")
    bad("size too large", file("a", b"x", size=2), chunks=x, message="fewer chunks")
    for size in (1 << 40, 1 << 63, (1 << 64) - 1):
        bad("size %d" % size, file("a", b"x", size=size), chunks=x, kinds=nospace)
        bad("size %d of the second" % size, file("a", b"x"), file("b", b"x", size=size, mode=0o600, flags=AGAIN), chunks=x, kinds=nospace)
    bad("sizes that run over", file("a", b"x", size=(1 << 64) - 1), file("b", b"y", size=2), chunks=x + [Chunk(b"yy")], kinds=nospace)
    b.run("tree: no end", Full(tree_of(file("a", b"x"), end=False), x), message="ends early")
    b.run("tree: behind its end", Full(tree_of(file("a", b"x")) + file("b", b"x"), x), message="after its end")
    b.run("tree: half an entry", Full(tree_of(file("a", b"x"))[:-10], x), message="ends early")
    b.run("tree: a name longer than the tree", Full(b"LPLAYER1" + head_of(DIR, b"", path_len=900) + b"abc", []), message="ends early")
    b.run("tree: no tree", Full(b"something else, but long enough to be read", []), message="tree")
    b.run("tree: nothing", Full(tree_of()[:8], []), message="ends early")
    # the same content for another owner is one more file: what was signed bounds that too
    zeros, ones = bytes(60000), b"1" * 50000
    again = [file("f%04d" % n, zeros, uid=n, flags=AGAIN if n else 0) for n in range(200)]
    bad("one content, 200 owners", *again, chunks=cut(zeros), message="signed", unpacked=120000)
    many = [file("f%04d" % n) for n in range(300)]
    bad("more entries than signed", *many, message="signed", inodes=100)
    bad("more bytes than signed", file("a", zeros), file("b", zeros[1:]), chunks=cut(zeros) + cut(zeros[1:]), message="signed", unpacked=70000)
    bad("the same object twice", file("a", zeros), file("b", zeros), chunks=cut(zeros) * 2, message="twice")
    bad("the same object twice, and another", file("a", ones), file("b", ones), file("c", ones[1:]), chunks=cut(ones) * 2 + cut(ones[1:]), message="twice")
    # taken away, not refused
    kind, digest = bad("set-uid", file("a", b"x", mode=0o6755), directory("d", mode=0o7777), chunks=x, may_install=True)
    b.c.check(kind == "" and {k: v.split()[0] for k, v in tree(rootfs(b.store, digest)).items() if k in "ad"} == {"a": "100755", "d": "41777"}, "set-id kept")


# ---- heads, tables, chunks

def try_heads(b):
    good = dict(files=NEW_FILES)
    for what, change, message in (
            ("magic", dict(magic=b"LPFULL99"), "no head"), ("more tree chunks", dict(n_tree=2), "chunks"),
            ("no tree chunks", dict(n_tree=0), "chunks"), ("2^32-1 chunks", dict(n_tree=-1, n_table=-1), "chunks"),
            ("2^31 chunks", dict(n_tree=1 << 31), "chunks"), ("bytes behind", dict(more=b"x"), "head"), ("tree 2^63", dict(tree_bytes=1 << 63), "larger"),
            ("tree of 0 bytes", dict(tree_bytes=0), ""), ("tree of one byte less", dict(tree_bytes=len(full_of(NEW_FILES).tree) - 1), ""),
            ("table 2^63", dict(table_bytes=1 << 63), "larger"), ("table of 33 bytes", dict(table_bytes=33), "table of 33"),
            ("table of 32 bytes", dict(table_bytes=32), ""), ("table of 0 bytes", dict(table_bytes=0), ""), ("another tree", dict(tree=sha(b"x")), ""),
            ("another table", dict(table=sha(b"x")), ""), ("another data", dict(data=sha(b"x")), ""), ("data 2^63", dict(data_bytes=1 << 63), "larger"),
            ("data of one byte more", dict(data_bytes=len(full_of(NEW_FILES).data) + 1), ""), ("documents at 2^63", dict(documents_at=1 << 63), ""),
            ("documents behind the data", dict(documents_at=len(full_of(NEW_FILES).data) - 3), "behind the data"),
            ("documents at the start", dict(documents_at=0), ""), ("objects 2^63", dict(object_bytes=1 << 63), "larger")):
        b.run("head: " + what, full_of(NEW_FILES, **change), ("invalid", "integrity", "no-space", "source"), message, fresh=True)
    for n in (0, 7, 8, 100, 159):
        p = full_of(NEW_FILES)
        p.head = p.head[:n] if n else b"x"
        b.run("head: of %d bytes" % n, p, message="no head")
    t = tree_and_offsets(NEW_FILES)[0]
    flood = [Chunk(bytes(BLOCK), LZ4, lz4_zeros(BLOCK))] * 300
    b.run("head: a tree of 20 MB where %d bytes were told" % len(t), full_of(NEW_FILES, tree_chunks=flood), message="bytes")
    b.run("head: a table of 20 MB", full_of(NEW_FILES, table_chunks=flood), message="bytes")
    many = [Chunk(b"x")] * 65536
    b.run("head: 65536 chunks of a byte", full_of(NEW_FILES, tree_chunks=many), message="chunks")
    b.run("head: another order", full_of(NEW_FILES, tree_chunks=[Chunk(t[10:] + t[:10])]), ("integrity",), "something else")
    for what, chunk, kinds, message in bad_chunks(t):
        b.run("head: " + what, full_of(NEW_FILES, tree_chunks=[chunk]), kinds, message, fresh=True)


def bad_chunks(raw):
    """One chunk that should be raw."""
    packed, z = lzma_raw(raw), lz4_zeros(BLOCK)
    any_of, n = ("invalid", "integrity", "unsupported", "io", "not-found", "source"), len(raw)
    yield "codec 7", Chunk(raw, 7), any_of, "codec"
    yield "codec 15", Chunk(raw, 15), any_of, "codec"
    yield "codec 255", Chunk(raw, 255), any_of, "codec 255"
    yield "raw size 0", Chunk(raw, raw_len=0), any_of, "0 raw bytes"
    yield "raw size 2^24-1", Chunk(raw, raw_len=(1 << 24) - 1), any_of, "16777215 raw bytes"
    yield "raw size 65537", Chunk(raw, raw_len=65537), any_of, "65537 raw bytes"
    yield "packed size 0", Chunk(raw, packed_len=0), any_of, "0 packed"
    yield "packed size 2^32-1", Chunk(raw, packed_len=(1 << 32) - 1), any_of, "packed"
    yield "packed larger than raw", Chunk(raw, packed=raw + b"x"), any_of, "packed"
    yield "another check", Chunk(raw, check=bytes(8)), any_of, ""
    yield "other content with the right check", Chunk(raw, packed=bytes(n)), any_of, ""
    yield "two lengths", Chunk(raw, packed=raw[:-1]), any_of, ""
    yield "lz4 damaged", Chunk(raw, LZ4, b"\xff" * (n - 1)), any_of, "lz4"
    yield "lz4 cut off", Chunk(raw, LZ4, b"\x1f\0"), any_of, "lz4"
    yield "lz4 bomb", Chunk(raw, LZ4, z[:n] if len(z) > n else z), any_of, ""
    yield "LZMA damaged", Chunk(raw, LZMA, b"\0" + b"\xff" * (n - 2)), any_of, "lzma"
    yield "LZMA cut off", Chunk(raw, LZMA, packed[:min(n, len(packed)) // 2]), any_of, "lzma"
    small = lzma_raw(b"")[:n]
    yield "LZMA of nothing", Chunk(raw, LZMA, small), any_of, ""
    bomb = lzma_raw(bytes(20 << 10))[:n]
    yield "LZMA bomb", Chunk(raw, LZMA, bomb), any_of, ""
    yield "LZMA as x86", Chunk(raw, X86, b"\0" + b"\xff" * (n - 2)), any_of, ""


def try_tables(b):
    x, y, big = [Chunk(b"x" * 500)], [Chunk(b"y" * 600)], random.Random(9).randbytes(100000)
    t = lambda **kw: one(file("a", b"x" * 500), file("b", b"y" * 600), **kw)
    b.run("table: too few", t(chunks=x), message="fewer")
    b.run("table: none", t(chunks=[]), message="fewer")
    b.run("table: too many", t(chunks=x + y + x), message="more chunks")
    b.run("table: a chunk reaches behind its object", t(chunks=[Chunk(b"x" * 501)] + y), message="behind its object")
    b.run("table: another order", t(chunks=y + x), message="behind its object")
    b.run("table: a chunk reaches behind the data", t(chunks=x + [Chunk(b"y" * 600, packed_len=600, packed=b"y")]), ("invalid", "integrity", "not-found", "io"))
    b.run("table: data twice as long", t(chunks=x + y, data_bytes=5000), ("integrity",), "release names")
    for n in (1, 31, 33):
        b.run("table: of %d bytes" % n, t(chunks=x + y, table=b"q" * n), message="table of %d bytes" % n)
    b.run("table: noise", t(chunks=x + y, table=random.Random(1).randbytes(64)), message="chunk of")
    large = file("l", big)
    b.run("table: large file, chunks of another", one(large, chunks=[Chunk(c.packed, whole=False) for c in cut(big)][::-1]), ("integrity", "invalid"), "")
    b.run("table: raw of a large file is wrong", one(large, chunks=[Chunk(b"w" * c.raw_len, whole=False) for c in cut(big)]), ("integrity",), "not what the tree says")
    for what, chunk, kinds, message in bad_chunks(b"x" * 500):
        b.run("chunk: " + what, t(chunks=[chunk] + y), kinds, message)
        b.run("chunk: second, " + what, one(file("a", b"y" * 600), file("b", b"x" * 500), chunks=y + [chunk]), kinds, message)
    full64 = random.Random(5).randbytes(64000)
    for what, chunk, kinds, message in bad_chunks(full64):
        b.run("chunk of 64000: " + what, one(file("a", full64), chunks=[chunk]), kinds, message)
    zero = bytes(BLOCK)
    tail = lambda packed, codec: one(file("a", zero), chunks=[Chunk(zero, codec, packed)])
    b.run("chunk: lz4 with a tail", tail(lz4_zeros(BLOCK) + b"tail", LZ4), message="lz4")
    b.run("chunk: LZMA with a tail", tail(lzma_raw(zero) + b"tail", LZMA), message="behind the end")
    b.run("chunk: LZMA without its end", tail(lzma_raw(zero)[:-6], LZMA), message="lzma")
    b.run("chunk: LZMA of 20 MB", tail(lzma_raw(bytes(20 << 20)), LZMA), message="lzma")
    b.run("chunk: lz4 of 10 MB", tail(lz4_zeros(10 << 20), LZ4), message="lz4")
    kind, _ = b.run("chunk: right lz4", tail(lz4_zeros(BLOCK), LZ4), may_install=True)
    b.c.check(kind == "", "a right lz4 chunk is refused")
    b.collect()
    kind, _ = b.run("chunk: right LZMA", tail(lzma_raw(zero), LZMA), may_install=True)
    b.c.check(kind == "", "a right LZMA chunk is refused")


# ---- patch packs

def patch_parts():
    """The right one, in parts."""
    old, old_at = tree_and_offsets(OLD_FILES)
    new, new_at = tree_and_offsets(NEW_FILES)
    cover = bytes([0]) + varint(1) + varint(0) + varint(5994) + zigzag(0) + bytes(5994) + b"new a\n"
    rows = [(new_at["a"], [old_at["a"] * 2]), (new_at["bin"], []), (new_at["n"], [new_at["a"] * 2 + 1])]
    objects = [cover, new_object(NEW_FILES["bin"]), new_object(NEW_FILES["n"])]
    return old, new, old_at, new_at, rows, objects


def try_patches(b, old_image):
    old, new, old_at, new_at, rows, objects = patch_parts()
    total = sum(map(len, NEW_FILES.values()))
    go = lambda what, message="", kinds=("invalid",), tree=new, table=None, objects=objects, stream=None, **kw: b.run(
        "patch: " + what, Patch(tree, stream_of(tree, bases_table(*rows) if table is None else table, *objects) if stream is None else stream, old,
                                kw.pop("total", total), **kw), kinds, message, old=old_image, unpacked=kw.pop("unpacked", None))
    a, n = new_at["a"], new_at["n"]
    good = stream_of(new, bases_table(*rows), *objects)
    # tables
    go("table: no end", "ends early", table=bases_table(*rows, end=b""))
    go("table: goes on", "after its end", table=bases_table(*rows) + b"x")
    go("table: five bases", "bases", table=bases_table((a, [16] * 5)))
    go("table: 255 bases", "bases", table=varint(a) + b"\xff\0")
    go("table: an offset that is no entry", "no object", table=bases_table((a + 1, [])))
    go("table: inside of a digest", "", table=bases_table((a + 40, [])))
    go("table: at 0", "after its end", table=varint(0) + b"\0")
    go("table: at 2^62", "", table=varint(1 << 62) + b"\0\0")
    go("table: behind the tree", "no object", table=bases_table((len(new) + 5, [])))
    go("table: a number without end", "large", table=b"\xff" * 20)
    go("table: the same object twice", "", table=varint(a) + b"\0" + varint(0) + b"\0")
    go("table: too few objects", "", ("invalid", "not-found"), table=bases_table(*rows[:2]))
    go("table: of 0 bytes", "a table of 0", stream=new_object(new) + new_object(bytes(8)))
    for size in (1 << 23, 1 << 40, (1 << 64) - 1):
        go("table: of %d bytes" % size, "a table of", stream=new_object(new) + new_object(struct.pack("<Q", size)) + b"x")
    # bases
    go("a base that is the object itself", "not in the store", ("not-found",), table=bases_table((a, [a * 2 + 1]), *rows[1:]))
    go("a base that comes later", "not in the store", ("not-found",), table=bases_table((a, [n * 2 + 1]), *rows[1:]))
    go("bases in a circle", "not in the store", ("not-found",), table=bases_table((a, [n * 2 + 1]), rows[1], (n, [a * 2 + 1])))
    for what, base in (("behind the old tree", (len(old) + 3) * 2), ("behind the new tree", (len(new) + 3) * 2 + 1), ("at 0", 0), ("in the magic", 6),
                       ("inside of an entry", (old_at["a"] + 3) * 2), ("at the end", (len(old) - 32) * 2), ("at 2^40", 1 << 40), ("negative", -4)):
        go("a base " + what, "", table=bases_table((a, [base]), *rows[1:]))
    # streams
    go("another tree", "another tree", ("integrity",), stream=stream_of(new[:-1] + b"x", bases_table(*rows), *objects))
    go("a stream that is too short", "early", stream=good[:-2])
    go("a stream of nothing", "", stream=b"\0")
    go("a stream that is too long", "after the last object", stream=good + b"x")
    go("only the tree", "early", stream=new_object(new))
    go("other bytes", "not what the tree says", ("integrity",), objects=objects[:2] + [new_object(b"NEW")])
    go("unknown flags of an object", "flags", objects=[b"\x80" + objects[0][1:]] + objects[1:])
    go("predicted without prediction", "flags", objects=[b"\x01" + objects[0][1:]] + objects[1:])
    cover = lambda *v: [bytes([0]) + b"".join(v)] + objects[1:]
    go("more covers than told", "range", objects=cover(varint(17)))
    go("2^40 covers", "range", objects=cover(varint(1 << 40)))
    go("a cover of nothing", "cover", objects=cover(varint(1), varint(0), varint(0), zigzag(0)))
    go("a cover longer than the object", "", objects=cover(varint(1), varint(0), varint(6001), zigzag(0)))
    go("a gap longer than the object", "", objects=cover(varint(1), varint(6001), varint(1), zigzag(0)))
    go("a cover behind its base", "outside", objects=cover(varint(1), varint(0), varint(5000), zigzag(1001)))
    go("a cover before its base", "outside", objects=cover(varint(1), varint(0), varint(5000), zigzag(-1)))
    go("a cover at 2^34", "", objects=cover(varint(1), varint(0), varint(5000), varint(1 << 34)))
    go("covers over each other", "", objects=cover(varint(2), varint(0), varint(0), varint(4000), varint(4000), zigzag(0), zigzag(0)))
    go("a number of eleven bytes", "long", objects=cover(b"\xff" * 11))
    runs = lambda *v: [bytes([2]) + varint(1) + varint(0) + varint(6000) + zigzag(0) + b"".join(v)] + objects[1:]
    go("runs longer than the cover", "range", objects=runs(varint(6001)))
    go("empty runs", "empty run", objects=runs(varint(0), varint(0)))
    go("runs of 2^50", "range", objects=runs(varint(1 << 50)))
    # heads
    for what, change, message, kinds in (
            ("magic", dict(magic=b"LMPTCH9\n"), "no patch pack", ("invalid",)), ("codec 9", dict(codec=9), "codec", ("unsupported",)),
            ("codec 3", dict(codec=3), "codec", ("unsupported",)), ("flags", dict(flags=2), "flags", ("unsupported",)), ("reserved", dict(zero=1), "flags", ("unsupported",)),
            ("more segments", dict(n=2), "", ("invalid",)), ("2^32-1 segments", dict(n=(1 << 32) - 1), "", ("invalid",)), ("no segments", dict(n=0), "", ("invalid",)),
            ("16385 covers", dict(covers=16385), "covers", ("invalid",)), ("2^32-1 covers", dict(covers=(1 << 32) - 1), "covers", ("invalid",)),
            ("pieces without prediction", dict(pieces=5), "covers", ("invalid",)), ("covers and pieces with LZMA", dict(covers=16384, pieces=16384, flags=1, codec=LZMA), "", ("no-space", "invalid")),
            ("2 MB of memory", dict(memory=2 << 20), "memory", ("no-space",)), ("raw 2^63", dict(raw=1 << 63), "range", ("invalid",)),
            ("raw one less", dict(raw=len(good) - 1), "lengths", ("invalid",)), ("raw one more", dict(raw=len(good) + 1), "lengths", ("invalid",)),
            ("bytes behind", dict(more=b"x"), "lengths", ("invalid",)), ("LZMA properties", dict(codec=LZMA, props=255), "propert", ("invalid",)),
            ("raw as lz4", dict(codec=LZ4), "lz4", ("invalid",)), ("raw as LZMA", dict(codec=LZMA), "lzma", ("invalid",))):
        go("head: " + what, message, kinds, stream=good, **change)
    for n in (0, 8, 35, 36, 50):
        p = Patch(new, good, old, total)
        p.pack = p.pack[:n] or b"x"
        b.run("patch: %d bytes of it" % n, p, ("invalid", "io"), "", old=old_image)
    # segments
    seg = lambda *s, codec=RAW, message="", kinds=("invalid",), what="": go("segments: " + what, message, kinds, segments=list(s), stream=b"", codec=codec)
    seg((good, len(good), sha(b"x")), what="another digest", message="hash", kinds=("integrity",))
    seg((good, len(good) + 5, sha(good)), what="raw longer than packed", message="", kinds=("invalid",))
    seg((good, 0, sha(good)), what="of no bytes", message="range")
    seg((good, (1 << 32) - 1, sha(good)), what="of 2^32-1 bytes", message="length")
    lz = b"".join(struct.pack("<I", len(p) | 1 << 31) + p for p in (good[i:i + BLOCK] for i in range(0, len(good), BLOCK)))
    seg((lz + b"tail", len(good), sha(lz + b"tail")), codec=LZ4, what="lz4 with a tail", message="behind the end")
    seg((lz[:-5], len(good), sha(lz[:-5])), codec=LZ4, what="lz4 cut off", message="")
    bomb = struct.pack("<I", len(lz4_zeros(10 << 20))) + lz4_zeros(10 << 20)
    seg((bomb, 256 << 10, sha(bomb)), codec=LZ4, what="lz4 bomb", message="lz4")
    xz = lzma_raw(good)
    seg((xz + b"tail", len(good), sha(xz + b"tail")), codec=LZMA, what="LZMA with a tail", message="behind")
    seg((xz[:-9], len(good), sha(xz[:-9])), codec=LZMA, what="LZMA cut off", message="")
    xb = lzma_raw(bytes(20 << 20))
    seg((xb, 1 << 20, sha(xb)), codec=LZMA, what="LZMA bomb", message="", kinds=("invalid", "integrity"))
    # sizes
    zeros = bytes(3 << 20)
    big, big_at = tree_and_offsets({"z": zeros})
    zt = bases_table((big_at["z"], []))
    go("more bytes than signed", "signed", tree=big, table=zt, objects=[new_object(zeros)], total=100000)
    go("more bytes than it says", "says", tree=big, table=zt, objects=[new_object(zeros)], total=len(zeros), writes=100000)
    huge, huge_at = tree_of(file("z", b"x", size=1 << 62)), {"z": 8}
    go("a file of 2^62 bytes", "", ("invalid", "no-space"), tree=huge, table=bases_table((8, [])), objects=[b"\0\0x"], total=100000)
    flood = tree_of(*[file("f%05d" % i, b"%d" % i) for i in range(900)])
    go("an op flood", "", ("invalid", "integrity"), tree=flood, table=b"\1\0" * 60000 + b"\0", objects=[b"\0\0"] * 60000, total=60000)
    # a file that the tree does not have, hidden in a digest: asked for by an offset into it
    body = b"hidden" * 2000
    path = b"zz" + sha(body)
    hidden = tree_of(file("a", b"x", digest=head_of(FILE, b"zz", size=len(body))), entry(LINK, "zz", link="q"))
    at = 8 + 32 + 1
    go("an object that is no entry", "", ("invalid",), tree=hidden, table=bases_table((at, [])), objects=[new_object(body)], total=len(body))
    b.c.check(not [n for _, _, fs in os.walk(os.path.join(b.store, "staged")) for n in fs if n.startswith(sha(body).hex())], "it made a file that no tree has")


def try_releases(b, old_image):
    f = full_of(NEW_FILES)
    wrong = "sha256:" + "1" * 64
    b.run("release: another tree", f, ("integrity",), "release names", tree_digest=wrong)
    b.run("release: another size of the tree", f, ("integrity",), "release names", tree_bytes=len(f.tree) + 1)
    b.run("release: another data", f, ("integrity",), "release names", in_pack={"data": {"digest": wrong, "size": len(f.data)}})
    b.run("release: another size of the data", f, ("integrity",), "release names", in_pack={"data": {"digest": name(f.data), "size": len(f.data) + 1}})
    b.run("release: another head", f, ("io", "not-found"), "", in_pack={"digest": wrong})
    b.run("release: codec", f, ("not-found",), "no such pack", in_pack={"codec": "zip"})
    b.run("release: no sizes", f, ("invalid",), "size", in_pack={"size": 0})
    old, new, _, _, rows, objects = patch_parts()
    p = Patch(new, stream_of(new, bases_table(*rows), *objects), old, sum(map(len, NEW_FILES.values())))
    b.run("release: patch, another tree", p, ("integrity",), "another tree", old=old_image, tree_digest=wrong)
    b.run("release: patch, a tree of another size", p, ("integrity", "invalid"), "", old=old_image, tree_bytes=len(new) + 1)
    b.run("release: patch, a tree that is not here", p, ("not-found",), "missing", old=old_image, in_pack={"from": {"tree": wrong, "size": 5}})
    b.run("release: patch, no such blob", p, ("io", "not-found"), "", old=old_image, in_pack={"digest": wrong})


def main():
    if not os.path.exists(PACK_TOOL):
        skip("no pack-tool")
    with Case() as c:
        b = Bench(c)
        old, new, _, _, rows, objects = patch_parts()
        right = Patch(new, stream_of(new, bases_table(*rows), *objects), old, sum(map(len, NEW_FILES.values())))
        b.keep = [old_image := b.control("control: full pack", full_of(OLD_FILES), OLD_FILES)]
        b.control("control: patch", right, NEW_FILES, old_image)
        b.collect()
        for part in (try_trees, try_heads, try_tables):
            part(b)
        try_patches(b, old_image)
        try_releases(b, old_image)
        orders = try_orders(b)
        b.collect()
        b.control("control: patch, afterwards", right, NEW_FILES, old_image)
        b.control("control: full pack, afterwards", full_of({**NEW_FILES, "more": b"m"}), {**NEW_FILES, "more": b"m"}, old_image)
        for complaint in check_store(b.store):
            c.check(False, complaint)
        c.check(not [n for n in os.listdir(c.dir) if "evil" in n], "something was written outside")
        print("packs tried: %d (%d orders of entries among them), refused %d, went in %d; slowest %.1f s, most memory %d KiB"
              % (b.n, orders, b.refused, b.installed, b.slowest, b.peak))


main()
