#!/usr/bin/env python3
"""tls.py CERTIFICATE KEY PORT TARGET_PORT: answers https on a port of this machine by what an http server on another says."""

import asyncio
import contextlib
import ssl
import sys


async def pass_on(reader, writer):
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(certificate, key, port, target):
    async def both_ways(reader, writer):
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", int(target))
        await asyncio.gather(pass_on(reader, there_writer), pass_on(there_reader, writer))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(both_ways, "127.0.0.1", int(port), ssl=context)
    async with server:
        await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
