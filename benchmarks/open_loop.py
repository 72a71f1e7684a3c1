"""Polls and reports that come at fixed moments, however long the answers take: a process of its own beside a server.

It prints one line of JSON: the 99th percentile of the time from the moment that a poll was due to its answer, and the
answers that were not what they should be.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from benchmarks.enrolled import poll_of, token_of

CONNECTIONS = 32


class Line:
    """One connection, which one request at a time uses."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, token: str, body: bytes) -> int:
        """Send a request, and return its answer's status once it is all there."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in answer.split(b"\r\n")[1:] if line)
        await reader.readexactly(int(fields[b"content-length"]))
        return int(answer.split(b" ", 2)[1])


async def stream(port: int, rate: float, seconds: float, request: Callable[[int], tuple[str, str, bytes]]) -> Result:
    """Send so many requests a second, and return how long each took and which statuses came."""
    lines: asyncio.Queue[Line] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        lines.put_nowait(Line(port))
    took: list[float] = []
    statuses: list[int] = []

    async def one(number: int, due: float) -> None:
        line = await lines.get()
        statuses.append(await line.post(*request(number)))
        took.append(time.perf_counter() - due)
        lines.put_nowait(line)

    async with asyncio.TaskGroup() as group:
        for number, due in _moments(rate, seconds):
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(number, due))
    return took, statuses


Result = tuple[list[float], list[int]]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which that share of them is."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _moments(rate: float, seconds: float) -> Iterator[tuple[int, float]]:
    began = time.perf_counter()
    for number in count():
        if number >= rate * seconds:
            return
        yield number, began + number / rate


async def _main(args: argparse.Namespace) -> None:
    def poll(number: int) -> tuple[str, str, bytes]:
        device = number % args.tokens
        return "/v1/device/poll", token_of(device), json.dumps(poll_of(device, args.digest)).encode()

    def report(number: int) -> tuple[str, str, bytes]:
        body = {"stage": "installed", "to_digest": args.digest, "report_id": f"{time.time_ns():032x}"}
        return "/v1/device/reports", token_of(number % args.tokens), json.dumps(body).encode()

    polls, reports = await asyncio.gather(
        stream(args.port, args.polls, args.seconds, poll), stream(args.port, args.reports, args.seconds, report)
    )
    wrong = sum(status != 200 for status in polls[1]) + sum(status != 201 for status in reports[1])
    p99, reports_p99 = (round(percentile(took, 0.99) * 1000, 2) for took, _ in (polls, reports))
    print(json.dumps({"p99_ms": p99, "reports_p99_ms": reports_p99, "wrong": wrong, "polls": len(polls[0])}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--digest", required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--polls", type=float, default=556.0)
    parser.add_argument("--reports", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    asyncio.run(_main(parser.parse_args()))
