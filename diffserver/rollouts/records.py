"""The records of rollouts: each begins, goes from stage to stage, is stopped, and ends, in the caller's transaction.

Signing what devices may go back to is left to `trust.releases`, the reasons to go on or to stop to `gate`.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select, and_, select, union
from sqlalchemy.orm import Session

from diffserver.catalog.versions import find_channel
from diffserver.errors import Conflict, NotFound
from diffserver.rollouts.evidence import attributes_of, here
from diffserver.rollouts.happened import tell
from diffserver.rollouts.plan import Conditions, from_json, place, reach, stages_of
from diffserver.rollouts.target import reached
from diffserver.storage.column_types import utc_now
from diffserver.storage.tables import Channel, Device, Rollout, Step, Version

UNDER_WAY = ("proposed", "running", "paused")


def find(session: Session, rollout_id: int) -> Rollout:
    """The rollout of that number; raises NotFound."""
    rollout = session.get(Rollout, rollout_id)
    if rollout is None:
        raise NotFound(f"there is no rollout {rollout_id}", "list them with `diffserver rollouts list`")
    return rollout


def locked(session: Session, rollout_id: int) -> Rollout:
    """The rollout of that number, which no one else changes until the transaction ends; raises NotFound."""
    rollout = find(session, rollout_id)
    session.refresh(rollout, with_for_update=True)
    return rollout


def under_way(session: Session, model: str, channel: str) -> Rollout | None:
    """The rollout that a channel is in, or None."""
    return session.scalar(
        select(Rollout).where(Rollout.model == model, Rollout.channel == channel, Rollout.state.in_(UNDER_WAY))
    )


def require_none(session: Session, model: str, channel: str) -> None:
    """Raise Conflict if a channel is in a rollout."""
    if (found := under_way(session, model, channel)) is not None:
        raise Conflict(
            f"rollout {found.id} of {model} is {found.state} in the channel {channel}",
            f"wait for its end, approve its next stage or abort it: diffserver rollouts abort {found.id}",
        )


def begin(
    session: Session, version: Version, channel: str, stages: Sequence[str], conditions: Conditions, by: str
) -> Rollout:
    """Begin to lead a channel to a version; where the channel asks for two persons, propose it. Raises Conflict.

    Raises NotFound without such a channel, Invalid on stages that make none.
    """
    stages_of(stages)
    require_none(session, version.model, channel)
    standing = find_channel(session, version.model, channel)
    if standing.digest is None:
        raise Conflict(f"the channel {channel} of {version.model} has no version yet", "publish one without stages")
    if standing.digest == version.digest:
        raise Conflict(f"the channel {channel} stands at version {version.number} already", "nothing needs to be done")
    rollout = Rollout(
        model=version.model,
        channel=channel,
        from_digest=standing.digest,
        to_digest=version.digest,
        state="proposed",
        stages=list(stages),
        terms=conditions.to_json(),
        created_by=by,
    )
    session.add(rollout)
    session.flush()
    if standing.two_persons:
        tell(session, rollout, "proposed", by)
    else:
        enter(session, rollout, 0, by)
    return rollout


def approve(session: Session, rollout: Rollout, by: str) -> None:
    """Let a rollout go on by hand: one that is proposed begins, another enters its next stage. Raises Conflict.

    One for some of the devices moves the channel after its last stage: then all others follow.
    """
    if rollout.state == "proposed":
        if by == rollout.created_by:
            raise Conflict(f"rollout {rollout.id} was proposed by {by}", "another person has to approve it")
        rollout.approved_by = by
        enter(session, rollout, 0, by)
    elif rollout.state == "running" and is_last(rollout, rollout.stage):
        _complete(session, rollout, by)
    elif rollout.state == "running":
        enter(session, rollout, rollout.stage + 1, by)
    else:
        raise _not_now(rollout, "approved")


def pause(session: Session, rollout: Rollout, reason: str, by: str) -> None:
    """Give the version to no further device; those that have it keep it. Raises Conflict."""
    if rollout.state != "running":
        raise _not_now(rollout, "paused")
    rollout.state, rollout.reason = "paused", reason
    tell(session, rollout, "paused", by)
    session.flush()


def resume(session: Session, rollout: Rollout, by: str) -> None:
    """Go on where a rollout was paused; raises Conflict."""
    if rollout.state != "paused":
        raise _not_now(rollout, "resumed")
    rollout.state, rollout.reason = "running", ""
    tell(session, rollout, "resumed", by)
    session.flush()


def abort(session: Session, rollout: Rollout, reason: str, by: str | None) -> None:
    """End a rollout where it is: devices that have the version return; `by` is None for the gate.

    Raises Conflict if it has ended.
    """
    if rollout.state not in UNDER_WAY:
        raise _not_now(rollout, "aborted")
    rollout.state, rollout.reason, rollout.ended_at = "aborted", reason, utc_now()
    tell(session, rollout, "aborted", by)
    session.flush()


def enter(session: Session, rollout: Rollout, stage: int, by: str | None) -> None:
    """Enter a stage; the last one moves the channel and ends the rollout, unless it is for some of the devices only.

    `by` is None for the gate.
    """
    begins = rollout.started_at is None
    rollout.state, rollout.reason, rollout.verdict = "running", "", None
    rollout.stage, rollout.stage_at = stage, utc_now()
    rollout.started_at = rollout.started_at or rollout.stage_at
    stages = stages_of(rollout.stages)
    devices = of_channel(session, rollout)
    rollout.reach = max(rollout.reach, reach(stages[stage], [place(rollout.id, device) for device in devices]))
    come = reached(rollout)
    rollout.chosen = sum(come.has(device, named) for device, named in devices.items())
    tell(session, rollout, "started" if begins else "stage_entered", by)
    if is_last(rollout, stage) and not from_json(rollout.terms).only:
        _complete(session, rollout, by)
    session.flush()


def is_last(rollout: Rollout, stage: int) -> bool:
    """Tell whether a stage is the rollout's last one."""
    return stage == len(rollout.stages) - 1


