"""What the answers to devices of one model are made of, read once, and the answers that were found.

A book knows nothing of what changes after its rows were read: whoever keeps one throws it away then (see `polls`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from diffserver.catalog.update_path import Edge
from diffserver.rollouts.target import Course, Target, course
from diffserver.storage.tables import Step

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
    """Where a model's channels lead, its steps, and answers; several threads may use it."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._courses: dict[str, Course | None] = {}
        self._steps: dict[Edge, int] | None = None
        self._answers: dict[Question, Answer] = {}

    def course(self, session: Session, channel: str) -> Course | None:
        """Return where a channel leads; None if nothing was published yet."""
        if channel not in self._courses:
            self._courses[channel] = course(session, self._model, channel)
        return self._courses[channel]

    def steps(self, session: Session) -> dict[Edge, int]:
        """Return the numbers of the model's steps."""
        if self._steps is None:
            columns = (Step.id, Step.from_digest, Step.to_digest, Step.length)
            rows = session.execute(select(*columns).where(Step.model == self._model))
            self._steps = {Edge(*row[1:]): row.id for row in rows}
        return self._steps

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
