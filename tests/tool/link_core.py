#!/usr/bin/env python3
"""Stands for core: starts agentd-link with settings of its own and prints the first thing that it says.
usage: link_core.py AGENTD_LINK DIR PORT FLOOR_S CA CERT KEY"""
import array
import json
import os
import socket
import sys

program, directory, port, floor = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
for s in (mine, theirs):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200000)
fds = [os.open(f, os.O_RDONLY) for f in sys.argv[5:8]]
settings = {
    "device": "core-1", "fleet": "demo", "client": "core-1-x", "host": "localhost", "dir": directory, "port": port, "keepalive_s": 60, "reconnect_s": 1, "conn": 0, "boot": 1,
    "floor": floor, "plaintext": False, "uid": 0, "gid": 0, "groups": [],
}
os.makedirs(directory, exist_ok=True)
pid = os.fork()
if pid == 0:
    os.dup2(theirs.fileno(), 3, True)
    os.execv(program, ["agentd: link"])
theirs.close()
mine.sendmsg([b"config\n" + json.dumps(settings).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
mine.settimeout(120)
print(mine.recv(65536).decode())
mine.close()
os.waitpid(pid, 0)
