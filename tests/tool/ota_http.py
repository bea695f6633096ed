"""A hostile server: endless, slow, lying, redirecting. Nothing wrong is kept, nothing takes for ever."""
import base64
import http.server
import ssl
import threading
import time

from ota_image import *

DATA = bytes(range(256)) * 400  # 102400 bytes
DIGEST = "sha256:" + hashlib.sha256(DATA).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mode, seen, other, token = "good", [], "", None

    def log_message(self, *args):
        pass

    def head(self, status, length=None, **headers):
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def do_GET(self):
        mode, start = Handler.mode, 0
        Handler.seen.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        if self.headers.get("Range"):
            start = int(self.headers["Range"].split("=")[1].split("-")[0])
        try:
            getattr(self, "serve_" + mode.replace("-", "_"))(start)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass
        self.close_connection = True

    def part(self, start, total=None, first=None):
        total = total or len(DATA)
        self.head(206, len(DATA) - start, Content_Range="bytes %d-%d/%d" % (first if first is not None else start, len(DATA) - 1, total))
        self.wfile.write(DATA[start:])

    def serve_good(self, start):
        if start:
            return self.part(start)
        self.head(200, len(DATA))
        self.wfile.write(DATA)

    def serve_half(self, start):
        """Half of what is left, then gone."""
        stop = start + max(1, (len(DATA) - start) // 2)
        self.head(206 if start else 200, len(DATA) - start, **({"Content_Range": "bytes %d-%d/%d" % (start, len(DATA) - 1, len(DATA))} if start else {}))
        self.wfile.write(DATA[start:stop])

    def serve_no_ranges(self, start):
        """First half, then always the whole again."""
        self.head(200, len(DATA))
        self.wfile.write(DATA if start else DATA[:50000])

    def serve_endless(self, start):
        self.head(200)
        while True:
            self.wfile.write(DATA)

    def serve_slow(self, start):
        self.head(200, len(DATA))
        for b in DATA[:60]:
            self.wfile.write(bytes([b]))
            self.wfile.flush()
            time.sleep(0.2)

    def serve_silent(self, start):
        time.sleep(10)

    def serve_long_length(self, start):
        self.head(200, len(DATA) + 1)
        self.wfile.write(DATA + b"x")

    def serve_wrong_bytes(self, start):
        self.head(200, len(DATA))
        self.wfile.write(b"x" + DATA[1:])

    def serve_wrong_half(self, start):
        """Other bytes, and then gone."""
        self.head(200, len(DATA))
        self.wfile.write(b"x" * 50000)

    def serve_wrong_range(self, start):
        if not start:
            return self.serve_half(0)
        self.part(start, first=start - 1)

    def serve_wrong_total(self, start):
        if not start:
            return self.serve_half(0)
        self.part(start, total=len(DATA) + 5)

    def serve_encoded(self, start):
        self.head(200, len(DATA), Content_Encoding="gzip")
        self.wfile.write(DATA)

    def serve_headers(self, start):
        self.send_response(200)
        for n in range(200):
            self.send_header("X-Pad-%d" % n, "p" * 200)
        self.end_headers()
        self.wfile.write(DATA)

    def serve_forbidden(self, start):
        self.head(403, 0)

    def serve_busy(self, start):
        if len(Handler.seen) < 3:
            return self.head(503, 0)
        self.serve_good(start)

    def serve_pause(self, start):
        """Too much to do, the first time: as the test has it in `pause`, headers without the Date of send_response."""
        if len(Handler.seen) > 1:
            Handler.again = time.time()
            return self.serve_good(start)
        Handler.refused = time.time()
        self.send_response_only(Handler.pause[0])
        for k, v in Handler.pause[1].items():
            self.send_header(k, v)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def serve_error_page(self, start):
        self.head(500)
        while True:
            self.wfile.write(b"<html>" * 1000)

    def serve_redirect(self, start):
        if self.path.startswith("/elsewhere"):
            return self.serve_good(start)
        self.head(307, 0, Location="/elsewhere")

    def serve_redirect_loop(self, start):
        self.head(307, 0, Location="/again")

    def serve_redirect_scheme(self, start):
        self.head(307, 0, Location="file:///etc/passwd")

    def serve_redirect_other(self, start):
        self.head(307, 0, Location=Handler.other + "/moved")

    def serve_basic(self, start):
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(b"dev:secret").decode():
            return self.head(401, 0, WWW_Authenticate='Basic realm="r"')
        self.serve_good(start)

    def serve_bearer(self, start):
        if self.path.startswith("/token"):
            body = b'{"token":"tok-1","expires_in":300}'
            self.head(200, len(body))
            return self.wfile.write(body)
        if self.headers.get("Authorization") != "Bearer tok-1":
            return self.head(401, 0, WWW_Authenticate='Bearer realm="http://127.0.0.1:%d/token",service="s",scope="repository:a/b:pull"'
                             % (Handler.token or self.server.server_port))
        self.serve_good(start)


def serve(handler=Handler, tls=None, host="127.0.0.1"):
    s = http.server.ThreadingHTTPServer((host, 0), handler)
    s.daemon_threads = True
    if tls:
        s.socket = tls.wrap_socket(s.socket, server_side=True)
    threading.Thread(target=s.serve_forever, daemon=True).start()
    return s.server_port


def fetch(c, name, mode, *sources, env=None):
    """Fetch the blob into a fresh store; returns kind, text, seconds, store."""
    Handler.mode, Handler.seen = mode, []
    store = c.path("s-" + name)
    start = time.time()
    kind, out, err = tool(store, "fetch", DIGEST, len(DATA), "BLOB", "--", *sources, env=dict({"DEADLINE_MS": "60000", "STALL_S": "1"}, **(env or {})))
    return kind, err, time.time() - start, store


def held(store):
    return os.path.exists(os.path.join(store, "blobs", DIGEST.split(":")[1]))


CASES = [  # mode, kinds that are right, held
    ("good", ("",), True), ("half", ("", "timeout"), None), ("no-ranges", ("",), True), ("endless", ("",), True), ("slow", ("timeout",), False),
    ("silent", ("timeout",), False), ("long-length", ("source",), False), ("wrong-bytes", ("integrity",), False),
    ("wrong-range", ("timeout",), False), ("wrong-total", ("source",), False), ("encoded", ("source",), False),
    ("headers", ("timeout",), False), ("forbidden", ("source",), False), ("busy", ("",), True), ("error-page", ("timeout",), False),
    ("redirect", ("",), True), ("redirect-loop", ("source",), False), ("redirect-scheme", ("source",), False),
]


def try_modes(c, port):
    for mode, kinds, want in CASES:
        deadline_ms = 3500 if "timeout" in kinds else 60000
        kind, err, seconds, store = fetch(c, mode, mode, "http://127.0.0.1:%d/a/b" % port, env={"DEADLINE_MS": str(deadline_ms)})
        c.check(kind in kinds, "%s: %s: %s" % (mode, kind, err))
        c.check(want is None or held(store) == want, "%s: held %s" % (mode, held(store)))
        c.check(seconds < deadline_ms / 1000 + 30, "%s took %.1f s" % (mode, seconds))
        partial = [os.path.getsize(os.path.join(store, "partial", f)) for f in os.listdir(os.path.join(store, "partial"))]
        c.check(all(n <= len(DATA) for n in partial), "%s: partial of %s" % (mode, partial))


def try_ranges(c, port):
    kind, err, seconds, store = fetch(c, "ranges", "half", "http://127.0.0.1:%d/a/b" % port, env={"DEADLINE_MS": "60000"})
    c.check(kind == "" and held(store), "half by half: " + err)
    starts = [int(r.split("=")[1].split("-")[0]) for _, r, _ in Handler.seen if r]
    c.check(len(starts) > 8 and starts == sorted(starts), "ranges %s" % starts)


def try_next_source(c, port):
    """The second source goes on where the first one left."""
    good = serve(type("Good", (Handler,), {"serve_half": Handler.serve_good}))
    kind, err, seconds, store = fetch(c, "next", "half", "http://127.0.0.1:%d/a/b" % port, "http://127.0.0.1:%d/a/b" % good)
    c.check(kind == "" and held(store), err)
    c.check([r for _, r, _ in Handler.seen] == [None, "bytes=%d-" % (len(DATA) // 2)], "asked: %s" % Handler.seen)


def try_pause(c, port):
    """Retry-After is kept to: in seconds, as a date by the server's own clock; not beyond the deadline, and it holds no other source up."""
    url = "http://127.0.0.1:%d/a/b" % port
    dates = {"Date": "Sat, 01 Jan 2000 00:00:00 GMT", "Retry-After": "Sat, 01 Jan 2000 00:00:06 GMT"}
    for name, pause, least, most in (
        ("429", (429, {"Retry-After": "6"}), 6, 20), ("503-date", (503, dates), 6, 20), ("control", (503, {}), 0, 5),
        ("past", (429, {"Date": dates["Retry-After"], "Retry-After": dates["Date"]}), 0, 5), ("500", (500, {"Retry-After": "30"}), 0, 5),
        ("nonsense", (429, {"Retry-After": "soon"}), 0, 5),
    ):
        Handler.pause = pause
        kind, err, seconds, store = fetch(c, "pause-" + name, "pause", url)
        c.check(kind == "" and held(store), "pause %s: %s %s" % (name, kind, err))
        c.check(least <= Handler.again - Handler.refused <= most, "pause %s: asked again after %.1f s" % (name, Handler.again - Handler.refused))
    Handler.pause = (429, {"Retry-After": "99999999999999999999"})
    kind, err, seconds, store = fetch(c, "pause-long", "pause", url, env={"DEADLINE_MS": "5000"})
    c.check(kind == "timeout" and len(Handler.seen) == 1 and seconds < 30, "a pause beyond the deadline: %s %s, %.1f s, asked %d times" % (kind, err, seconds, len(Handler.seen)))
    good = serve(type("Free", (Handler,), {"serve_pause": Handler.serve_good}))
    kind, err, seconds, store = fetch(c, "pause-next", "pause", url, "http://127.0.0.1:%d/a/b" % good)
    c.check(kind == "" and held(store) and seconds < 30, "the next source: %s %s after %.1f s" % (kind, err, seconds))


def try_stall(c, port):
    """A source that stalls is left long before the deadline, and the next one goes on."""
    good = serve(type("Quick", (Handler,), {"serve_slow": Handler.serve_good}))
    kind, err, seconds, store = fetch(c, "stall", "slow", "http://127.0.0.1:%d/a/b" % port, "http://127.0.0.1:%d/a/b" % good,
                                      env={"DEADLINE_MS": "60000"})
    c.check(kind == "" and held(store) and seconds < 40, "stall: %s after %.1f s" % (err, seconds))


def try_other_bytes(c, port):
    """A source with other bytes is left for the next; of two that were mixed one of them gives it alone."""
    for mode in ("wrong_bytes", "wrong_half", "forbidden", "error_page"):
        good = serve(type("Right", (Handler,), {"serve_" + mode: Handler.serve_good}))
        kind, err, seconds, store = fetch(c, "bytes-" + mode, mode, "http://127.0.0.1:%d/a/b" % port, "http://127.0.0.1:%d/a/b" % good,
                                          env={"DEADLINE_MS": "60000"})
        c.check(kind == "" and held(store), "%s, then a good one: %s %s" % (mode, kind, err))
    kind, err, seconds, store = fetch(c, "bytes-both", "wrong-bytes", "http://127.0.0.1:%d/a/b" % port, "http://127.0.0.1:%d/c" % port)
    c.check(kind == "source" and not held(store), "both wrong: %s %s" % (kind, err))


def try_nearer(c, port):
    """A server far away sends us to services of this machine: by address, by name, by the place of its tokens."""
    asked = []

    class Near(Handler):
        def do_GET(self):
            asked.append(self.path)
            self.serve_good(0)

    far = serve(host="192.0.2.1")
    near, beside = serve(Near), serve(Near, host="192.0.2.1")
    for name, mode, other in (("address", "redirect-other", "http://127.0.0.1:%d" % near), ("name", "redirect-other", "http://localhost:%d" % near),
                              ("zero", "redirect-other", "http://0.0.0.0:%d" % near), ("mapped", "redirect-other", "http://[::ffff:127.0.0.1]:%d" % near)):
        Handler.other = other
        kind, err, _, store = fetch(c, "near-" + name, mode, "http://192.0.2.1:%d/a/b" % far)
        c.check(kind == "source" and not held(store) and asked == [], "to %s: %s %s, asked %s" % (other, kind, err, asked))
        c.check("loopback" in err or name == "mapped", "why: " + err)
    Handler.token = near
    kind, err, _, store = fetch(c, "near-token", "bearer", "http://192.0.2.1:%d/a/b" % far)
    c.check(kind == "source" and asked == [], "token: %s %s, asked %s" % (kind, err, asked))
    Handler.token = None
    Handler.other = "http://192.0.2.1:%d" % beside
    kind, err, _, store = fetch(c, "near-control", "redirect-other", "http://192.0.2.1:%d/a/b" % far)
    c.check(kind == "" and held(store) and asked == ["/moved"], "control: as far as itself: %s, asked %s" % (err, asked))


def try_auth(c, port):
    auth = c.path("auth")
    with open(auth, "w") as f:
        f.write("dev:secret\n")
    os.chmod(auth, 0o600)
    url = "http://127.0.0.1:%d/a/b" % port
    for mode in ("basic", "bearer"):
        kind, err, _, store = fetch(c, mode, mode, url, env={"AUTH": auth})
        c.check(kind == "" and held(store), "%s: %s" % (mode, err))
    c.check(any(p.startswith("/token?service=s&scope=repository%3Aa%2Fb%3Apull") for p, _, _ in Handler.seen), "token: %s" % Handler.seen)
    kind, err, _, store = fetch(c, "no-auth", "basic", url)
    c.check(kind == "source", "without a password: %s %s" % (kind, err))
    far = serve(host="192.0.2.1")
    kind, err, _, store = fetch(c, "clear", "basic", "http://192.0.2.1:%d/a/b" % far, env={"AUTH": auth})
    c.check(kind == "source" and "not by http" in err and all(a is None for _, _, a in Handler.seen), "password in the clear: %s, %s" % (err, Handler.seen))
    other_seen = []

    class Other(Handler):
        def do_GET(self):
            other_seen.append(self.headers.get("Authorization"))
            self.serve_good(0)

    Handler.other = "http://localhost:%d" % serve(Other)
    kind, err, _, store = fetch(c, "moved", "redirect-other", url, env={"AUTH": auth})
    c.check(kind == "" and other_seen == [None], "password to another host: %s %s" % (other_seen, err))
    c.check(Handler.seen[0][2] is not None, "control: the password goes to the source")


def certificate(c, name, host):
    if not shutil.which("openssl"):
        return None
    key, crt = c.path(name + ".key"), c.path(name + ".crt")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-keyout", key,
                    "-out", crt, "-subj", "/CN=" + host, "-addext", "subjectAltName=" + host], check=True, stderr=subprocess.DEVNULL)
    return key, crt


def try_settings(c, port):
    """A file of the settings that is not there is no fault of the source or of what was signed, and nothing goes on without it."""
    for name in ("CA", "AUTH"):
        kind, err, _, store = fetch(c, "no-" + name, "good", "http://127.0.0.1:%d/a/b" % port, env={name: c.path("nowhere")})
        c.check(kind == "io" and "fetch.%s of the settings" % name.lower() in err and not held(store), "%s: %s %s" % (name, kind, err))


def try_tls(c):
    right, wrong = certificate(c, "right", "IP:127.0.0.1"), certificate(c, "wrong", "DNS:other.example")
    if not right:
        return print("part skipped: no openssl")
    for name, pair, ca, low, want in (("tls", right, right, False, ""), ("tls-no-ca", right, None, False, "source"),
                                      ("tls-other-ca", right, wrong, False, "source"), ("tls-name", wrong, wrong, False, "source")):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair[1], pair[0])
        port = serve(tls=context)
        kind, err, _, store = fetch(c, name, "good", "https://127.0.0.1:%d/a/b" % port, env={"CA": ca[1]} if ca else {})
        c.check(kind == want and held(store) == (want == ""), "%s: %s %s" % (name, kind, err))
        if want == "":
            Handler.other = "http://127.0.0.1:%d" % serve()
            kind, err, _, store = fetch(c, "tls-down", "redirect-other", "https://127.0.0.1:%d/a/b" % port, env={"CA": ca[1]})
            c.check(kind == "source" and not held(store), "https to http: %s %s" % (kind, err))


def main():
    with Case() as c:
        port = serve()
        for part in (try_modes, try_ranges, try_next_source, try_pause, try_stall, try_other_bytes, try_nearer, try_auth, try_settings):
            part(c, port)
        try_tls(c)


main()
