"""CoAP by hand: options, a peer that may lie, a peer that has Q-Block2 (RFC 9177, as we read it), and a line in between that counts, loses and delays."""
import heapq
import select
import socket
import threading
import time

BLOCK2, SIZE2, Q_BLOCK2 = 23, 28, 31
CON, NON, ACK, RST = range(4)
GET, CONTENT, BAD_OPTION = 0x01, 0x45, 0x82
SET = 10 # MAX_PAYLOADS


def number(n):
    return n.to_bytes((n.bit_length() + 7) // 8, "big")


def put_options(options):
    """[(number, bytes)] in order."""
    out, last = b"", 0
    for n, value in options:
        delta, size = n - last, len(value)
        ext = b"".join(bytes([x - 13]) for x in (delta, size) if x >= 13)
        out += bytes([min(delta, 13) << 4 | min(size, 13)]) + ext + value
        last = n
    return out


def get_options(p):
    """{number: [values]} of what stands behind a token, and where the payload begins."""
    out, n, at = {}, 0, 0
    while at < len(p) and p[at] != 0xFF:
        delta, size = p[at] >> 4, p[at] & 15
        at += 1
        if delta == 13:
            delta, at = p[at] + 13, at + 1
        if size == 13:
            size, at = p[at] + 13, at + 1
        n += delta
        out.setdefault(n, []).append(p[at:at + size])
        at += size
    return out, at


class Message:
    def __init__(self, p):
        self.kind, self.code, self.mid, self.token = p[0] >> 4 & 3, p[1], p[2:4], p[4:4 + (p[0] & 15)]
        self.options, at = get_options(p[4 + len(self.token):])
        self.payload = p[4 + len(self.token) + at + 1:]

    def blocks(self, option):
        """[(number, more, szx)]"""
        values = [int.from_bytes(v, "big") for v in self.options.get(option, [])]
        return [(v >> 4, bool(v & 8), v & 7) for v in values]


def message(kind, code, mid, token, options, payload=b""):
    return bytes([0x40 | kind << 4 | len(token), code]) + mid + token + put_options(options) + (b"\xff" + payload if payload else b"")


def block_value(num, more, szx):
    return number(num << 4 | (8 if more else 0) | szx)


class Peer:
    """A server of one blob without Q-Block2. `twist` gets (peer, how many blocks were asked for, mid, token, block, good answer) and gives the datagrams that
    are sent."""

    def __init__(self, data, twist=None):
        self.data, self.twist = data, twist or (lambda p, n, mid, token, num, good: [(p.sock, good)])
        self.tokens, self.resets, self.n, self.seen, self.asked, self.refused = [], 0, 0, set(), [], 0
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        threading.Thread(target=self.run, daemon=True).start()

    def url(self):
        return "coap://127.0.0.1:%d/img" % self.sock.getsockname()[1]

    def answer(self, mid, token, num, more, data, kind=ACK):
        return message(kind, CONTENT, mid, token, [(4, b"ab"), (BLOCK2, block_value(num, more, 6))], data)

    def run(self):
        while True:
            p, where = self.sock.recvfrom(2048)
            m = Message(p)
            if m.kind == RST:
                self.resets += 1
            if m.code != GET:
                continue
            if m.mid not in self.seen:
                self.tokens.append(m.token)
                self.seen.add(m.mid)
            self.serve(m, where)

    def serve(self, m, where):
        if Q_BLOCK2 in m.options:
            self.refused += 1
            self.sock.sendto(self.refusal(m), where)
            return
        num = m.blocks(BLOCK2)[0][0]
        self.asked.append(num)
        self.n += 1
        good = self.answer(m.mid, m.token, num, len(self.data) > (num + 1) << 10, self.data[num << 10:(num + 1) << 10])
        for sock, d in self.twist(self, self.n, m.mid, m.token, num, good):
            sock.sendto(d, where)

    @staticmethod
    def refusal(m):
        return message(ACK, BAD_OPTION, m.mid, m.token, [])


class Refuser(Peer):
    """The same by a reset."""

    @staticmethod
    def refusal(m):
        return message(RST, 0, m.mid, b"", [])


class Sets(Peer):
    """A server with Q-Block2 that keeps no state. szx: its largest blocks. `twist` is asked for each block."""

    def __init__(self, data, twist=None, szx=6):
        self.szx, self.questions, self.mid = szx, [], 0
        super().__init__(data, twist)

    def answer(self, mid, token, num, more, data, kind=NON, szx=None, etag=b"ab"):
        options = [(4, etag), (SIZE2, number(len(self.data))), (Q_BLOCK2, block_value(num, more, self.szx if szx is None else szx))]
        return message(kind, CONTENT, mid, token, options, data)

    def named(self, m):
        """Numbers of the blocks that a question names, in our size."""
        out = []
        for num, more, szx in m.blocks(Q_BLOCK2):
            szx, num = min(szx, self.szx), num << szx - min(szx, self.szx)
            last = (len(self.data) - 1) >> szx + 4
            out += range(num, min(last, num - num % SET + SET - 1) + 1) if more else [num]
        return out, szx

    def serve(self, m, where):
        named, szx = self.named(m)
        self.questions.append((m.kind, m.blocks(Q_BLOCK2)))
        for i, num in enumerate(named):
            if m.kind == NON: # the try is for 16 bytes that are not used
                self.n += 1
                self.asked.append(num)
            size = 16 << szx
            mid = m.mid
            if i > 0 or m.kind == NON:
                self.mid += 1
                mid = self.mid.to_bytes(2, "big")
            good = self.answer(mid, m.token, num, len(self.data) > (num + 1) * size, self.data[num * size:(num + 1) * size],
                               ACK if m.kind == CON and i == 0 else NON, szx)
            answers = [(self.sock, good)] if m.kind == CON else self.twist(self, self.n, mid, m.token, num, good)
            for sock, d in answers:
                sock.sendto(d, where)


class Line:
    """Between a client and the server at `port`. lose(up, i): is the i-th datagram of this direction lost? delay_s: one way. Notes what it understands."""

    def __init__(self, port, lose=lambda up, i: False, delay_s=0):
        self.to, self.lose, self.delay_s = ("127.0.0.1", port), lose, delay_s
        self.n, self.lost, self.questions, self.answers, self.clients, self.late = [0, 0], 0, [], [], {}, []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.stop_r, self.stop_w = socket.socketpair()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def url(self, scheme="coap"):
        return "%s://127.0.0.1:%d/img" % (scheme, self.sock.getsockname()[1])

    def note(self, up, p):
        try:
            m = Message(p)
        except IndexError:
            return # not in the clear
        if up and m.code == GET:
            self.questions.append(m)
        elif not up and m.code == CONTENT:
            self.answers.append(m)

    def asked(self, option):
        return [m for m in self.questions if option in m.options]

    def carry(self, up, p, sock, where):
        self.note(up, p)
        self.n[up] += 1
        if self.lose(up, self.n[up]):
            self.lost += 1
            return
        heapq.heappush(self.late, (time.monotonic() + self.delay_s, self.n[0] + self.n[1], p, sock, where))

    def run(self):
        socks = {}
        while True:
            wait = max(0, self.late[0][0] - time.monotonic()) if self.late else None
            ready = select.select([self.sock, self.stop_r, *socks], [], [], wait)[0]
            if self.stop_r in ready:
                return
            for s in ready:
                try:
                    p, where = s.recvfrom(4096)
                except ConnectionRefusedError:
                    continue
                if s is not self.sock:
                    self.carry(False, p, self.sock, socks[s])
                    continue
                if where not in self.clients:
                    self.clients[where] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    socks[self.clients[where]] = where
                self.carry(True, p, self.clients[where], self.to)
            while self.late and self.late[0][0] <= time.monotonic():
                p, sock, where = heapq.heappop(self.late)[2:]
                sock.sendto(p, where)

    def close(self):
        self.stop_w.send(b"x")
        self.thread.join()
