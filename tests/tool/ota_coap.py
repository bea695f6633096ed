"""Layouts over CoAP and CoAPS: a server of files that may lie, and a hostile peer that speaks UDP by hand."""
from coap_peer import *
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

    def __init__(self, directory, *args):
        for _ in range(20):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.bind(("127.0.0.1", 0))
                self.port = s.getsockname()[1]
            self.p = subprocess.Popen([os.path.join(BUILD, "bin", "coap-files"), directory, str(self.port), *map(str, args)], stdout=subprocess.PIPE)
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


def gave_up(kind, want):
    """Who is not served ends at its deadline or, by the chance in its waits, with its last try before that."""
    return kind == want or (want == "timeout" and kind == "network")


def until(want, timeout_ms):
    """The deadline of one who must time out; who must see what is wrong has the time for it."""
    return str(timeout_ms if want == "timeout" else 60000)


def get_blob(c, name, *urls, env=None):
    store = c.path("b-" + name)
    kind, _, err = tool(store, "fetch", DIGEST, len(DATA), "BLOB", "--", *urls, env=dict({"DEADLINE_MS": "180000"}, **(env or {})))
    return kind, os.path.exists(os.path.join(store, "blobs", HEX)), err


def try_plain(c, directory):
    for szx in (6, 5, 2):
        s = Files(directory, "--szx", szx)
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
    kind, whole, _, err = get_chunks(c, "rate", Files(directory).url(), spans=[(0, 9000), (20000, 6000)], env={"RATE": "10000"})
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


def try_lies(c, directory):
    good = Files(directory)
    for lie, alone in (("gap", "timeout"), ("overlap", "timeout"), ("etag", "timeout"), ("size", "source"), ("short", "timeout"), ("code", "timeout"),
                       ("silent", "timeout")):
        for first in (1, 12):
            bad = Files(directory, "--lie", lie, first)
            name = "%s-%d" % (lie, first)
            kind, whole, _, err = get_chunks(c, name, bad.url(), env={"DEADLINE_MS": until(alone, 1500), "STALL_S": "1"})
            c.check(gave_up(kind, alone) and not whole, "%s alone: %s %s" % (name, kind, err))
            bad = Files(directory, "--lie", lie, first)
            kind, whole, _, err = get_chunks(c, name + "-pair", bad.url(), good.url(), env={"STALL_S": "1"})
            c.check(kind == "" and whole, "%s and a good one: %s %s" % (name, kind, err))
        bad = Files(directory, "--lie", lie, 20)
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


def try_psk(c, directory):
    s = Files(directory, "--psk", "device-7", KEY)
    right = auth_file(c, "right", "user:password\npsk device-7 %s\n" % KEY)
    kind, whole, _, err = get_chunks(c, "psk", s.url("coaps"), env={"AUTH": right})
    c.check(kind == "" and whole, "psk: %s %s" % (kind, err))
    kind, held, err = get_blob(c, "psk", s.url("coaps"), env={"AUTH": right})
    c.check(kind == "" and held, "psk, blob: %s %s" % (kind, err))
    for name, text, want in (("key", "psk device-7 %s\n" % KEY[::-1], "timeout"), ("identity", "psk device-8 %s\n" % KEY, "timeout"),
                             ("no-hex", "psk device-7 xy\n", "io"), ("no-key", "psk device-7\n", "io")):
        kind, held, err = get_blob(c, "psk-" + name, s.url("coaps"), env={"AUTH": auth_file(c, name, text), "DEADLINE_MS": until(want, 2000)})
        c.check(gave_up(kind, want) and not held, "another %s: %s %s" % (name, kind, err))


