#!/usr/bin/env python3
"""A hostile or old MQTT peer on loopback, in the clear.
usage: mqtt_peer.py LISTEN MODE [TARGET]
  old     refuses MQTT 5 (CONNACK 1, as brokers before it do), passes 3.1.1 on to the broker at TARGET
  bomb    accepts, then announces a PUBLISH of 256 MB and sends it as fast as it can
  garbage accepts, then sends bytes that are no MQTT
Prints a line for each connection: the protocol level that the client asked for."""
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
