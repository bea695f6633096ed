"""Layers packed with zstd: a real image, frames in all forms, and hostile ones."""
import struct

from ota_image import *

MEMORY_KIB = 16 << 10  # of the untar program with the largest window


def zstd(data, *options):
    """As a stream, so that no frame knows its size."""
    return subprocess.run(["zstd", "-q", "-c", *options], input=data, check=True, stdout=subprocess.PIPE).stdout


def skippable(n, content):
    return struct.pack("<II", 0x184D2A50 + n, len(content)) + content


def frame(window_log, blocks, checksum=False):
    """A frame by hand: no size, window 2^window_log, blocks of (kind, size, bytes): 0 raw, 1 one byte repeated."""
    out = b"\x28\xb5\x2f\xfd" + bytes([4 if checksum else 0, (window_log - 10) << 3])
    for n, (kind, size, body) in enumerate(blocks):
        out += struct.pack("<I", (n == len(blocks) - 1) | kind << 1 | size << 3)[:3] + body
    return out


def layer(c, n, plain, packed):
    return Layout(c.path("z%d" % n), [plain], packed=[packed], codec="zstd")


def try_right(c, store, plain, want):
    noise = skippable(7, b"noise" * 100)
    a, b = plain[:len(plain) // 3], plain[len(plain) // 3:]
    forms = {"plain": zstd(plain), "fast": zstd(plain, "--fast=5"), "best": zstd(plain, "-19"), "without a checksum": zstd(plain, "--no-check"),
             "of three frames": zstd(a) + zstd(b[:1000], "-19") + zstd(b[1000:]), "with skippable frames": noise + zstd(a) + noise + skippable(0, b"") + zstd(b) + noise,
             "with an empty frame": zstd(b"") + zstd(plain), "window of 8 MiB": zstd(plain, "-3", "--zstd=wlog=23")}
    for n, (what, packed) in enumerate(forms.items()):
        image = layer(c, n, plain, packed)
        kind, out, err = install(store, image)
        c.check(kind == "", "%s: %s" % (what, err))
        c.check(kind != "" or differences(tree(rootfs(store, image.digest)), want) == [], what + ": another tree")
        tool(store, "collect")


def try_hostile(c, store, plain):
    packed = zstd(plain)
    bomb = frame(17, [(1, 128 << 10, b"\0")] * 40000)  # 5 GB of zeros in 160 kB
    cases = {
        "cut off": (packed[:-3], "invalid", "cut off"), "half of it": (packed[:len(packed) // 2], "invalid", "cut off"), "nothing": (b"", "invalid", "size"),
        "half a magic number": (packed[:3], "invalid", "cut off"), "half a magic number behind it": (packed + packed[:3], "invalid", "cut off"),
        "only skippable": (skippable(3, b"x"), "invalid", ""), "a skippable frame of 4 GB": (skippable(1, b"")[:4] + b"\xff" * 4 + packed, "invalid", "cut off"),
        "garbage behind": (packed + b"garbage", "invalid", "garbage"), "zeros behind": (packed + bytes(8), "invalid", "garbage"), "gzip behind": (packed + gzip.compress(b"x"), "invalid", "garbage"),
        "gzip": (gzip.compress(plain), "invalid", "not this format"), "an old format": (b"\x27\xb5\x2f\xfd" + packed[4:], "invalid", "not this format"),
        "another byte": (packed[:len(packed) // 2] + bytes([packed[len(packed) // 2] ^ 1]) + packed[len(packed) // 2 + 1:], "invalid", "zstd"),
        "another checksum": (packed[:-1] + bytes([packed[-1] ^ 1]), "invalid", "hecksum"), "a dictionary": (packed[:4] + b"\x01\x58\x07" + packed[6:], "invalid", "zstd"),
        "a block of 2 MB": (frame(20, [(0, (2 << 20) - 1, b"x")]), "invalid", "zstd"), "reserved block": (frame(20, [(3, 5, b"xxxxx")]), "invalid", "zstd"),
        "bomb": (bomb, "invalid", "unpacks to more"), "bomb of frames": (zstd(bytes(1 << 20)) * 3000, "invalid", "unpacks to more"),
        "window of 16 MiB": (zstd(plain, "--zstd=wlog=24"), "unsupported", "window"), "window of 128 MiB": (zstd(plain, "--long=27"), "unsupported", "window"),
        "window of 2 GiB": (frame(31, [(0, 3, b"abc")]), "unsupported", "window"), "window of 3.75 TiB": (frame(41, [(0, 3, b"abc")]), "unsupported", "window"),
    }
    for n, (what, (data, kind, message)) in enumerate(cases.items()):
        image = layer(c, 100 + n, plain, data)
        got, out, err = install(store, image, 60 << 20, 1000)
        c.check(got == kind and message in err, "%s: wanted %s (%s), got %s: %s" % (what, kind, message, got, err))
        c.check(not os.path.exists(rootfs(store, image.digest)) and os.listdir(os.path.join(store, "tmp")) == [], what + ": left something")
        tool(store, "collect")
    return len(cases)


def try_real(c, store, plain):
    """As skopeo packs it, layer by layer, compared with what umoci unpacks of the same image in gzip."""
    image = Layout(c.path("real"), [plain, tar(member(".wh.text"), member("more/file", data=bytes(300000)), member("l", data=b"no link"))])
    bundle = c.path("unpacked")
    subprocess.run(["umoci", "unpack", "--image", image.path + ":t", bundle], check=True, stdout=subprocess.DEVNULL)
    want = tree(os.path.join(bundle, "rootfs"))
    to = c.path("skopeo")
    subprocess.run(["skopeo", "copy", "--quiet", "--dest-compress-format", "zstd", "--dest-compress", "oci:%s:t" % image.path,
                    "dir:" + to], check=True, stdout=subprocess.DEVNULL)
    manifest = open(os.path.join(to, "manifest.json"), "rb").read()
    c.check(b"tar+zstd" in manifest, "skopeo did not pack with zstd: %s" % manifest[:300])
    digest = hashlib.sha256(manifest).hexdigest()
    os.rename(os.path.join(to, "manifest.json"), os.path.join(to, digest))
    files = [os.path.join(to, n) for n in os.listdir(to) if len(n) == 64]
    kind, out, err = tool(store, "put", *files)
    c.check(kind == "", err)
    kind, out, err = tool(store, "install", "sha256:" + digest)
    c.check(kind == "", err)
    c.check(kind == "" and differences(tree(rootfs(store, "sha256:" + digest)), want) == [], "real image: another tree")


def try_memory(c, store):
    """With the largest window and more content than it holds."""
    import random
    import resource
    rnd = random.Random(2)
    plain = tar(member("r", data=rnd.randbytes(12 << 20)), member("s", data=rnd.randbytes(12 << 20)))
    image = layer(c, 300, plain, zstd(plain, "-3", "--zstd=wlog=23"))
    kind, out, err = tool(store, "put", *image.files())
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    p = subprocess.run(["python3", "-c", "import resource,subprocess,sys;r=subprocess.run(sys.argv[1:]).returncode;"
                        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss);sys.exit(r)", TOOL, store, "install", image.digest],
                       env=dict(os.environ, UNTAR=os.path.join(BUILD, "bin", "agentd-untar")), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    peak = int(p.stdout.split()[-1])
    c.check(p.returncode == 0, "24 MB with a window of 8 MiB: " + p.stderr.decode())
    c.check(peak < MEMORY_KIB or os.environ.get("SANITIZED") == "1", "%d KiB of memory" % peak)
    print("window of 8 MiB: at most %d KiB resident in the job or its untar program" % peak)


def try_publish(c, plain):
    """fleetctl reads them as the device does: the same tree as of the same layers in gzip; a damaged one is not published."""
    made, env = [], dict(os.environ, FLEETCTL_DIR=c.path("fleet"))
    fleetctl = lambda *args: subprocess.run([os.path.join(BUILD, "bin", "fleetctl"), *args], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    c.check(fleetctl("init", "--fleet", "test").returncode == 0, "init")
    broken = zstd(plain)[:-5]
    for n, packed in enumerate((gzip.compress(plain, mtime=0), zstd(plain), broken)):
        image = Layout(c.path("publish%d" % n), [plain], packed=[packed], codec="zstd" if n else "gzip")
        p = fleetctl("publish", "dir:%s@%s" % (image.path, image.digest), "--name", "app", "--version", str(n + 1), "--codec", "lz4")
        c.check((p.returncode == 0) == (n < 2), "publish %d: %s" % (n, p.stderr.decode()))
        c.check(n < 2 or b"zstd: cut off" in p.stderr, p.stderr.decode())
        if n < 2:
            import base64
            with open(c.path("fleet", "releases", "app", "%d.json" % (n + 1))) as f:
                one = json.loads(base64.b64decode(json.load(f)["payload"]))["platforms"][0]
            made.append({k: one[k] for k in ("tree", "unpacked_bytes", "inodes")})
    c.check(len(made) == 2 and made[0] == made[1], "gzip and zstd: %s" % made)


def main():
    with Case() as c:
        store = c.path("store")
        plain = tar(member("bin", T.DIRTYPE, mode=0o755), member("bin/busybox", data=open(shutil.which("busybox"), "rb").read(), mode=0o755),
                    member("text", data=b"some text, again and again\n" * 9000), member("l", T.SYMTYPE, link="text"))
        image = Layout(c.path("gzip"), [plain])
        kind, out, err = install(store, image)
        c.check(kind == "", err)
        want = tree(rootfs(store, image.digest))
        tool(store, "collect")
        try_right(c, store, plain, want)
        n = try_hostile(c, store, plain)
        try_publish(c, plain)
        try_memory(c, store)
        try_real(c, store, plain)
        print("%d hostile layers" % n)
        for complaint in check_store(store):
            c.check(False, complaint)


main()
