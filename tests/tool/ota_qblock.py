"""CoAP from libcoap's coap-server of another release: ota_qblock.py USR, where that release lies unpacked. With Q-Block2 (RFC 9177) and without, in the clear
and by DTLS, over a line that loses and delays; what goes over the line is counted."""
import sys

from coap_peer import *
from ota_chunks import *

USR = sys.argv[1]
LIBS = os.path.join(USR, "lib", "x86_64-linux-gnu")
RUN = [os.path.join(USR, "lib64", "ld-linux-x86-64.so.2"), "--library-path", LIBS]
DATA = random.Random(9).randbytes(300_000)
BLOCKS = 293
HEX = hashlib.sha256(DATA).hexdigest()
DIGEST = "sha256:" + HEX


class Server:
    """sets: with Q-Block2, else with Block2 only. Its blob is put there over CoAP."""
    all = []

    def __init__(self, c, name, sets=True, *args):
        self.log = c.path(name + ".log")
        for _ in range(20):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as t:
                s.bind(("127.0.0.1", 0))
                self.port = s.getsockname()[1]
                try:
                    t.bind(("127.0.0.1", self.port + 1))
                    break
                except OSError:
                    continue
        with open(self.log, "wb") as log:
            self.p = subprocess.Popen(RUN + [os.path.join(USR, "bin", "coap-server-openssl"), "-A", "127.0.0.1", "-p", str(self.port), "-d", "10",
                                             "-L", "5" if sets else "1", "-v", "7", *args], stdout=log, stderr=subprocess.STDOUT)
        Server.all.append(self.p)
        with open(c.path("blob"), "wb") as f:
            f.write(DATA)
        for _ in range(50):
            if b"created UDP" in self.said():
                break
            time.sleep(0.1)
        subprocess.run(RUN + [os.path.join(USR, "bin", "coap-client-notls"), "-m", "put", "-b", "1024", "-f", c.path("blob"),
                              "coap://127.0.0.1:%d/img/blobs/sha256/%s" % (self.port, HEX)], check=True, timeout=60)

    def said(self):
        with open(self.log, "rb") as f:
            return f.read()


def get_blob(c, name, *urls, env=None):
    store = c.path("b-" + name)
    kind, _, err = tool(store, "fetch", DIGEST, len(DATA), "BLOB", "--", *urls, env=dict({"DEADLINE_MS": "180000"}, **(env or {})))
    return kind, os.path.exists(os.path.join(store, "blobs", HEX)), err


def get_by(c, name, line, env=None):
    start = time.time()
    kind, held, err = get_blob(c, name, line.url(), env=env)
    c.check(kind == "" and held, "%s: %s %s" % (name, kind, err))
    line.close()
    took = time.time() - start
    print("%s: %d questions (%d with Q-Block2), %d answers (%d with Q-Block2), %d datagrams lost, %.1f s"
          % (name, len(line.questions), len(line.asked(Q_BLOCK2)), len(line.answers), sum(Q_BLOCK2 in a.options for a in line.answers), line.lost, took), flush=True)
    return took


def try_count(c, sets, singles):
    """The same blob both ways."""
    a, b = Line(sets.port), Line(singles.port)
    get_by(c, "sets", a)
    get_by(c, "singles", b)
    c.check(len(a.questions) == len(a.asked(Q_BLOCK2)) == 31, "sets: %d questions, %d of them with Q-Block2" % (len(a.questions), len(a.asked(Q_BLOCK2))))
    c.check(len(a.answers) == BLOCKS + 1 and all(Q_BLOCK2 in m.options and BLOCK2 not in m.options for m in a.answers), "sets: %d answers" % len(a.answers))
    c.check(len(b.asked(Q_BLOCK2)) == 1 and len(b.asked(BLOCK2)) == BLOCKS, "singles: %d questions, %d with Q-Block2" % (len(b.questions), len(b.asked(Q_BLOCK2))))
    c.check(not any(Q_BLOCK2 in m.options for m in b.answers), "singles: answers with Q-Block2")
    c.check(len(b.clients) == 1, "singles: %d sessions" % len(b.clients))


