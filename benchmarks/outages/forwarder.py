"""The way to the object store, as a process of its own: it hands bytes on, and knows nothing of them.

Killed, it breaks connections in the middle of a body, and refuses new ones until it is started again. The store behind
it goes on, so what it had acknowledged is there.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import closing, suppress

CHUNK = 1 << 16


async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand on what comes, until one of both ends."""
    with closing(writer), suppress(ConnectionError):
        while piece := await reader.read(CHUNK):
            writer.write(piece)
            await writer.drain()


async def forward(port: int, to: int) -> None:
    """Accept connections on a port of the loopback for ever, each handed on to another port."""

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(ConnectionError):
            there, back = await asyncio.open_connection("127.0.0.1", to)
            await asyncio.gather(hand_on(reader, back), hand_on(there, writer))

    async with await asyncio.start_server(join, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("port", type=int)
    parser.add_argument("to", type=int)
    options = parser.parse_args()
    asyncio.run(forward(options.port, options.to))
