#!/usr/bin/env python3
"""A long or a broken line on loopback: a TCP proxy that holds back what it passes on.
usage: slowproxy.py LISTEN TARGET RTT_MS [MODE BYTES]
Each piece is passed on RTT_MS / 2 after it came, in both directions. With a MODE each connection, after BYTES from the target,
  hole    passes nothing on any more, in either direction, and stays open
  cut     is closed
  deaf    passes nothing on to the target any more, as a line that broke in one direction
MODE may also stand in the file LISTEN.mode in the working directory, as "MODE BYTES": read when a connection is made."""
import asyncio
import os
import sys

listen, target, delay = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) / 2000


class Line:
    def __init__(self, mode, limit):
        self.mode, self.limit, self.passed, self.broken = mode, limit, 0, False


async def pump(line, reader, writer, down):
    queue = asyncio.Queue()

    async def send():
        while True:
            when, piece = await queue.get()
            await asyncio.sleep(max(0, when - asyncio.get_running_loop().time()))
            if piece is None:
                return
            if line.broken and (line.mode == "hole" or (line.mode == "deaf" and not down)):
                continue
            if line.mode == "cut" and line.broken:
                return
            writer.write(piece)
            await writer.drain()
            if down:
                line.passed += len(piece)
                line.broken = line.mode is not None and line.passed >= line.limit

    sender = asyncio.ensure_future(send())
    try:
        while not sender.done():
            piece = await reader.read(4096)
            await queue.put((asyncio.get_running_loop().time() + delay, piece or None))
            if not piece:
                break
        await sender
    except (ConnectionError, asyncio.CancelledError):
        sender.cancel()
    if not (line.broken and line.mode == "hole"):
        writer.close()


async def serve(reader, writer):
    words = sys.argv[4:6]
    if os.path.exists("%d.mode" % listen):
        words = open("%d.mode" % listen).read().split()
    line = Line(words[0], int(words[1])) if words else Line(None, 0)
    try:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", target)
    except OSError:
        writer.close()
        return
    await asyncio.gather(pump(line, reader, up_writer, False), pump(line, up_reader, writer, True))


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", listen)
    await server.serve_forever()


asyncio.run(main())