def try_names(c, directory):
    pairs = {n: certificate(c, n, san) for n, san in (("ip", "IP:127.0.0.1"), ("dns", "DNS:localhost"), ("other", "DNS:other.example"), ("wild", "DNS:*.localhost"))}
    servers = {n: Files(directory, "--cert", crt, key) for n, (key, crt) in pairs.items()}
    for name, host, want in (("ip", "127.0.0.1", ""), ("ip", "localhost", "source"), ("dns", "localhost", ""), ("dns", "127.0.0.1", "source"),
                             ("other", "localhost", "source"), ("other", "127.0.0.1", "source"), ("wild", "localhost", "source")):
        kind, held, err = get_blob(c, name + host, servers[name].url("coaps", host), env={"CA": pairs[name][1], "DEADLINE_MS": "60000"})
        c.check(kind == want and held == (want == ""), "certificate for %s, asked as %s: %s %s" % (name, host, kind, err))
    for name, env in (("another CA", {"CA": pairs["dns"][1]}), ("no CA", {})):
        kind, held, err = get_blob(c, name.replace(" ", "-"), servers["ip"].url("coaps"), env=dict(env, DEADLINE_MS="2000"))
        c.check(kind in ("timeout", "source") and not held, "%s: %s %s" % (name, kind, err))


def wrong(p, mid, token, num, kind=ACK):
    return p.answer(mid, token, num, True, b"x" * 1024, kind)


