"""Counts of this process since it started: requests, their seconds, bytes sent, reports taken.

Labels have few values, whoever asks for what: routes by their template, never by their path.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from sqlalchemy import Engine, QueuePool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from diffserver.storage.tables import Report

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
OTHER = "other"

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""The upper ends of the histogram's buckets: a poll takes some milliseconds, a snapshot's download minutes."""


class ProcessCounts:
    """The counts of one process, in a registry of its own."""

    def __init__(self, registry: CollectorRegistry, engine: Engine) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside each counter, which says when it was first counted
        ProcessCollector(registry=registry)
        requests = Counter(
            "diffserver_requests",
            "Requests that were answered, or broken off.",
            ["route", "method", "status"],
            registry=registry,
        )
        seconds = Histogram(
            "diffserver_request_seconds",
            "Seconds from a request's head to its answer's last byte.",
            ["route", "method"],
            registry=registry,
            buckets=SECONDS,
        )
        sent = Counter("diffserver_sent_bytes", "Bytes of answers, by what they are.", ["kind"], registry=registry)
        # The series of labels, of which there are few: to look one up there takes longer than to count.
        self._requests, self._seconds, self._sent = cache(requests.labels), cache(seconds.labels), cache(sent.labels)
        self._reports = Counter(
            "diffserver_reports", "Reports of devices that were taken.", ["stage", "cause"], registry=registry
        )
        connections = Gauge("diffserver_database_connections", "Connections in use.", registry=registry)
        assert isinstance(engine.pool, QueuePool)
        connections.set_function(engine.pool.checkedout)

    def answered(self, route: str, method: str, status: int, seconds: float, kind: str, sent: int) -> None:
        """Count a request that is over."""
        method = method if method in METHODS else OTHER
        self._requests(route, method, status).inc()
        self._seconds(route, method).observe(seconds)
        self._sent(kind).inc(sent)

    def reported(self, report: Report) -> None:
        """Count a report that was not taken before."""
        self._reports.labels(report.stage, report.cause or "none").inc()


class RequestCounter:
    """ASGI middleware that counts each request when it is over; the outermost, so that it sees what callers get."""

    def __init__(self, app: ASGIApp, counts: ProcessCounts) -> None:
        self._app, self._counts = app, counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, sender = time.monotonic(), _CountingSender(send)
        try:
            await self._app(scope, receive, sender)
        finally:
            route = getattr(scope.get("route"), "path", None) or OTHER
            kind = scope.get("state", {}).get("kind") or next(iter(getattr(scope.get("route"), "tags", ())), OTHER)
            seconds = time.monotonic() - start
            self._counts.answered(route, scope["method"], sender.status, seconds, kind, sender.sent)


class _CountingSender:
    """A `send` that remembers the status, 0 if there was none, and the bytes of the body."""

    def __init__(self, send: Callable[[Message], Awaitable[None]]) -> None:
        self._send = send
        self.status, self.sent = 0, 0

    async def __call__(self, message: Message) -> None:
        self.status = message.get("status", self.status)
        await self._send(message)
        self.sent += len(message.get("body", b""))