def try_newer(c, sets, singles):
    """Our program with the newer libcoap, which has Q-Block2 of its own."""
    program = os.path.join(BUILD, "bin", "agentd-fetch")
    run = RUN[:2] + [LIBS + ":/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu"]
    used = subprocess.run(run + ["--list", program], stdout=subprocess.PIPE, check=True).stdout.decode()
    c.check("=> %s/libcoap" % LIBS in used, "newer: it uses %s" % used)
    wrapper = c.path("newer-fetch")
    with open(wrapper, "w") as f:
        f.write("#!/bin/sh\nexec %s %s \"$@\"\n" % (" ".join(run), program))
    os.chmod(wrapper, 0o755)
    a, b = Line(sets.port), Line(singles.port)
    get_by(c, "newer, sets", a, {"FETCH": wrapper})
    get_by(c, "newer, singles", b, {"FETCH": wrapper})
    c.check(len(a.asked(Q_BLOCK2)) == len(a.questions) == 31, "newer: %d questions" % len(a.questions))
    c.check(len(b.asked(Q_BLOCK2)) == 1 and len(b.asked(BLOCK2)) == BLOCKS, "newer, singles: %d questions" % len(b.questions))


def try_far(c, sets, singles):
    """Half a second to the server and back."""
    path = chunk_list(c.path("list-far"), DATA, [(0, 61440)])
    asked = []
    for name, server in (("sets", sets), ("singles", singles)):
        line = Line(server.port, delay_s=0.25)
        start = time.time()
        kind, got, _, err = chunks(c.path("s-far"), DIGEST, len(DATA), path, line.url())
        asked.append(len(line.questions))
        line.close()
        c.check(kind == "" and got == DATA[:61440], "far, %s: %s %s" % (name, kind, err))
        print("60 KiB, 0.5 s there and back, %s: %.1f s, %d questions" % (name, time.time() - start, asked[-1]), flush=True)
    c.check(asked[0] * 5 < asked[1], "far: %s questions by sets and singles" % asked)


def try_lossy(c, sets):
    r = random.Random(3)
    line = Line(sets.port, lambda up, i: r.random() < 0.1)
    get_by(c, "lossy", line)
    c.check(line.lost > 20 and len(line.asked(Q_BLOCK2)) > 31, "lossy: only %d lost" % line.lost)
    c.check(len(line.asked(Q_BLOCK2)) < BLOCKS / 3, "lossy: %d questions" % len(line.questions))


def try_middle(c, sets):
    """Cut off in the middle, it goes on there; chunks from the middle bring no other block."""
    line = Line(sets.port, lambda up, i: not up and i > 150)
    kind, held, err = get_blob(c, "middle", line.url(), env={"DEADLINE_MS": "12000", "STALL_S": "1"})
    c.check(kind == "timeout" and not held, "cut: %s %s" % (kind, err))
    line.close()
    again = Line(sets.port)
    get_by(c, "middle", again)
    first = min(m.blocks(o)[0][0] for o in (BLOCK2, Q_BLOCK2) for m in again.asked(o) if m.blocks(o)[0][2] == 6)
    c.check(120 <= first <= 150, "went on at block %d" % first)
    spans = [(100_000, 30_000), (200_000, 5000)]
    path = chunk_list(c.path("list-middle"), DATA, spans)
    line = Line(sets.port)
    kind, got, fetched, err = chunks(c.path("s-middle"), DIGEST, len(DATA), path, line.url())
    line.close()
    named = {b[0] for o in (BLOCK2, Q_BLOCK2) for m in line.answers for b in m.blocks(o) if b[2] == 6}
    c.check(kind == "" and got == wanted(DATA, spans), "chunks: %s %s" % (kind, err))
    c.check(named == {b for at, n in spans for b in range(at >> 10, (at + n - 1 >> 10) + 1)}, "chunks: blocks %s came" % sorted(named))
    print("chunks: %d bytes for %d wanted" % (fetched, len(got)))


def try_dtls(c):
    s = Server(c, "dtls", True, "-k", "secretkey", "-h", "hint")
    with open(c.path("auth"), "w") as f:
        f.write("psk device-7 %s\n" % b"secretkey".hex())
    before = len(s.said())
    kind, held, err = get_blob(c, "dtls", "coaps://127.0.0.1:%d/img" % (s.port + 1), env={"AUTH": c.path("auth")})
    c.check(kind == "" and held, "dtls: %s %s" % (kind, err))
    said = [line for line in s.said()[before:].split(b"\n") if line.startswith(b"v:1 ")]
    asked = [line for line in said if b"c:GET" in line]
    c.check(len(asked) == 31 and all(b"Q-Block2:" in line for line in asked), "dtls: %d questions" % len(asked))
    c.check(sum(b"c:2.05" in line and b"Q-Block2:" in line for line in said) > BLOCKS, "dtls: %d lines" % len(said)) # it tells of some twice


def main():
    with Case() as c:
        def servers(c):
            sets, singles = Server(c, "sets"), Server(c, "singles", False)
            for part in (try_count, try_newer, try_far):
                part(c, sets, singles)
            try_lossy(c, sets)
            try_middle(c, sets)

        run_parts(c, (servers, try_dtls), Server.all)


main()
