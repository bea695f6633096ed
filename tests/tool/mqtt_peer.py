#!/usr/bin/env python3
"""A hostile or old MQTT peer on loopback, in the clear.
usage: mqtt_peer.py LISTEN MODE [TARGET | TOPIC]
  old     refuses MQTT 5 (CONNACK 1, as brokers before it do), passes 3.1.1 on to the broker at TARGET
  bomb    accepts, then announces a PUBLISH of 256 MB and sends it as fast as it can
  garbage accepts, then sends bytes that are no MQTT
  silent  takes the connection and never answers
  docs    accepts and sends documents to TOPIC without end, each another, each with eight signatures that hold nowhere
Prints a line for each connection: the protocol level that the client asked for."""
import base64
import json
import os
import socket
import sys
import threading

listen, mode = int(sys.argv[1]), sys.argv[2]


def pump(a, b):
    try:
        while True:
            piece = a.recv(8192)
            if not piece:
                break
            b.sendall(piece)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def length(n):
    out = b""
    while True:
        out += bytes([n % 128 | (128 if n >= 128 else 0)])
        n //= 128
        if n == 0:
            return out


def publish(level, topic, payload):
    body = len(topic).to_bytes(2, "big") + topic.encode() + (b"\0" if level == 5 else b"") + payload
    return b"\x30" + length(len(body)) + body


def answer(c, level):
    """SUBACK and PINGRESP for what the client asks. It may ask for anything: that is read past."""
    data = b""
    while True:
        piece = c.recv(8192)
        if not piece:
            return
        data += piece
        while len(data) >= 2 and data[1] < 128 and len(data) >= 2 + data[1]:
            head, packet, data = data[0], data[2 : 2 + data[1]], data[2 + data[1] :]
            if head == 0x82:
                body = packet[:2] + (b"\0" if level == 5 else b"") + b"\x01"
                c.sendall(b"\x90" + length(len(body)) + body)
            elif head == 0xC0:
                c.sendall(b"\xd0\0")
        if len(data) >= 2 and data[1] >= 128:
            data = b""  # a report: nobody keeps it here


def flood(c, level, topic):
    threading.Thread(target=answer, args=(c, level), daemon=True).start()
    n = 0
    while True:
        n += 1
        sigs = [{"keyid": str(i), "sig": base64.b64encode(os.urandom(64)).decode()} for i in range(8)]
        doc = {
            "payloadType": "application/vnd.limpet.desired.v1+json",
            "payload": base64.b64encode(b'{"n":%d}' % n).decode(),
            "signatures": sigs,
        }
        c.sendall(publish(level, topic, json.dumps(doc).encode()))


def serve(c):
    try:
        first = c.recv(8192)
        level = first[first.index(b"MQTT") + 4]
        print("level", level, flush=True)
        if mode == "old" and level == 5:
            c.sendall(b"\x20\x02\x00\x01")
        elif mode == "old":
            up = socket.create_connection(("127.0.0.1", int(sys.argv[3])))
            up.sendall(first)
            threading.Thread(target=pump, args=(up, c), daemon=True).start()
            pump(c, up)
        elif mode == "silent":
            c.recv(8192)
        elif mode == "docs":
            c.sendall(b"\x20\x03\x00\x00\x00" if level == 5 else b"\x20\x02\x00\x00")
            flood(c, level, sys.argv[3])
        elif mode == "bomb":
            c.sendall(b"\x20\x03\x00\x00\x00" if level == 5 else b"\x20\x02\x00\x00")
            c.sendall(b"\x30\xff\xff\xff\x7f")
            sent = 0
            while sent < 268435455:
                sent += c.send(b"a" * 65536)
                print("sent", sent, flush=True)
        else:
            c.sendall(b"\x20\x03\x00\x00\x00")
            c.sendall(bytes(range(256)) * 16)
            c.recv(8192)
    except (OSError, ValueError):
        pass
    c.close()


server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", listen))
server.listen(8)
while True:
    client, _ = server.accept()
    threading.Thread(target=serve, args=(client,), daemon=True).start()
