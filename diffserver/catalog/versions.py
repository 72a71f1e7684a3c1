"""The catalogue: models, their candidates, and the versions that candidates become.

The rules of publishing are here, each write inside the caller's transaction. Training, evaluation and the
objects themselves are left to others; an object must be stored before a row names it.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Select, and_, exists, insert, literal, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from diffclient.release.manifest import Blob, Manifest, from_json
from diffserver.catalog.candidate import NewCandidate
from diffserver.catalog.names import require_model
from diffserver.choices.channels import STABLE
from diffserver.choices.methods import EXACT, FULL, Use, method_names
from diffserver.errors import Conflict, HeadMoved, NotFound, Refused
from diffserver.storage.tables import Candidate, Channel, Model, Payload, Shortcut, Step, Training, Version


def open_model(session: Session, name: str, task: str) -> Model:
    """The model of that name, made if there is none yet, with an empty channel; raises Conflict.

    The task of a model without candidates is the last one that was asked for: a mistaken one takes no name.
    """
    model = session.get(Model, name)
    if model is None:
        require_model(name)
        try:
            with session.begin_nested():
                model = Model(name=name, task=task)
                session.add(model)
                session.flush()
                session.add(Channel(model=name, name=STABLE))
        except IntegrityError:
            model = session.get_one(Model, name)
    if model.task != task and session.scalars(select(Candidate.id).where(Candidate.model == name)).first() is None:
        model.task = task
    if model.task != task:
        raise Conflict(f"model {name} is of task {model.task}, not {task}", "choose another name")
    return model


def find_model(session: Session, name: str) -> Model:
    """The model of that name; raises NotFound."""
    model = session.get(Model, name)
    if model is None:
        raise NotFound(f"there is no model {name!r}", f"train its base: diffserver base {name} --data <folder>")
    return model


def require_in_use(model: Model) -> None:
    """Raise Conflict if a model is archived: nothing new is made of it."""
    if model.archived_at is not None:
        raise Conflict(f"model {model.name} is archived", f"bring it back: diffserver model restore {model.name}")


def find_channel(session: Session, model: str, name: str) -> Channel:
    """The channel of a model by its name; raises NotFound."""
    channel = session.get(Channel, (model, name))
    if channel is None:
        find_model(session, model)
        names = session.scalars(select(Channel.name).where(Channel.model == model).order_by(Channel.name))
        raise NotFound(f"model {model} has no channel {name!r}", f"choose one of: {', '.join(names)}")
    return channel


def head(session: Session, model: str, channel: str = STABLE) -> Version | None:
    """The version that a channel stands at, from which the next one is made; None if nothing was published yet."""
    pointing = and_(Channel.model == Version.model, Channel.digest == Version.digest)
    standing = select(Version).join(Channel, pointing).where(Version.model == model, Channel.name == channel)
    return session.scalars(standing).one_or_none()


def newest(session: Session, model: str) -> Version | None:
    """The version of the highest number, which may have been recalled; None if nothing was published yet."""
    latest = select(Version).where(Version.model == model).order_by(Version.number.desc()).limit(1)
    return session.scalars(latest).one_or_none()


def next_number(session: Session, model: str) -> int:
    """The number of a model's next version: one more than the highest that devices may have."""
    latest, row = newest(session, model), session.get(Model, model)
    return max(latest.number + 1 if latest else 0, row.least_next if row else 0)


def find_version(session: Session, model: str, number: int) -> Version:
    """The version of that number; raises NotFound."""
    version = session.scalars(select(Version).where(Version.model == model, Version.number == number)).one_or_none()
    if version is None:
        raise NotFound(f"model {model} has no version {number}", f"see `diffserver versions {model}`")
    return version


def lineage(session: Session, version: Version) -> Sequence[Version]:
    """The versions from number 0 to this one, each the parent of the one after it."""
    older = select(Version).where(Version.model == version.model, Version.number < version.number)
    by_number = {one.number: one for one in session.scalars(older)}
    line = [version]
    while line[-1].parent is not None:
        line.append(by_number[line[-1].parent])
    return line[::-1]


def full_chain(session: Session, model: str, number: int, domains: Sequence[str]) -> Candidate | None:
    """The latest fully retrained candidate of that number that has seen just these domains; None if there is none."""
    full = select(Candidate).where(Candidate.model == model, Candidate.number == number, Candidate.method == FULL)
    latest_first = session.scalars(full.order_by(Candidate.id.desc()))
    return next((found for found in latest_first if found.domains == list(domains)), None)


def exact_of(session: Session, parent: Version, checkpoint: str, domains: Sequence[str]) -> Candidate | None:
    """The latest exact candidate of a checkpoint on this version that was measured on just these domains, or None."""
    exact = (
        select(Candidate)
        .join(Training, Training.candidate_id == Candidate.id)
        .where(Candidate.model == parent.model, Candidate.parent_digest == parent.digest, Candidate.method == EXACT)
        .where(Training.spec["checkpoint"].as_string() == checkpoint)
    )
    latest_first = session.scalars(exact.order_by(Candidate.id.desc()))
    return next((found for found in latest_first if found.domains == list(domains)), None)


def find_candidate(session: Session, candidate_id: int) -> Candidate:
    """The candidate of that number; raises NotFound."""
    candidate = session.get(Candidate, candidate_id)
    if candidate is None:
        raise NotFound(f"there is no candidate {candidate_id}", "list them with GET /v1/candidates")
    return candidate


