"""The answer to a poll: a plan from what a device holds to the version that it shall run.

It names targets; what they are, the device learns from signed metadata, and the bytes are fetched from elsewhere. No
diff leads backwards: a device that shall run an older version returns to the slot that it keeps, or takes a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from diffclient.network.holding import Holding
from diffclient.release.manifest import from_json
from diffclient.release.target_custom import name_of
from diffserver.catalog.update_path import Edge, plan
from diffserver.errors import NoPath
from diffserver.rollouts.target import Target, target
from diffserver.storage.tables import Device, Model, Step, Version


@dataclass(frozen=True)
class Answer:
    """The version that a device should run, and the targets of the steps that lead there."""

    number: int | None
    digest: str | None
    steps: tuple[str, ...] = ()
    notice: Literal["snapshot"] | None = None
    """Set if there are no steps for the only reason that the device wants no snapshot."""


def answer(
    session: Session, device: Device, holding: Holding, full_fallback: bool = True, without: Sequence[str] = ()
) -> Answer:
    """Return the steps of a device from what it holds, with a snapshot only if it may; raises NoPath.

    Where it is cheaper, and signed, the answer is to return to the version kept: the next poll goes on from there.
    `without` names steps that failed on the device: no way takes them.
    """
    shall = target(session, device, holding.digest)
    if shall is None:
        return Answer(None, None)
    if shall.digest == holding.digest:
        return Answer(shall.number, shall.digest)
    steps = _steps(session, device.model)
    if without:
        names = dict(zip(steps, _names(session, list(steps.values())), strict=True))
        steps = {edge: step for edge, step in steps.items() if names[edge] not in without}
    to = _first(session, device, holding, steps, shall, full_fallback)
    try:
        way = _way(steps, holding.digest, to.digest, full_fallback)
    except NoPath:
        if full_fallback and to == shall:
            raise
        return Answer(to.number, to.digest, notice="snapshot")
    return Answer(to.number, to.digest, _names(session, [steps[edge] for edge in way]))


def _first(
    session: Session, device: Device, holding: Holding, steps: Iterable[Edge], to: Target, full_fallback: bool
) -> Target:
    """Return the version to go to first: the one kept, if that is the cheaper way and the device may go back to it."""
    if holding.previous is None or holding.digest is None:
        return to
    if holding.previous not in session.get_one(Model, device.model).returns:
        return to
    numbers = _numbers(session, device.model, [holding.digest, holding.previous])
    kept, runs = numbers.get(holding.previous), numbers.get(holding.digest)
    if kept is None or runs is None or kept >= runs:
        return to
    through = _cost(steps, holding.previous, to.digest, full_fallback)
    direct = _cost(steps, holding.digest, to.digest, full_fallback)
    return Target(kept, holding.previous) if through < direct else to


def _way(steps: Iterable[Edge], held: str | None, to: str, snapshot: bool) -> tuple[Edge, ...]:
    return plan(steps if snapshot else [edge for edge in steps if edge.from_digest is not None], held, to)


def _cost(steps: Iterable[Edge], held: str | None, to: str, snapshot: bool) -> float:
    """Return the bytes of the cheapest way; infinite where there is none."""
    try:
        return sum(edge.length for edge in _way(steps, held, to, snapshot))
    except NoPath:
        return float("inf")


def _steps(session: Session, model: str) -> dict[Edge, int]:
    """Return the numbers of a model's steps."""
    rows = session.execute(select(Step.id, Step.from_digest, Step.to_digest, Step.length).where(Step.model == model))
    return {Edge(*row[1:]): row.id for row in rows}


def _names(session: Session, chosen: Sequence[int]) -> tuple[str, ...]:
    rows = session.execute(select(Step.id, Step.manifest).where(Step.id.in_(chosen)))
    names = {row.id: name_of(from_json(row.manifest)) for row in rows}
    return tuple(names[step_id] for step_id in chosen)


def _numbers(session: Session, model: str, digests: Sequence[str]) -> Mapping[str, int]:
    rows = session.execute(
        select(Version.digest, Version.number).where(Version.model == model, Version.digest.in_(digests))
    )
    return {row.digest: row.number for row in rows}
