"""A server's answers to a device in JSON, read strictly: the version to run, its enrolment, problems.

Nothing here opens a connection (`device_api` does) or decides what to install (`route` and `updater` do); what a
device says itself is `report`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from diffclient.errors import AnswerError, FormatError, ManifestError, ServerRefused
from diffclient.release.target_names import parse as parse_name
from diffclient.strict_json import Fields, parse

STEP_LIMIT = 1000
POLL_LONGEST = 24 * 3600
"""No answer may silence a device for more than a day."""


@dataclass(frozen=True)
class Enrolment:
    """A device's enrolment at its server; `token` is a secret, and kept out of messages."""

    server: str
    device_id: str
    token: str = field(repr=False)
    model: str
    channel: str
    name: str


@dataclass(frozen=True)
class Standing:
    """The signed metadata in force, as the server says: the root's version, and the SHA-256 of the timestamp."""

    root: int
    timestamp: str


@dataclass(frozen=True)
class Answer:
    """The server's answer to a poll: the target (None: nothing published) and the names of the steps to it."""

    version: int | None
    digest: str | None
    steps: tuple[str, ...]
    poll_seconds: int
    withheld: bool = False
    """Whether something new is there to which only a snapshot leads, which this device does not want now."""
    metadata: Standing | None = None
    """None from a server of an earlier release."""


def read_answer(data: bytes) -> Answer:
    """Read the answer to a poll; raises AnswerError."""
    fields = parse(data, "the answer to the poll", AnswerError)
    action = fields.choice("action", ("none", "update"))
    steps = tuple(map(_step, fields.texts("steps", STEP_LIMIT)))
    if (action == "update") != bool(steps):
        raise AnswerError("the answer to the poll: an update needs steps, and nothing else has them")
    named = fields.digest if steps else (lambda name: fields.maybe(name, fields.digest))
    return Answer(
        version=fields.maybe("version", fields.count),
        digest=named("digest"),
        steps=steps,
        poll_seconds=min(max(fields.count("poll_seconds"), 1), POLL_LONGEST),
        withheld=fields.maybe("notice", fields.text) == "snapshot",
        metadata=_standing(fields.inside("metadata")) if fields.values.get("metadata") is not None else None,
    )


def _standing(fields: Fields) -> Standing:
    return Standing(fields.count("root"), fields.digest("timestamp"))


def _step(name: str) -> str:
    try:
        parse_name(name)
    except ManifestError as error:
        raise AnswerError(f"the answer to the poll: {error}") from error
    return name


def read_enrolment(data: bytes, server: str, name: str) -> Enrolment:
    """Read the answer to an enrolment; raises AnswerError."""
    fields = parse(data, "the answer to the enrolment", AnswerError)
    return Enrolment(
        server=server,
        name=name,
        **{key: fields.text(key) for key in ("device_id", "token", "model", "channel")},
    )


def read_problem(status: int, reason: str, data: bytes) -> ServerRefused:
    """Return an error answer as an error: a problem (RFC 9457) where it is one, else what the status says."""
    try:
        fields = parse(data, "the problem", AnswerError)
        title, detail, remedy = (fields.maybe(key, fields.text) or "" for key in ("title", "detail", "remedy"))
    except FormatError:
        title = detail = remedy = ""
    return ServerRefused(status, title or reason, detail, remedy)


def short(digest: str | None) -> str:
    """Return a digest as people compare it."""
    return f"{digest[:12]}…" if digest else "nothing"
