"""Layouts over CoAP and CoAPS: a server of files that may lie, and a hostile peer that speaks UDP by hand."""
import socket
import threading

from ota_chunks import *

DATA = random.Random(4).randbytes(300_000)
HEX = hashlib.sha256(DATA).hexdigest()
DIGEST = "sha256:" + HEX
SPANS = some_spans(len(DATA), 6, most=9000)
WANTED = wanted(DATA, SPANS)
KEY = "00112233445566778899aabbccddeeff"


class Files:
    """coap-files of this build, on a free port."""
    all = []

    def __init__(self, folder, *args):
        for _ in range(20):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.bind(("127.0.0.1", 0))
                self.port = s.getsockname()[1]
            self.p = subprocess.Popen([os.path.join(BUILD, "bin", "coap-files"), folder, str(self.port), *map(str, args)], stdout=subprocess.PIPE)
            Files.all.append(self.p)
            if self.p.stdout.readline() == b"ready\n":
                return
        raise RuntimeError("coap-files does not start")

    def url(self, scheme="coap", host="127.0.0.1"):
        return "%s://%s:%d/img" % (scheme, host, self.port)


def get_chunks(c, name, *urls, env=None, spans=SPANS):
    path = chunk_list(c.path("list-" + name), DATA, spans)
    kind, got, fetched, err = chunks(c.path("s-" + name), DIGEST, len(DATA), path, *urls, env=env)
    c.check(wanted(DATA, spans).startswith(got), name + ": wrong bytes were handed on")
    return kind, got == wanted(DATA, spans), fetched, err


def get_blob(c, name, *urls, env=None):
    store = c.path("b-" + name)
    kind, _, err = tool(store, "fetch", DIGEST, len(DATA), "BLOB", "--", *urls, env=dict({"DEADLINE_MS": "20000"}, **(env or {})))
    return kind, os.path.exists(os.path.join(store, "blobs", HEX)), err


def try_plain(c, folder):
    for szx in (6, 5, 2):
        s = Files(folder, "--szx", szx)
        kind, whole, fetched, err = get_chunks(c, "plain", s.url())
        c.check(kind == "" and whole, "blocks of %d: %s %s" % (16 << szx, kind, err))
        c.check(szx < 5 or len(WANTED) <= fetched < len(WANTED) * 1.4, "fetched %d for %d" % (fetched, len(WANTED)))
        kind, held, err = get_blob(c, "plain", s.url() + "/")
        c.check(kind == "" and held, "blob, blocks of %d: %s %s" % (16 << szx, kind, err))
    kind, held, err = get_blob(c, "no-blob", s.url() + "/other")
    c.check(kind == "not-found" and not held, "no such blob: %s %s" % (kind, err))
    kind, _, _, err = get_chunks(c, "budget", s.url(), env={"BUDGET": "50000"})
    c.check(kind == "denied" and "byte budget" in err, "budget: %s %s" % (kind, err))
    start = time.time()
    kind, whole, _, err = get_chunks(c, "rate", Files(folder).url(), spans=[(0, 9000), (20000, 6000)], env={"RATE": "10000"})
    c.check(kind == "" and whole and time.time() - start > 0.8, "rate: %s %s" % (kind, err))


def try_image(c):
    """All of an image, its manifest a blob like the others."""
    image = Layout(c.path("layout/a"), [tar(member("etc/", T.DIRTYPE, mode=0o755), member("etc/x", data=b"x" * 70000))])
    s = Files(c.path("layout"))
    store = c.path("s-image")
    kind, _, err = tool(store, "fetch", image.digest, image.size, "--", "coap://127.0.0.1:%d/a" % s.port)
    c.check(kind == "", "image: %s %s" % (kind, err))
    kind, _, err = tool(store, "install", image.digest)
    c.check(kind == "" and os.path.getsize(os.path.join(rootfs(store, image.digest), "etc/x")) == 70000, "install: %s %s" % (kind, err))


def try_lies(c, folder):
    good = Files(folder)
    for lie, alone in (("gap", "timeout"), ("overlap", "timeout"), ("etag", "timeout"), ("size", "integrity"), ("short", "timeout"), ("code", "timeout"),
                       ("silent", "timeout")):
        for first in (1, 12):
            bad = Files(folder, "--lie", lie, first)
            name = "%s-%d" % (lie, first)
            kind, whole, _, err = get_chunks(c, name, bad.url(), env={"DEADLINE_MS": "1500", "STALL_S": "1"})
            c.check(kind == alone and not whole, "%s alone: %s %s" % (name, kind, err))
            bad = Files(folder, "--lie", lie, first)
            kind, whole, _, err = get_chunks(c, name + "-pair", bad.url(), good.url(), env={"STALL_S": "1"})
            c.check(kind == "" and whole, "%s and a good one: %s %s" % (name, kind, err))
        bad = Files(folder, "--lie", lie, 20)
        kind, held, err = get_blob(c, name + "-pair", bad.url(), good.url(), env={"STALL_S": "1"})
        c.check(kind == "" and held, "%s and a good one, blob: %s %s" % (lie, kind, err))