def of_channel(session: Session, rollout: Rollout) -> dict[str, set[tuple[str, str]]]:
    """Return the attributes that its plan asks for of all devices that a rollout is for, by device."""
    named = attributes_of(session, rollout)
    return {device: named[device] for device in session.scalars(select(Device.id).where(*here(rollout)))}


def _complete(session: Session, rollout: Rollout, by: str | None) -> None:
    session.get_one(Channel, (rollout.model, rollout.channel)).digest = rollout.to_digest
    rollout.state, rollout.reason, rollout.ended_at = "done", "", utc_now()
    tell(session, rollout, "completed", by)
    session.flush()


def where_channels_stand(session: Session, model: str, below: int) -> Sequence[Version]:
    """Return the versions below one at which channels stand."""
    return _below(session, model, below, _standing(model))


def kept_by_devices(session: Session, model: str, below: int) -> Sequence[Version]:
    """Return the versions below one that devices may have to go back to.

    They are those that channels stand at; those that devices run or keep whose channel is in a rollout; and those that
    devices keep beside a version that was refused, which no diff leads on from.
    """
    moving = select(Rollout.channel).where(Rollout.model == model, Rollout.state.in_(UNDER_WAY))
    here = (Device.model == model, Device.left_at.is_(None))
    held = [select(column).where(*here, Device.channel.in_(moving)) for column in (Device.digest, Device.previous)]
    leads_on = select(Step.from_digest).where(Step.model == model, Step.from_digest.is_not(None))
    refused = and_(Device.digest.not_in(_standing(model)), Device.digest.not_in(leads_on))
    beside = select(Device.previous).where(*here, refused)
    return _below(session, model, below, select(union(_standing(model), *held, beside).subquery()))


def _standing(model: str) -> Select[str | None]:
    return select(Channel.digest).where(Channel.model == model, Channel.digest.is_not(None))


def _below(session: Session, model: str, below: int, digests: Select[str | None]) -> Sequence[Version]:
    wanted = select(Version).where(Version.model == model, Version.number < below, Version.digest.in_(digests))
    return session.scalars(wanted.order_by(Version.number)).all()


def _not_now(rollout: Rollout, what: str) -> Conflict:
    return Conflict(f"rollout {rollout.id} is {rollout.state}, and cannot be {what}", "see `diffserver rollouts list`")
