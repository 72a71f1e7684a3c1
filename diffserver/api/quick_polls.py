"""Polls that are answered from memory, ahead of the endpoint: of devices that are known and say nothing new.

Whatever is unusual in a request is left to the endpoint, and so is every error. On the event loop: no query, no thread.
"""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, NamedTuple

from pydantic import ValidationError
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from diffserver.api import shown
from diffserver.api.requests import PollRequest
from diffserver.catalog import tokens
from diffserver.catalog.devices import Seen
from diffserver.polls.credentials import Known, said
from diffserver.polls.memory import Memory
from diffserver.polls.notes import Notes
from diffserver.rollouts.book import Answer, Question
from diffserver.storage.column_types import utc_now
from diffserver.trust.metadata_rows import Standing

LONGEST_BODY = 4096
"""Bytes of a poll; one that names steps that failed may be longer."""


class Route(NamedTuple):
    """The endpoint's path, as the log names it."""

    path: str


class QuickPolls:
    """ASGI middleware: see the module."""

    route: ClassVar = Route("/v1/device/poll")

    def __init__(self, app: ASGIApp, memory: Memory, notes: Notes, poll_seconds: int) -> None:
        self._app, self._memory, self._notes, self._poll_seconds = app, memory, notes, poll_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        known = self._known(scope)
        if known is None:
            await self._app(scope, receive, send)
            return
        message = await receive()
        body = None if message.get("more_body") else message.get("body")
        found = self._answer(known, body) if body else None
        if found is None:
            await self._app(scope, _again(message, receive), send)
            return
        scope["route"] = self.route
        scope["state"].update(token_id=known.token, device_id=known.device, idle=True)
        await Response(found, media_type="application/json")(scope, receive, send)

    def _known(self, scope: Scope) -> Known | None:
        """Return the device that polls, if it is known and the request is as usual."""
        if scope["type"] != "http" or scope["path"] != self.route.path or scope["method"] != "POST":
            return None
        headers = dict(scope["headers"])
        length, token = headers.get(b"content-length", b""), headers.get(b"authorization", b"")
        short = length.isdigit() and len(length) < 5 and int(length) <= LONGEST_BODY
        usual = short and headers.get(b"content-type") == b"application/json" and token.startswith(b"Bearer ")
        if not usual or scope["query_string"] or not self._memory.is_fresh():
            return None
        return self._memory.credentials.get(tokens.digest_of(token[len(b"Bearer ") :].decode("latin-1")))

    def _answer(self, known: Known, body: bytes) -> bytes | None:
        """Return the answer to what a device says, if it says what is known already, and the answer is known."""
        try:
            poll = PollRequest.model_validate_json(body)
        except ValidationError:
            return None
        holding, moment, book = poll.holding(), utc_now(), self._memory.book(known.model)
        course, standing = book.known_course(known.channel), self._memory.metadata().standing
        if poll.without or said(holding, poll.client, poll.boot) != known.said or course is None or standing is None:
            return None
        target = course.target(known.device, lambda: known.attributes, holding.digest, moment)
        question = Question(target, holding.digest, holding.previous, poll.full_fallback)
        found = book.known_answer(question)
        if found is None:
            return None
        if self._notes.lacks(known.device):
            self._notes.add(Seen(known.device, moment, holding, poll.client, poll.boot))
        return _rendered(found, standing, self._poll_seconds)


@lru_cache(maxsize=256)
def _rendered(found: Answer, standing: Standing, poll_seconds: int) -> bytes:
    return shown.poll(found, standing, poll_seconds).model_dump_json().encode()


def _again(first: Message, receive: Receive) -> Receive:
    """Receive a message that was received before, and then what follows it."""
    messages = [first]

    async def received() -> Message:
        return messages.pop() if messages else await receive()

    return received
