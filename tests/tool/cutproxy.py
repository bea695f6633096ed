#!/usr/bin/env python3
"""A TCP proxy on loopback that counts, slows down and cuts.
usage: cutproxy.py LISTEN TARGET STATS [RATE [CUT_AFTER]]
Bytes from the target to clients are counted in the file STATS (one number). RATE: bytes a second in that direction, 0: all.
CUT_AFTER: close every connection once, after so many bytes in all, and refuse new ones for a second."""
import os
import socket
import sys
import threading
import time

listen, target, stats = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rate = int(sys.argv[4]) if len(sys.argv) > 4 else 0
cut = int(sys.argv[5]) if len(sys.argv) > 5 else 0
lock, total, pairs, closed_until = threading.Lock(), 0, set(), 0.0


def count(n):
    global total, cut, closed_until
    with lock:
        total += n
        with open(stats + ".new", "w") as f:
            f.write(str(total))
        os.rename(stats + ".new", stats)
        if cut and total >= cut:
            cut, closed_until = 0, time.time() + 1
            for s in list(pairs):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


def pump(a, b, down):
    try:
        while True:
            piece = a.recv(8192)
            if not piece:
                break
            if down:
                if rate:
                    time.sleep(len(piece) / rate)
                count(len(piece))
            b.sendall(piece)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        pairs.discard(s)


server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", listen))
server.listen(16)
open(stats, "w").write("0")
while True:
    client, _ = server.accept()
    try:
        if time.time() < closed_until:
            raise OSError
        upstream = socket.create_connection(("127.0.0.1", target))
    except OSError:
        client.close()
        continue
    pairs |= {client, upstream}
    threading.Thread(target=pump, args=(client, upstream, False), daemon=True).start()
    threading.Thread(target=pump, args=(upstream, client, True), daemon=True).start()
