#!/usr/bin/env python3
"""TLS on loopback before a server that has none.
usage: tlsproxy.py LISTEN TARGET CERT KEY"""
import asyncio
import ssl
import sys

listen, target, cert, key = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]


async def pump(reader, writer):
    try:
        while piece := await reader.read(8192):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def serve(reader, writer):
    up_reader, up_writer = await asyncio.open_connection("127.0.0.1", target)
    await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = await asyncio.start_server(serve, "127.0.0.1", listen, ssl=context)
    await server.serve_forever()


asyncio.run(main())
