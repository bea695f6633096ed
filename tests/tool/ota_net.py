"""Bad lines and bad servers, for whole blobs and for chunks. What came is not fetched again, what is wrong is not taken."""
import http.server
import threading

from ota_chunks import *

DATA = random.Random(1).randbytes(3_000_000)
DIGEST = "sha256:" + hashlib.sha256(DATA).hexdigest()
SPANS = some_spans(len(DATA), 2)
WANTED = wanted(DATA, SPANS)
GAPS = 256  # two chunks that are no farther apart are asked for together


def runs(spans):
    out = []
    for at, n in spans:
        if out and at - out[-1][1] <= GAPS:
            out[-1][1] = at + n
        else:
            out.append([at, at + n])
    return out


class Server:
    """One server of one blob; `mode` says how it behaves; everything that it did is noted."""

    def __init__(self, mode="good", data=DATA, **how):
        self.mode, self.data, self.how = mode, data, how
        self.asked, self.connections, self.served, self.cut_at = [], 0, 0, list(how.get("cuts", []))
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                server.connections += 1

            def log_message(self, *args):
                pass

            def do_GET(self):
                a, _, b = self.headers.get("Range", "bytes=0-").split("=")[1].partition("-")
                server.asked.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
                try:
                    server.answer(self, int(a), int(b) + 1 if b else len(server.data))
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *args: None # it is cut off all the time
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def url(self, host="127.0.0.1"):
        return "http://%s:%d/a/b" % (host, self.http.server_port)

    def head(self, h, status, length=None, **headers):
        h.send_response(status)
        for k, v in headers.items():
            h.send_header(k.replace("_", "-"), v)
        if length is not None:
            h.send_header("Content-Length", str(length))
        h.end_headers()

    def answer(self, h, a, b):
        getattr(self, "serve_" + self.mode)(h, a, b)

    def part(self, h, a, b, first=None, **headers):
        self.head(h, 206, b - a, Content_Range="bytes %d-%d/%d" % (a if first is None else first, b - 1 + ((first or a) - a), len(self.data)), **headers)

    def body(self, h, data):
        self.served += len(data)
        h.wfile.write(data)

    def serve_good(self, h, a, b):
        self.part(h, a, b)
        self.body(h, self.data[a:b])

    def serve_cut(self, h, a, b):
        """Each connection ends when all in all so many bytes were served as the next cut says."""
        self.part(h, a, b)
        left = self.cut_at[0] - self.served if self.cut_at else b - a
        self.body(h, self.data[a:min(b, a + left)])
        if left <= b - a and self.cut_at:
            self.cut_at.pop(0)
            self.data = self.how.get("later", self.data)
            h.close_connection = True

    def serve_whole(self, h, a, b):
        self.head(h, 200, len(self.data))
        self.body(h, self.data)

    def serve_endless(self, h, a, b):
        self.head(h, 200)
        while True:
            self.body(h, self.data[:65536] if self.served >= len(self.data) else self.data[self.served:self.served + 65536])

    def serve_endless_part(self, h, a, b):
        self.head(h, 206, Content_Range="bytes %d-%d/%d" % (a, b - 1, len(self.data)))
        self.body(h, self.data[a:b])
        while True:
            self.body(h, b"x" * 65536)

    def serve_drip(self, h, a, b):
        self.part(h, a, b)
        for n in range(a, b):
            self.body(h, self.data[n:n + 1])
            h.wfile.flush()
            time.sleep(1)

    def serve_wrong_length(self, h, a, b):
        self.head(h, 200, len(self.data) + 1)
        self.body(h, self.data + b"x")

    def serve_wrong_total(self, h, a, b):
        self.head(h, 206, b - a, Content_Range="bytes %d-%d/%d" % (a, b - 1, len(self.data) + 1))
        self.body(h, self.data[a:b])

    def serve_wrong_range(self, h, a, b):
        self.part(h, a, b, first=a + 1)
        self.body(h, self.data[a:b])

    def serve_wrong_start(self, h, a, b):
        self.head(h, 206, b - a - 1, Content_Range="bytes %d-%d/%d" % (a + 1, b - 1, len(self.data)))
        self.body(h, self.data[a + 1:b])

    def serve_etag(self, h, a, b):
        """Half of what is asked for, and each time it is called something else."""
        self.part(h, a, b, ETag='"%d"' % len(self.asked))
        self.body(h, self.data[a:a + max(1, (b - a) // 2)])
        h.close_connection = True

    def serve_token(self, h, a, b):
        """A token holds for two answers."""
        if h.path.startswith("/token"):
            self.tokens = getattr(self, "tokens", 0) + 1
            self.uses = 0
            text = b'{"token":"t%d"}' % self.tokens
            self.head(h, 200, len(text))
            return h.wfile.write(text)
        if h.headers.get("Authorization") != "Bearer t%d" % getattr(self, "tokens", 0) or self.uses == 2:
            return self.head(h, 401, 0, WWW_Authenticate='Bearer realm="http://127.0.0.1:%d/token",service="s",scope="repository:a/b:pull"'
                             % self.http.server_port)
        self.uses += 1
        if self.how.get("half") and b - a > 20000:
            self.part(h, a, b)
            self.body(h, self.data[a:a + max(1, (b - a) // 2)])
            h.close_connection = True
            return None
        return self.serve_good(h, a, b)

    def serve_elsewhere(self, h, a, b):
        if h.headers.get("Authorization") is None:
            return self.head(h, 401, 0, WWW_Authenticate='Basic realm="r"')
        return self.head(h, 307, 0, Location=self.how["to"] + "/moved?signature=1")


def get_chunks(c, name, *servers, env=None, spans=SPANS):
    path = chunk_list(c.path("list-" + name), DATA, spans)
    return chunks(c.path("s-" + name), DIGEST, len(DATA), path, *[s if isinstance(s, str) else s.url() for s in servers], env=env)


def get_blob(c, name, *servers, env=None):
    store = c.path("b-" + name)
    kind, _, err = tool(store, "fetch", DIGEST, len(DATA), "BLOB", "--", *[s if isinstance(s, str) else s.url() for s in servers],
                        env=dict({"DEADLINE_MS": "180000"}, **(env or {})))
    return kind, os.path.exists(os.path.join(store, "blobs", DIGEST[7:])), err


def some_cuts(total, n, edges):
    """n offsets: some at the edges of chunks and beside them, the rest anywhere."""
    r, out = random.Random(5), []
    near = [e + r.choice((-1, 0, 1)) for e in edges if 0 < e < total - 1]
    for at in r.sample(near, min(len(near), n // 2)) + [r.randrange(1, total) for _ in range(100 * n)]:
        if len(out) < n and all(abs(at - o) > 4300 for o in out): # so much must come for the line to be asked again soon
            out.append(at)
    return sorted(out)


def try_good(c):
    s = Server()
    kind, got, fetched, err = get_chunks(c, "good", s)
    asked = [tuple(map(int, r.split("=")[1].split("-"))) for _, r, _ in s.asked]
    c.check(kind == "" and got == WANTED, "good: %s %s" % (kind, err))
    c.check(asked == [(a, b - 1) for a, b in runs(SPANS)], "ranges %s" % asked)
    c.check(s.connections == 1, "%d connections" % s.connections)
    c.check(s.served <= fetched <= s.served + 300 * len(asked), "fetched %d of %d served" % (fetched, s.served))
    layout = Server()
    kind, got, _, err = get_chunks(c, "layout", "layout+" + layout.url())
    c.check(kind == "" and got == WANTED and {p for p, _, _ in layout.asked} == {"/a/b/blobs/sha256/" + DIGEST[7:]}, "layout: %s %s" % (kind, err))
    directory = c.path("directory/blobs/sha256")
    os.makedirs(directory)
    with open(os.path.join(directory, DIGEST[7:]), "wb") as f:
        f.write(DATA)
    for kind_of in ("dir:", "file:"):
        kind, got, _, err = get_chunks(c, "directory", kind_of + c.path("directory"))
        c.check(kind == "" and got == WANTED, "%s %s %s" % (kind_of, kind, err))


def try_cuts(c):
    edges, at = [], 0
    for a, b in runs(SPANS):
        edges += [at + 1, at + b - a]
        at += b - a
    cuts = some_cuts(at, 100, edges[:-1])
    s = Server("cut", cuts=cuts)
    kind, got, _, err = get_chunks(c, "cuts", s, env={"DEADLINE_MS": "500000"})
    c.check(kind == "" and got == WANTED, "chunks: %s %s" % (kind, err))
    c.check(len(cuts) - len(s.cut_at) == 100, "only %d cuts" % (len(cuts) - len(s.cut_at)))
    most = max(n for _, n in SPANS)
    c.check(s.served - at <= most, "%d bytes were served again after %d cuts" % (s.served - at, len(cuts)))
    print("chunks: %d bytes wanted, %d cuts, %d bytes served again" % (at, len(cuts) - len(s.cut_at), s.served - at))
    s = Server("cut", cuts=some_cuts(len(DATA), 100, [n * 16384 for n in range(1, 180)]))
    cuts = len(s.cut_at)
    kind, held, err = get_blob(c, "cuts", s, env={"DEADLINE_MS": "500000"})
    c.check(kind == "" and held, "blob: %s %s" % (kind, err))
    c.check(len(s.cut_at) == 0 and s.served == len(DATA), "blob: %d bytes again" % (s.served - len(DATA)))
    print("blob: %d bytes, %d cuts, %d bytes served again" % (len(DATA), cuts, s.served - len(DATA)))


def try_bad(c):
    """Each bad server alone, and before a good one that goes on where it was left."""
    for mode, alone in (("endless", ("",)), ("endless_part", ("timeout", "")), ("wrong_length", ("source",)), ("wrong_total", ("source",)),
                        ("wrong_range", ("timeout",)), ("wrong_start", ("timeout",)), ("whole", ("",)), ("etag", ("", "timeout")), ("drip", ("timeout",))):
        s = Server(mode) # who is not served ends at the deadline, or with the last try before it
        kind, got, _, err = get_chunks(c, "alone-" + mode, s, env={"DEADLINE_MS": "2500" if "timeout" in alone else "60000", "STALL_S": "1"})
        c.check((kind in alone or (kind == "network" and "timeout" in alone)) and WANTED.startswith(got) and (kind != "" or got == WANTED), "%s alone: %s %s" % (mode, kind, err))
        c.check(s.served < len(DATA) + 16_000_000 * len(s.asked), "%s served %d" % (mode, s.served))
        s, good = Server(mode), Server()
        kind, got, _, err = get_chunks(c, "pair-" + mode, s, good, env={"STALL_S": "1"})
        c.check(kind == "" and got == WANTED, "%s and a good one: %s %s" % (mode, kind, err))
        c.check(bool(good.asked) == (mode not in ("endless", "whole")), "%s: the good one was asked %d times" % (mode, len(good.asked)))
        s, good = Server(mode), Server()
        kind, held, err = get_blob(c, "pair-" + mode, s, good, env={"STALL_S": "1"})
        c.check(kind == "" and held, "%s and a good one, blob: %s %s" % (mode, kind, err))


def try_mirror(c):
    """A mirror with other bytes: what is right of it is kept, the chunk that is not comes from the next."""
    at = SPANS[len(SPANS) // 2][0]
    lying = Server(data=DATA[:at] + bytes([DATA[at] ^ 1]) + DATA[at + 1:])
    good = Server()
    kind, got, _, err = get_chunks(c, "mirror", lying, good)
    c.check(kind == "" and got == WANTED, "mirror: %s %s" % (kind, err))
    c.check(int(good.asked[0][1].split("=")[1].split("-")[0]) == at, "the good one was asked for %s, not %d" % (good.asked[0][1], at))
    kind, got, _, err = get_chunks(c, "mirror-alone", lying)
    c.check(kind == "source" and got == WANTED[:len(got)] and len(got) == sum(n for a, n in SPANS if a < at), "alone: %s %s" % (kind, err))
    kind, held, err = get_blob(c, "mirror-alone", lying)
    c.check(kind == "integrity" and not held, "blob alone: %s %s" % (kind, err))


def try_mixed(c):
    """Half a chunk of a lying one and half of an honest one: nobody can know who lied, the chunk is asked for anew."""
    at, n = max(SPANS, key=lambda s: s[1])
    lying = Server("cut", data=DATA[:at] + bytes([DATA[at] ^ 1]) + DATA[at + 1:])
    lying.cut_at = [sum(min(b, at + n // 2) - a for a, b in runs(SPANS) if a <= at)] + [10**9]
    good = Server()
    kind, got, _, err = get_chunks(c, "mixed", lying, good)
    c.check(kind == "" and got == WANTED, "mixed: %s %s" % (kind, err))
    mended = Server("cut", data=lying.data, later=DATA)
    mended.cut_at = [sum(min(b, at + n // 2) - a for a, b in runs(SPANS) if a <= at)]
    kind, got, _, err = get_chunks(c, "mended", mended)
    c.check(kind == "" and got == WANTED, "wrong before a cut, right behind it: %s %s" % (kind, err))


def try_token(c):
    for half in (False, True):
        s = Server("token", half=half)
        kind, got, _, err = get_chunks(c, "token-%d" % half, s)
        c.check(kind == "" and got == WANTED and s.tokens > 2, "token: %s %s, %s tokens" % (kind, err, getattr(s, "tokens", 0)))
    s = Server("token", half=True)
    kind, held, err = get_blob(c, "token", s)
    c.check(kind == "" and held and s.tokens > 2, "token, blob: %s %s" % (kind, err))


def try_moved(c):
    auth = c.path("auth")
    with open(auth, "w") as f:
        f.write("dev:secret\n")
    storage = Server()
    s = Server("elsewhere", to=storage.url("localhost").rsplit("/", 2)[0])
    kind, got, _, err = get_chunks(c, "moved", s, env={"AUTH": auth})
    c.check(kind == "" and got == WANTED, "moved: %s %s" % (kind, err))
    c.check({a for _, _, a in storage.asked} == {None}, "the storage host was shown %s" % {a for _, _, a in storage.asked})
    c.check(len(s.asked) == 1, "the registry was asked %d times" % len(s.asked))
    c.check(s.asked[0][2] is not None, "control: the registry is told the password")


def try_bounds(c):
    few = [(0, 40000), (50000, 40000), (200000, 20000)]
    start = time.time()
    kind, got, _, err = get_chunks(c, "rate", Server(), spans=few, env={"RATE": "50000"})
    c.check(kind == "" and got == wanted(DATA, few) and time.time() - start > 0.8, "rate: %s %s, %.2f s" % (kind, err, time.time() - start))
    s = Server()
    kind, got, _, err = get_chunks(c, "budget", s, spans=few, env={"BUDGET": "60000"})
    c.check(kind == "denied" and "byte budget" in err and got == DATA[:40000] and len(s.asked) == 1, "budget: %s %s" % (kind, err))
    s = Server("endless")
    kind, got, _, err = get_chunks(c, "budget-200", s, spans=[(0, 1000), (2_000_000, 1000)], env={"BUDGET": "90000"})
    c.check(kind == "denied" and got == DATA[:1000], "budget of a 200: %s %s" % (kind, err))
    s = Server()
    kind, held, err = get_blob(c, "budget", s, env={"BUDGET": "60000"})
    c.check(kind == "denied" and not held and not s.asked, "budget of a blob: %s %s, asked %s" % (kind, err, s.asked))
    kind, held, err = get_blob(c, "budget", s, env={"BUDGET": str(len(DATA) + 4096)})
    c.check(kind == "" and held, "budget that suffices: %s %s" % (kind, err))


def try_orphan(c):
    """Who asked for chunks is killed: the program goes too, though its server is silent."""
    s = Server("drip")
    path = chunk_list(c.path("list-orphan"), DATA, SPANS)
    p = subprocess.Popen([TOOL, c.path("s-orphan"), "chunks", DIGEST, str(len(DATA)), path, "--", s.url()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         env=dict(os.environ, FETCH=os.path.join(BUILD, "bin", "agentd-fetch"), DEADLINE_MS="600000"))
    while not s.asked:
        time.sleep(0.05)
    child = subprocess.run(["ps", "-o", "pid=", "--ppid", str(p.pid)], stdout=subprocess.PIPE).stdout.decode().split()[0]
    p.kill()
    p.wait()
    for _ in range(600):
        if subprocess.run(["ps", "-o", "stat=", "-p", child], stdout=subprocess.PIPE).stdout.decode().strip()[:1] in ("", "Z"):
            return
        time.sleep(0.1)
    c.check(False, "the fetch program %s outlives who asked" % child)


def try_lists(c):
    """Lists that no honest caller makes."""
    s = Server()
    for name, spans in (("order", [(5000, 10), (0, 10)]), ("overlap", [(0, 10), (9, 10)]), ("behind", [(len(DATA) - 5, 6)]), ("far", [(2**63, 10)]),
                        ("long", [(0, 131073)]), ("empty", [(0, 0)])):
        kind, got, _, err = get_chunks(c, "list-" + name, s, spans=spans)
        c.check(kind == "invalid" and got == b"", "%s: %s %s" % (name, kind, err))
    kind, got, _, err = get_chunks(c, "list-none", s, spans=[])
    c.check(kind == "invalid", "no chunk: %s %s" % (kind, err))
    kind, got, _, err = get_chunks(c, "list-largest", s, spans=[(0, 131072)])
    c.check(kind == "" and got == DATA[:131072], "largest: %s %s" % (kind, err))


def main():
    with Case() as c:
        for part in (try_good, try_cuts, try_bad, try_mirror, try_mixed, try_token, try_moved, try_bounds, try_orphan, try_lists):
            start = time.time()
            part(c)
            print("%s %.1f s" % (part.__name__, time.time() - start))


main()
