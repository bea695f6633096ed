#!/usr/bin/env python3
"""A dashboard's connection, by hand: MQTT 3.1.1 inside WebSockets over TLS, user and password. No library of MQTT needed.
viewer.py PORT CA USER PASSWORD read TOPIC   -> prints the retained payload, 1 when none comes within 2 s
viewer.py PORT CA USER PASSWORD write TOPIC  -> publishes "forged", retained, QoS 1
viewer.py PORT CA USER PASSWORD connect      -> 0 when the broker takes the password"""
import base64, os, socket, ssl, struct, sys

port, ca, user, password, verb, *topic = sys.argv[1:]
tls = ssl.create_default_context(cafile=ca)
s = tls.wrap_socket(socket.create_connection(("localhost", int(port)), 5), server_hostname="localhost")
s.sendall(("GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n" % base64.b64encode(os.urandom(16)).decode()).encode())
data = b""
while b"\r\n\r\n" not in data:
    data += s.recv(4096)
head, data = data.split(b"\r\n\r\n", 1)
if b" 101 " not in head.split(b"\r\n")[0]:
    sys.exit("no WebSocket: %r" % head)


def send(packet):
    mask = os.urandom(4)
    n = len(packet)
    length = bytes([0x80 | n]) if n < 126 else bytes([0xFE]) + struct.pack(">H", n)
    s.sendall(b"\x82" + length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(packet)))


stream = b""


def need(n):
    """n bytes of MQTT, out of WebSocket frames."""
    global data, stream
    while len(stream) < n:
        while True:
            if len(data) >= 2:
                size, at = data[1] & 127, 2
                if size == 126 and len(data) >= 4:
                    size, at = struct.unpack(">H", data[2:4])[0], 4
                if size < 126 or at == 4:
                    if len(data) >= at + size:
                        break
            more = s.recv(65536)
            if not more:
                sys.exit("closed")
            data += more
        if data[0] & 15 == 8:
            sys.exit("closed")
        stream += data[at:at + size]
        data = data[at + size:]
    out, stream = stream[:n], stream[n:]
    return out


def packet():
    kind, size, shift = need(1)[0], 0, 0
    while True:
        b = need(1)[0]
        size |= (b & 127) << shift
        shift += 7
        if not b & 128:
            return kind, need(size)


def text(t):
    return struct.pack(">H", len(t)) + t.encode()


def mqtt(kind, body):
    n, length = len(body), b""
    while True:
        n, low = n >> 7, n & 127
        length += bytes([low | (128 if n else 0)])
        if not n:
            break
    send(bytes([kind]) + length + body)


mqtt(0x10, text("MQTT") + b"\x04\xc2" + struct.pack(">H", 60) + text("view-%d" % os.getpid()) + text(user) + text(password))
kind, body = packet()
if kind != 0x20 or body[1] != 0:
    sys.exit("refused: %d" % body[1])
if verb == "write":
    mqtt(0x33, text(topic[0]) + b"\x00\x01" + b"forged")
    packet()
elif verb == "read":
    mqtt(0x82, b"\x00\x02" + text(topic[0]) + b"\x00")
    s.settimeout(2)
    try:
        while True:
            kind, body = packet()
            if kind >> 4 == 3:
                sys.stdout.write(body[2 + struct.unpack(">H", body[:2])[0]:].decode())
                sys.exit(0)
    except (TimeoutError, socket.timeout):
        sys.exit(1)