def record_candidate(session: Session, new: NewCandidate) -> Candidate:
    """Record a candidate, and before it the fully retrained model that was made beside it.

    A base brings its model into being. Raises Invalid, NotFound, Conflict.
    """
    if new.reference:
        record_candidate(session, new.reference)
    if new.kind == "base":
        open_model(session, new.model, new.task)
    else:
        find_model(session, new.model)
    candidate = Candidate(**new.columns())
    session.add(candidate)
    session.flush()
    for found in new.shortcuts:
        start = {"from_digest": found.from_digest, "from_version": found.from_version}
        session.add(Shortcut(candidate_id=candidate.id, payload=found.payload, data=found.data, **start))
    session.flush()
    return candidate


def publish(
    session: Session,
    candidate_id: int,
    force: bool = False,
    by: str = "",
    channel: str = STABLE,
    move: bool = True,
) -> Version:
    """Make a candidate its model's next version, after the one that a channel stands at: payloads, version and steps.

    All or nothing, and with `move` the channel goes there at once. `by` names who asked. Raises NotFound, Refused
    (unless `force`, which is recorded), HeadMoved, Conflict.
    """
    candidate = find_candidate(session, candidate_id)
    # Publishing is serial per model: whoever waited here sees what the one before has done.
    require_in_use(session.get_one(Model, candidate.model, with_for_update=True))
    session.refresh(candidate)
    parent = _require_publishable(session, candidate, force, channel)
    version = Version(
        model=candidate.model,
        number=candidate.number,
        parent=parent and parent.number,
        digest=candidate.digest,
        candidate=candidate,
        forced=force and bool(candidate.refusals),
        published_by=by,
    )
    session.add(version)
    session.flush()
    _move_payload(session, candidate)
    session.add_all(_steps(candidate))
    session.add_all(_take_shortcuts(session, candidate))
    if move:
        find_channel(session, candidate.model, channel).digest = candidate.digest
    candidate.state = "published"
    session.flush()
    return version


def _require_publishable(session: Session, candidate: Candidate, force: bool, channel: str) -> Version | None:
    """Return the parent of the version to be."""
    name = f"candidate {candidate.id}"
    if candidate.state == "published":
        raise Conflict(f"{name} is published already", "nothing needs to be done")
    if candidate.method not in method_names(Use.PUBLISHED):
        diffs = " or ".join(method_names(Use.TRAINED_DIFF))
        raise Conflict(f"{name} was made by {candidate.method}, for comparison only", f"train a {diffs} diff")
    find_channel(session, candidate.model, channel)
    parent = head(session, candidate.model, channel)
    if candidate.parent_digest != (parent and parent.digest):
        raise HeadMoved(
            f"{name} starts from another version than the channel {channel}, which is at {_name(parent)}",
            "train it again, for this channel",
        )
    if candidate.number != next_number(session, candidate.model):
        raise HeadMoved(f"{name} has the number of a version that was published since", "train it again")
    if session.scalars(
        select(Version).where(Version.model == candidate.model, Version.digest == candidate.digest)
    ).first():
        raise Conflict(
            f"{name} has the very weights of an earlier version",
            f"move the channel there: diffserver recall {candidate.model} <version>",
        )
    if candidate.refusals and not force:
        raise Refused(f"{name} is refused", candidate.refusals, candidate.evaluation, asdict(candidate.metric))
    return parent


def _name(version: Version | None) -> str:
    return "none yet" if version is None else f"version {version.number} ({version.digest[:12]})"


def _move_payload(session: Session, candidate: Candidate) -> None:
    if candidate.payload is None:
        return
    _serve(session, candidate.payload, select(Candidate.payload_data).where(Candidate.id == candidate.id))
    candidate.payload_data = None


def _serve(session: Session, blob: Blob, data: Select[Any]) -> None:
    """Copy bytes to where devices get them, within the database, unless they are there already."""
    absent = ~exists().where(Payload.sha256 == blob.sha256)
    row = data.with_only_columns(literal(blob.sha256), literal(blob.length), *data.selected_columns)
    session.execute(insert(Payload).from_select(["sha256", "length", "data"], row.where(absent)))


def _steps(candidate: Candidate) -> Sequence[Step]:
    manifest = from_json(candidate.manifest)
    whole = replace(manifest, kind="snapshot", from_digest=None, from_version=None, payload=candidate.snapshot)
    return [_step(whole)] if manifest.kind == "snapshot" else [_step(manifest), _step(whole)]


def _take_shortcuts(session: Session, candidate: Candidate) -> Sequence[Step]:
    """Move a candidate's short cuts to the payloads; returns their steps, which differ from its own in the start."""
    manifest, steps = from_json(candidate.manifest), []
    for found in session.scalars(select(Shortcut).where(Shortcut.candidate_id == candidate.id)).all():
        _serve(session, found.payload, select(Shortcut.data).where(Shortcut.id == found.id))
        start = replace(manifest, from_digest=found.from_digest, from_version=found.from_version)
        steps.append(_step(replace(start, kind="sparse", payload=found.payload)))
        session.delete(found)
    return steps


def _step(manifest: Manifest) -> Step:
    return Step(
        model=manifest.model,
        from_digest=manifest.from_digest,
        to_digest=manifest.to_digest,
        length=manifest.payload.length,
        manifest=manifest.to_json(),
    )
