"""The answer to a poll: a plan from what a device holds to the version that it shall run.

It names targets; what they are, the device learns from signed metadata, and the bytes are fetched from elsewhere. No
diff leads backwards: a device that shall run an older version returns to the slot that it keeps, or takes a snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from diffclient.network.holding import Holding
from diffserver.catalog.update_path import Edge, plan
from diffserver.errors import NoPath
from diffserver.rollouts.book import Answer, Book, Question, Steps, StepsTo
from diffserver.rollouts.target import Target
from diffserver.storage.column_types import utc_now
from diffserver.storage.tables import Attribute, Device, Model, Version


def answer(
    session: Session,
    device: Device,
    holding: Holding,
    full_fallback: bool = True,
    without: Sequence[str] = (),
    book: Book | None = None,
) -> Answer:
    """Return the steps of a device from what it holds, with a snapshot only if it may; raises NoPath.

    Where it is cheaper, and signed, the answer is to return to the version kept: the next poll goes on from there.
    `without` names steps that failed on the device: no way takes them. What is in the book is not read again.
    """
    book = book or Book(device.model)
    course = book.course(session, device.channel)
    if course is None:
        return Answer(None, None)
    shall = course.target(device.id, partial(attributes, session, device.id), holding.digest, utc_now())
    question = Question(shall, holding.digest, holding.previous, full_fallback)
    if shall.digest == holding.digest:
        return book.keep(question, Answer(shall.number, shall.digest))
    if without:
        return _answer(session, device.model, _others(book.arriving(session), without), question)
    known = book.known_answer(question)
    return known or book.keep(question, _answer(session, device.model, book.arriving(session), question))


def attributes(session: Session, device: str) -> frozenset[tuple[str, str]]:
    """Return a device's attributes, each a name and a value."""
    rows = session.execute(select(Attribute.name, Attribute.value).where(Attribute.device_id == device))
    return frozenset((row.name, row.value) for row in rows)


def _others(arriving: StepsTo, without: Sequence[str]) -> StepsTo:
    return lambda version: {edge: name for edge, name in arriving(version).items() if name not in without}


def _answer(session: Session, model: str, arriving: StepsTo, asked: Question) -> Answer:
    to = _first(session, model, arriving, asked)
    try:
        way = _way(arriving, asked.held, to.digest, asked.snapshot)
    except NoPath:
        if asked.snapshot and to == asked.target:
            raise
        return Answer(to.number, to.digest, notice="snapshot")
    return Answer(to.number, to.digest, tuple(arriving(edge.to_digest)[edge] for edge in way))


def _first(session: Session, model: str, arriving: StepsTo, asked: Question) -> Target:
    """Return the version to go to first: the one kept, if that is the cheaper way and the device may go back to it."""
    if asked.kept is None or asked.held is None or asked.kept not in session.get_one(Model, model).returns:
        return asked.target
    numbers = _numbers(session, model, [asked.held, asked.kept])
    kept, runs = numbers.get(asked.kept), numbers.get(asked.held)
    if kept is None or runs is None or kept >= runs:
        return asked.target
    through = _cost(arriving, asked.kept, asked.target.digest, asked.snapshot)
    direct = _cost(arriving, asked.held, asked.target.digest, asked.snapshot)
    return Target(kept, asked.kept) if through < direct else asked.target


def _way(arriving: StepsTo, held: str | None, to: str, snapshot: bool) -> tuple[Edge, ...]:
    return plan(arriving if snapshot else lambda version: _diffs(arriving(version)), held, to)


def _diffs(steps: Steps) -> list[Edge]:
    return [edge for edge in steps if edge.from_digest is not None]


def _cost(arriving: StepsTo, held: str | None, to: str, snapshot: bool) -> float:
    """Return the bytes of the cheapest way; infinite where there is none."""
    try:
        return sum(edge.length for edge in _way(arriving, held, to, snapshot))
    except NoPath:
        return float("inf")


def _numbers(session: Session, model: str, digests: Sequence[str]) -> Mapping[str, int]:
    rows = session.execute(
        select(Version.digest, Version.number).where(Version.model == model, Version.digest.in_(digests))
    )
    return {row.digest: row.number for row in rows}
