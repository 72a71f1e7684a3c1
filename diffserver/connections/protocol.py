"""One connection: uvicorn's HTTP/1.1, with deadlines for whatever the peer owes.

A connection waits for a request's head, for its body, for the application, or for the peer to take the answer. Only
while it waits for the application it is safe from the clock, and from newcomers when all places are taken. A request
that is answered before its body is there ends its connection: the rest is not read.
"""

import asyncio
from enum import IntEnum
from typing import Any, ClassVar, cast

import h11
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from diffserver.api.problems import refusal
from diffserver.connections.limits import Limits
from diffserver.connections.seldom import Seldom
from diffserver.connections.transport import Transport, unsent
from diffserver.drain import Drain

LINGER_SECONDS, LINGER_BYTES = 1.0, 1 << 18
"""After an answer that ends the connection: what the peer may still send unread, so that it gets to see the answer."""

full = Seldom("all connections are taken: the one that waits longest for its peer makes room")


class Phase(IntEnum):
    """The state of a connection; those that make room for newcomers first come first."""

    HEAD = 0
    BODY = 1
    TAKE = 2
    APPLICATION = 3


class LimitedProtocol(H11Protocol):
    """See the module; `limits` and `drain` are set by `limited`."""

    limits: ClassVar[Limits]
    drain: ClassVar[Drain]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._application, self.app = self.app, cast(Any, self._answer)
        self._phase, self._since = Phase.HEAD, self.loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._received, self._mark, self._held, self._dropped = 0, 0, False, 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, if need be that of another."""
        self._raw = transport
        super().connection_made(cast(Any, Transport(transport, self._end)))
        self._enter(Phase.HEAD)
        if len(self.connections) > self.limits.connections:
            full.tell()
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Go on with the request; what comes after the end is dropped."""
        if not self.transport.is_closing():
            self._received += len(data)
            super().data_received(data)
            self._held = self._held or self.flow.read_paused
            self._look()
            return
        self._dropped += len(data)
        if self._dropped > LINGER_BYTES:
            self._raw.pause_reading()

    def eof_received(self) -> None:
        """The peer says no more; what it has not taken yet has its time."""
        self.loop.call_soon(self._look)

    def pause_writing(self) -> None:
        """Pause until the peer has taken what is there."""
        super().pause_writing()
        self._look()

    def resume_writing(self) -> None:
        """Go on, as the peer has taken enough."""
        super().resume_writing()
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._look()

    def shutdown(self) -> None:
        """End in order: with the answer under way, and without requests that are still to come."""
        if self._phase is Phase.BODY:
            self._refuse(503, "the server is being stopped")
        elif not self.transport.is_closing():
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        self._refuse(400, msg)

    def _should_upgrade(self) -> bool:
        # There is nothing to upgrade to, and no line in the log for whoever asks.
        return False

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; an answer to half a request, or while the server drains, says that it is the last."""
        cycle = self.cycle

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and (cycle.more_body or self.drain.begun):
                kept = [(name, value) for name, value in message["headers"] if name.lower() != b"connection"]
                message = {**message, "headers": [*kept, (b"connection", b"close")]}
            await send(message)

        await cast(Any, self._application)(scope, receive, sending)

    def _make_room(self) -> None:
        """End a connection that waits for its peer; this one only if there is no other."""
        others = [cast(LimitedProtocol, other) for other in self.connections if other is not self]
        last = longest([other for other in others if other._phase is not Phase.APPLICATION], self.limits) or self
        self.connections.discard(last)
        last._raw.abort()

    def _look(self) -> None:
        """Start the clock anew where something else is waited for."""
        phase = self._now()
        if phase is not self._phase:
            self._enter(phase)

    def _now(self) -> Phase:
        if self.transport.is_closing() or self.flow.write_paused:
            return Phase.TAKE
        if self.cycle is None or self.cycle.response_complete:
            return Phase.HEAD
        return Phase.BODY if self.cycle.more_body else Phase.APPLICATION

    def _enter(self, phase: Phase) -> None:
        self._stop_clock()
        if phase is not Phase.BODY:  # a body belongs to the request that was begun before
            self._since = self.loop.time()
        self._phase = phase
        if phase is not Phase.APPLICATION:
            self._start_clock()

    def _start_clock(self) -> None:
        self._mark = unsent(self._raw) if self._phase is Phase.TAKE else self._received
        self._held = self.flow.read_paused
        seconds = self.limits.header_seconds if self._phase is Phase.HEAD else self.limits.body_seconds
        self._timer = self.loop.call_later(seconds, self._overdue)

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _overdue(self) -> None:
        """Go on with a peer that is fast enough; end it with the others."""
        if self._phase is Phase.TAKE:
            fast = self._mark - unsent(self._raw) >= self.limits.least_bytes
            self._start_clock() if fast else self._raw.abort()
        elif self._phase is Phase.BODY and (self._held or self._received - self._mark >= self.limits.least_bytes):
            self._start_clock()
        elif self._phase is Phase.HEAD and self._received == self._mark:
            self.transport.close()
        else:
            self._refuse(408, "the request did not come in time")

    def _refuse(self, status: int, detail: str) -> None:
        """Answer in the application's place, if nothing is answered yet, and end the connection."""
        bodiless = self._phase is Phase.BODY and self.scope["method"] == "HEAD"
        if bodiless or self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self._raw.abort()
            return
        answer = refusal({}, status, detail, {"Connection": "close"})
        head = h11.Response(status_code=status, headers=answer.raw_headers, reason=STATUS_PHRASES[status])
        for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _end(self) -> None:
        """Close; a peer that is still sending is not read on, and gets a moment to see the answer."""
        if self._phase is Phase.HEAD:
            unread = self._received != self._mark
        else:
            unread = self.cycle is not None and self.cycle.more_body
        self._look()
        if not unread:
            self._raw.close()
            return
        self.flow.resume_reading()
        self._raw.write_eof()
        self.loop.call_later(LINGER_SECONDS, self._raw.close)


def longest(waiting: list[LimitedProtocol], limits: Limits) -> LimitedProtocol | None:
    """Whoever has kept the server waiting longest: for a request's head, unless bodies and answers hold over half.

    A body is worth more than a head, as it follows a token. Were heads always first, slow bodies would end up with all
    the places, and each newcomer would make room for the next before it is read.
    """
    begun = [other for other in waiting if other._phase is not Phase.HEAD]
    of_these = begun if 2 * len(begun) > limits.connections else waiting
    return min(of_these, key=lambda other: (other._phase, other._since), default=None)


def limited(limits: Limits, drain: Drain) -> type[LimitedProtocol]:
    """The protocol of a server with these limits, which ends connections once it drains."""
    return type("Limited", (LimitedProtocol,), {"limits": limits, "drain": drain})
