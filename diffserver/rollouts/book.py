"""What the answers to devices of one model are made of, read once, and the answers that were found.

A book knows nothing of what changes after its rows were read: whoever keeps one throws it away then (see `polls`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from sqlalchemy import and_, select
from sqlalchemy.orm import Session, aliased

from diffclient.release.target_names import diff_name, snapshot_name
from diffserver.catalog.update_path import Edge
from diffserver.rollouts.target import Course, Target, course
from diffserver.storage.tables import Step, Version

Steps = Mapping[Edge, str]
"""Steps with the names of their targets."""

StepsTo = Callable[[str], Steps]
"""What finds the steps to a version."""

READ_AT_FIRST = 64
"""The versions whose steps are read together; twice as many each further time. Diffs of 2 % are cheaper than a snapshot
up to 50 versions back."""

MOST_ANSWERS = 4096
"""Devices may say that they hold whatever they like."""


@dataclass(frozen=True)
class Answer:
    """The version that a device should run, and the targets of the steps that lead there."""

    number: int | None
    digest: str | None
    steps: tuple[str, ...] = ()
    notice: Literal["snapshot"] | None = None
    """Set if there are no steps for the only reason that the device wants no snapshot."""


@dataclass(frozen=True)
class Question:
    """All that an answer depends on: the version wanted, what is held and kept, and whether a snapshot is welcome."""

    target: Target
    held: str | None
    kept: str | None
    snapshot: bool


class Book:
    """Where a model's channels lead, steps that were asked for, and answers; several threads may use it."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._courses: dict[str, Course | None] = {}
        self._steps: dict[str, dict[Edge, str]] = {}
        self._read_together = READ_AT_FIRST
        self._answers: dict[Question, Answer] = {}

    def course(self, session: Session, channel: str) -> Course | None:
        """Return where a channel leads; None if nothing was published yet."""
        if channel not in self._courses:
            self._courses[channel] = course(session, self._model, channel)
        return self._courses[channel]

    def arriving(self, session: Session) -> StepsTo:
        """Return a function that finds the steps to a version."""
        return partial(self._steps_to, session)

    def _steps_to(self, session: Session, version: str) -> Steps:
        if version not in self._steps:
            found: dict[str, dict[Edge, str]] = {version: {}}
            for edge, name in _read(session, self._model, version, self._read_together):
                found.setdefault(edge.to_digest, {})[edge] = name
            self._steps |= found
            self._read_together *= 2
        return self._steps[version]

    def known_course(self, channel: str) -> Course | None:
        """Return where a channel leads; None also if that was not read yet."""
        return self._courses.get(channel)

    def known_answer(self, question: Question) -> Answer | None:
        """Return an answer that was found before."""
        return self._answers.get(question)

    def keep(self, question: Question, answer: Answer) -> Answer:
        """Keep an answer, and return it."""
        if len(self._answers) >= MOST_ANSWERS:
            self._answers.clear()
        self._answers[question] = answer
        return answer


def _read(session: Session, model: str, digest: str, count: int) -> Iterator[tuple[Edge, str]]:
    """Yield the steps to a version and to those that were published before it, so many versions in all."""
    to, start = aliased(Version), aliased(Version)
    last = select(Version.number).where(Version.model == model, Version.digest == digest).scalar_subquery()
    rows = session.execute(
        select(Step.from_digest, Step.to_digest, Step.length, start.number, to.number)
        .join(to, and_(to.model == Step.model, to.digest == Step.to_digest))
        .outerjoin(start, and_(start.model == Step.model, start.digest == Step.from_digest))
        .where(Step.model == model, to.number <= last, to.number > last - count)
    )
    for before, after, length, leaves, leads in rows:
        named = snapshot_name(model, leads) if leaves is None else diff_name(model, leads, leaves)
        yield Edge(before, after, length), named