def try_peer(c):
    few = [(0, 20000), (100000, 5000)]

    def honest(p, n, mid, token, num, good):
        return [(p.sock, good)]

    def twice(p, n, mid, token, num, good):
        return [(p.sock, good), (p.sock, good)]

    def lossy(p, n, mid, token, num, good):
        return [] if n == 5 else [(p.sock, good)]

    def other_port(p, n, mid, token, num, good):
        return [(p.other, wrong(p, mid, token, num)), (p.sock, good)]

    def guessed_token(p, n, mid, token, num, good):
        """Somebody who cannot read what is asked, but sends from the right address: tokens are guessed in messages of his own."""
        return [(p.sock, wrong(p, bytes([n % 256, 77]), bytes(8), num, kind=NON)), (p.sock, wrong(p, bytes([n % 256, 78]), token[:4], num, kind=NON)), (p.sock, good)]

    for twist in (honest, twice, lossy, other_port, guessed_token):
        p = Peer(DATA, twist)
        kind, whole, _, err = get_chunks(c, twist.__name__, p.url(), spans=few)
        c.check(kind == "" and whole, "%s: %s %s" % (twist.__name__, kind, err))
        c.check(all(len(t) >= 4 for t in p.tokens) and len(set(p.tokens)) == len(p.tokens), "%s: tokens %s" % (twist.__name__, p.tokens[:3]))
        gaps = {int.from_bytes(b, "big") - int.from_bytes(a, "big") for a, b in zip(p.tokens, p.tokens[1:])}
        c.check(len(gaps) > len(p.tokens) // 2, "%s: tokens can be guessed: %s" % (twist.__name__, p.tokens[:4]))

    def wrong_token(p, n, mid, token, num, good):
        return [(p.sock, wrong(p, mid, bytes(8), num))]

    def wrong_block(p, n, mid, token, num, good):
        return [(p.sock, wrong(p, mid, token, num + 1))]

    def no_block(p, n, mid, token, num, good):
        return [(p.sock, bytes([0x68, 0x45]) + mid + token + b"\xff" + DATA[:1024])]

    def garbage(p, n, mid, token, num, good):
        return [(p.sock, bytes([0x68, 0x45]) + mid + token + b"\xe0\xff\xff" + b"\xff" * n)]

    for twist, want in ((wrong_token, "timeout"), (wrong_block, "timeout"), (no_block, "source"), (garbage, "timeout")):
        p = Peer(DATA, twist)
        kind, whole, _, err = get_chunks(c, twist.__name__, p.url(), spans=few, env={"DEADLINE_MS": until(want, 2500), "STALL_S": "1"})
        c.check(gave_up(kind, want) and not whole and p.n > 0, "%s: %s %s" % (twist.__name__, kind, err))

    def wrong_bytes(p, n, mid, token, num, good):
        return [(p.sock, wrong(p, mid, token, num))]

    kind, whole, _, err = get_chunks(c, "bytes", Peer(DATA, wrong_bytes).url(), spans=few)
    c.check(kind == "source" and not whole, "wrong bytes: %s %s" % (kind, err))


def blocks_of(spans, size=1024):
    return sorted({b for at, n in spans for b in range(at // size, (at + n - 1) // size + 1)})


def try_refusers(c):
    """Q-Block2 is tried once, whatever the number of blobs; then all goes by Block2."""
    few = [(0, 20000), (100000, 5000)]
    for kind_of in (Peer, Refuser):
        p = kind_of(DATA)
        kind, whole, _, err = get_chunks(c, kind_of.__name__, p.url(), spans=few)
        c.check(kind == "" and whole and p.refused == 1, "%s: %s %s, %d tries" % (kind_of.__name__, kind, err, p.refused))
        c.check(sorted(p.asked) == blocks_of(few), "%s was asked for %s" % (kind_of.__name__, p.asked))
    p = Refuser(DATA, lambda p, n, mid, token, num, good: [] if 10 < n < 30 else [(p.sock, good)])
    kind, whole, _, err = get_chunks(c, "refuser-broken", p.url(), spans=few, env={"STALL_S": "1"})
    c.check(kind == "" and whole and p.refused == 1, "a second session: %s %s, %d tries" % (kind, err, p.refused))
    p = Peer(DATA)
    kind, whole, _, err = get_chunks(c, "one-block", p.url(), spans=[(5000, 100)])
    c.check(kind == "" and whole and p.refused == 0 and p.n == 1, "one block: %s %s, %d tries, %d asked" % (kind, err, p.refused, p.n))


def try_sets(c):
    few = [(0, 20000), (100000, 5000), (150000, 9000)]

    def lossy(p, n, mid, token, num, good):
        return [] if n in (2, 5, 10, 11, 14) else [(p.sock, good)]

    def unheard(p, n, mid, token, num, good):
        return [] if n <= 10 else [(p.sock, good)]

    def twice(p, n, mid, token, num, good):
        return [(p.sock, good), (p.sock, good)]

    def swapped(p, n, mid, token, num, good):
        held, p.held = getattr(p, "held", None), good if n % 2 else None
        return [] if n % 2 else [(p.sock, good), (p.sock, held)]

    def other_port(p, n, mid, token, num, good):
        return [(p.other, wrong(p, mid, token, num, NON)), (p.sock, good)]

    def guessed_token(p, n, mid, token, num, good):
        return [(p.sock, wrong(p, mid, bytes(8), num, NON)), (p.sock, wrong(p, mid, token[:4], num, NON)), (p.sock, good)]

    def unasked(p, n, mid, token, num, good):
        """Blocks that lie ahead or are long here, with the right token."""
        return [(p.sock, wrong(p, mid, token, num + 40, NON)), (p.sock, good), (p.sock, wrong(p, mid, token, num, NON))]

    for twist, again, questions in ((None, 0, 5), (lossy, 5, None), (unheard, 10, None), (twice, 0, 5), (swapped, 0, 5), (other_port, 0, 5), (guessed_token, 0, 5),
                                    (unasked, 0, 5)):
        name = twist.__name__ if twist else "sets"
        p = Sets(DATA, twist)
        kind, whole, fetched, err = get_chunks(c, "sets-" + name, p.url(), spans=few)
        c.check(kind == "" and whole, "sets, %s: %s %s" % (name, kind, err))
        c.check(len(p.asked) == len(blocks_of(few)) + again and sorted(set(p.asked)) == blocks_of(few), "sets, %s: asked for %s" % (name, p.asked))
        c.check(questions is None or len(p.questions) == questions, "sets, %s: %d questions" % (name, len(p.questions)))
        c.check(all(len(t) == 8 for t in p.tokens) and len(set(p.tokens)) == len(p.questions), "sets, %s: tokens %s" % (name, p.tokens))
        c.check(all(len(named) <= SET and (k == NON) == (i > 0) for i, (k, named) in enumerate(p.questions)), "sets, %s: questions %s" % (name, p.questions))
    for szx in (5, 2):
        p = Sets(DATA, None, szx)
        kind, held, err = get_blob(c, "sets-%d" % szx, p.url())
        c.check(kind == "" and held and p.asked[-1] == (len(DATA) - 1) >> szx + 4, "sets of %d: %s %s" % (16 << szx, kind, err))
        c.check(len(p.asked) - len(set(p.asked)) == 0, "sets of %d: asked twice for %d" % (16 << szx, len(p.asked) - len(set(p.asked))))
        kind, whole, _, err = get_chunks(c, "sets-%d" % szx, p.url(), spans=few)
        c.check(kind == "" and whole, "sets of %d, chunks: %s %s" % (16 << szx, kind, err))
    start = time.time()
    kind, whole, _, err = get_chunks(c, "sets-rate", Sets(DATA).url(), spans=[(0, 9000), (20000, 6000)], env={"RATE": "10000"})
    c.check(kind == "" and whole and time.time() - start > 0.8, "sets, rate: %s %s" % (kind, err))
    kind, _, _, err = get_chunks(c, "sets-budget", Sets(DATA).url(), env={"BUDGET": "50000"})
    c.check(kind == "denied" and "byte budget" in err, "sets, budget: %s %s" % (kind, err))


def try_bad_sets(c):
    """What comes with the right token and is not right; then the next source goes on where it stopped."""
    few = [(0, 20000), (100000, 5000)]

    def etag(p, n, mid, token, num, good):
        return [(p.sock, p.answer(mid, token, num, True, p.data[num << 10:(num + 1) << 10], etag=b"%d" % n))]

    def large(p, n, mid, token, num, good):
        return [(p.sock, p.answer(mid, token, num >> 1, True, b"x" * 1024, szx=7))]

    def short(p, n, mid, token, num, good):
        return [(p.sock, p.answer(mid, token, num, True, b"x" * 1000))]

    def ends(p, n, mid, token, num, good):
        return [(p.sock, p.answer(mid, token, num, False, p.data[num << 10:(num + 1) << 10]))]

    def no_block(p, n, mid, token, num, good):
        return [(p.sock, message(NON, CONTENT, mid, token, [], p.data[:1024]))]

    def total(p, n, mid, token, num, good):
        return [(p.sock, message(NON, CONTENT, mid, token, [(4, b"ab"), (SIZE2, number(5)), (Q_BLOCK2, block_value(num, True, 6))], p.data[:1024]))]

    def code(p, n, mid, token, num, good):
        return [(p.sock, message(NON, 0xA3, mid, token, []))]

    def refuses_now(p, n, mid, token, num, good):
        return [(p.sock, message(NON, BAD_OPTION, mid, token, []))]

    def garbage(p, n, mid, token, num, good):
        return [(p.sock, bytes([0x58, CONTENT]) + mid + token + b"\xe0\xff\xff" + b"\xff" * n)]

    def silent(p, n, mid, token, num, good):
        return []

    def flood(p, n, mid, token, num, good):
        for i in range(2000):
            p.sock.sendto(wrong(p, mid, token, 5000 + i, NON), p.where)
            time.sleep(0.001)
        return []

    class Noting(Sets):
        def serve(self, m, where):
            self.where = where
            if BLOCK2 not in m.options: # of singles it knows nothing
                super().serve(m, where)

    for twist, alone in ((etag, "timeout"), (large, "source"), (short, "timeout"), (ends, "source"), (no_block, "source"), (total, "source"),
                         (code, "timeout"), (refuses_now, "timeout"), (garbage, "timeout"), (silent, "timeout"), (flood, "timeout")):
        name = twist.__name__
        p = Noting(DATA, twist)
        kind, whole, _, err = get_chunks(c, "bad-sets-" + name, p.url(), spans=few, env={"DEADLINE_MS": until(alone, 2500), "STALL_S": "1"})
        c.check(gave_up(kind, alone) and not whole and p.n > 0, "bad sets, %s: %s %s" % (name, kind, err))
        p, good = Noting(DATA, lambda p, n, *a: twist(p, n, *a) if n > 12 else [(p.sock, a[3])]), Sets(DATA)
        kind, whole, _, err = get_chunks(c, "bad-sets-pair-" + name, p.url(), good.url(), spans=few, env={"STALL_S": "1"})
        c.check(kind == "" and whole, "bad sets, %s and a good one: %s %s" % (name, kind, err))
        c.check(min(good.asked) == 12, "bad sets, %s: the good one was asked for %s" % (name, good.asked[:3]))


def main():
    with Case() as c:
        directory = c.path("files")
        os.makedirs(os.path.join(directory, "img/blobs/sha256"))
        with open(os.path.join(directory, "img/blobs/sha256", HEX), "wb") as f:
            f.write(DATA)
        run_parts(c, (lambda c: try_plain(c, directory), try_image, lambda c: try_lies(c, directory), lambda c: try_psk(c, directory), lambda c: try_names(c, directory), try_peer,
                      try_refusers, try_sets, try_bad_sets), Files.all)


main()