def certificate(c, name, san):
    key, crt = c.path(name + ".key"), c.path(name + ".crt")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-keyout", key,
                    "-out", crt, "-subj", "/CN=localhost", "-addext", "subjectAltName=" + san], check=True, stderr=subprocess.DEVNULL)
    return key, crt


def auth_file(c, name, text):
    with open(c.path(name), "w") as f:
        f.write(text)
    return c.path(name)


def try_psk(c, folder):
    s = Files(folder, "--psk", "device-7", KEY)
    right = auth_file(c, "right", "user:password\npsk device-7 %s\n" % KEY)
    kind, whole, _, err = get_chunks(c, "psk", s.url("coaps"), env={"AUTH": right})
    c.check(kind == "" and whole, "psk: %s %s" % (kind, err))
    kind, held, err = get_blob(c, "psk", s.url("coaps"), env={"AUTH": right})
    c.check(kind == "" and held, "psk, blob: %s %s" % (kind, err))
    for name, text, want in (("key", "psk device-7 %s\n" % KEY[::-1], "timeout"), ("identity", "psk device-8 %s\n" % KEY, "timeout"),
                             ("no-hex", "psk device-7 xy\n", "invalid"), ("no-key", "psk device-7\n", "invalid")):
        kind, held, err = get_blob(c, "psk-" + name, s.url("coaps"), env={"AUTH": auth_file(c, name, text), "DEADLINE_MS": "2000"})
        c.check(kind == want and not held, "another %s: %s %s" % (name, kind, err))


def try_names(c, folder):
    pairs = {n: certificate(c, n, san) for n, san in (("ip", "IP:127.0.0.1"), ("dns", "DNS:localhost"), ("other", "DNS:other.example"), ("wild", "DNS:*.localhost"))}
    servers = {n: Files(folder, "--cert", crt, key) for n, (key, crt) in pairs.items()}
    for name, host, want in (("ip", "127.0.0.1", ""), ("ip", "localhost", "denied"), ("dns", "localhost", ""), ("dns", "127.0.0.1", "denied"),
                             ("other", "localhost", "denied"), ("other", "127.0.0.1", "denied"), ("wild", "localhost", "denied")):
        kind, held, err = get_blob(c, name + host, servers[name].url("coaps", host), env={"CA": pairs[name][1], "DEADLINE_MS": "8000"})
        c.check(kind == want and held == (want == ""), "certificate for %s, asked as %s: %s %s" % (name, host, kind, err))
    for name, env in (("another CA", {"CA": pairs["dns"][1]}), ("no CA", {})):
        kind, held, err = get_blob(c, name.replace(" ", "-"), servers["ip"].url("coaps"), env=dict(env, DEADLINE_MS="2000"))
        c.check(kind in ("timeout", "denied") and not held, "%s: %s %s" % (name, kind, err))


class Peer:
    """A CoAP server by hand. `twist` gets (number, mid, token, block, good answer) and gives the datagrams that are sent."""

    def __init__(self, twist):
        self.twist, self.tokens, self.resets, self.n, self.seen = twist, [], 0, 0, set()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        threading.Thread(target=self.run, daemon=True).start()

    def url(self):
        return "coap://127.0.0.1:%d/img" % self.sock.getsockname()[1]

    @staticmethod
    def options(p):
        out, number, at = {}, 0, 0
        while at < len(p) and p[at] != 0xFF:
            delta, n = p[at] >> 4, p[at] & 15
            at += 1
            if delta == 13:
                delta, at = p[at] + 13, at + 1
            if n == 13:
                n, at = p[at] + 13, at + 1
            number += delta
            out.setdefault(number, []).append(p[at:at + n])
            at += n
        return out

    @staticmethod
    def answer(mid, token, num, more, data, kind=2):
        block = (num << 4 | (8 if more else 0) | 6).to_bytes(3, "big").lstrip(b"\0")
        # ETag (4), Block2 (23): delta 19 is written as 13 + 6
        return bytes([0x40 | kind << 4 | len(token), 0x45]) + mid + token + b"\x42ab" + bytes([0xD0 | len(block), 6]) + block + b"\xff" + data

    def run(self):
        while True:
            p, where = self.sock.recvfrom(2048)
            if p[0] >> 4 & 3 == 3:
                self.resets += 1
            if p[1] != 1:
                continue
            token, mid = p[4:4 + (p[0] & 15)], p[2:4]
            if mid not in self.seen:
                self.tokens.append(token)
                self.seen.add(mid)
            num = int.from_bytes(self.options(p[4 + len(token):])[23][0], "big") >> 4
            data = DATA[num << 10:(num + 1) << 10]
            more = len(DATA) > (num + 1) << 10
            self.n += 1
            for sock, d in self.twist(self, self.n, mid, token, num, self.answer(mid, token, num, more, data)):
                sock.sendto(d, where)


def wrong(mid, token, num, kind=2):
    return Peer.answer(mid, token, num, True, b"x" * 1024, kind)


def try_peer(c):
    few = [(0, 20000), (100000, 5000)]

    def honest(p, n, mid, token, num, good):
        return [(p.sock, good)]

    def twice(p, n, mid, token, num, good):
        return [(p.sock, good), (p.sock, good)]

    def lossy(p, n, mid, token, num, good):
        return [] if n == 5 else [(p.sock, good)]

    def other_port(p, n, mid, token, num, good):
        return [(p.other, wrong(mid, token, num)), (p.sock, good)]

    def guessed_token(p, n, mid, token, num, good):
        """Somebody who cannot read what is asked, but sends from the right address: tokens are guessed in messages of his own."""
        return [(p.sock, wrong(bytes([n % 256, 77]), bytes(8), num, kind=1)), (p.sock, wrong(bytes([n % 256, 78]), token[:4], num, kind=1)), (p.sock, good)]

    for twist in (honest, twice, lossy, other_port, guessed_token):
        p = Peer(twist)
        kind, whole, _, err = get_chunks(c, twist.__name__, p.url(), spans=few)
        c.check(kind == "" and whole, "%s: %s %s" % (twist.__name__, kind, err))
        c.check(all(len(t) >= 4 for t in p.tokens) and len(set(p.tokens)) == len(p.tokens), "%s: tokens %s" % (twist.__name__, p.tokens[:3]))
        gaps = {int.from_bytes(b, "big") - int.from_bytes(a, "big") for a, b in zip(p.tokens, p.tokens[1:])}
        c.check(len(gaps) > len(p.tokens) // 2, "%s: tokens can be guessed: %s" % (twist.__name__, p.tokens[:4]))

    def wrong_token(p, n, mid, token, num, good):
        return [(p.sock, wrong(mid, bytes(8), num))]

    def wrong_block(p, n, mid, token, num, good):
        return [(p.sock, wrong(mid, token, num + 1))]

    def no_block(p, n, mid, token, num, good):
        return [(p.sock, bytes([0x68, 0x45]) + mid + token + b"\xff" + DATA[:1024])]

    def garbage(p, n, mid, token, num, good):
        return [(p.sock, bytes([0x68, 0x45]) + mid + token + b"\xe0\xff\xff" + b"\xff" * n)]

    for twist, want in ((wrong_token, "timeout"), (wrong_block, "timeout"), (no_block, "integrity"), (garbage, "timeout")):
        p = Peer(twist)
        kind, whole, _, err = get_chunks(c, twist.__name__, p.url(), spans=few, env={"DEADLINE_MS": "2500", "STALL_S": "1"})
        c.check(kind == want and not whole and p.n > 0, "%s: %s %s" % (twist.__name__, kind, err))

    def wrong_bytes(p, n, mid, token, num, good):
        return [(p.sock, wrong(mid, token, num))]

    kind, whole, _, err = get_chunks(c, "bytes", Peer(wrong_bytes).url(), spans=few)
    c.check(kind == "integrity" and not whole, "wrong bytes: %s %s" % (kind, err))


def main():
    with Case() as c:
        folder = c.path("files")
        os.makedirs(os.path.join(folder, "img/blobs/sha256"))
        with open(os.path.join(folder, "img/blobs/sha256", HEX), "wb") as f:
            f.write(DATA)
        try:
            for part in (lambda c: try_plain(c, folder), try_image, lambda c: try_lies(c, folder), lambda c: try_psk(c, folder), lambda c: try_names(c, folder), try_peer):
                start = time.time()
                part(c)
                print("part of %.1f s" % (time.time() - start))
        finally:
            for p in Files.all:
                p.kill()
                p.wait()


main()
