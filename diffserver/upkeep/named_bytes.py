"""The bytes that rows speak of: the objects that they name, and the payloads that they hold.

Everything that devices may be assigned, that a training may start from, or that a queued one was given is in here;
whether the bytes are there is for others to see.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from diffserver.storage.tables import UNFINISHED, Candidate, Payload, Shortcut, Step, Training


@dataclass(frozen=True)
class Named:
    """Bytes that a row names by their SHA-256; `what` says for people what they are.

    The length is None where it was not written down, and `what` where no row names the bytes.
    """

    sha256: str
    length: int | None
    what: str | None


@dataclass(frozen=True)
class Held(Named):
    """Bytes that a row holds in `column`; the row is the one of which `where` is true."""

    column: InstrumentedAttribute[Any] = field(compare=False)
    where: ColumnElement[bool] = field(compare=False)


def named_objects(session: Session, without: Collection[int] = ()) -> dict[str, Named]:
    """All objects that rows name, by SHA-256; as if the candidates of some ids were gone."""
    # The first to name an object says what it is: published versions come first.
    by_digest: dict[str, Named] = {}
    for item in (*_of_steps(session), *_of_candidates(session, without), *_of_trainings(session)):
        by_digest.setdefault(item.sha256, item)
    return by_digest


def all_named(session: Session) -> list[Named]:
    """All objects that rows name, and the payloads that devices may be sent."""
    return [*named_objects(session).values(), *_payloads_of_steps(session)]


def held_payloads(session: Session) -> Iterator[Held]:
    """All bytes that rows hold or should hold: payloads that devices get, and those of candidates."""
    known = {row.sha256: row.length for row in session.execute(select(Payload.sha256, Payload.length))}
    promised = {item.sha256: item for item in _payloads_of_steps(session)}
    for sha256 in sorted(known.keys() | promised.keys()):
        what = promised[sha256].what if sha256 in promised else "payload or permission"
        length = promised[sha256].length if sha256 in promised else known[sha256]
        yield Held(sha256, length, what, Payload.data, Payload.sha256 == sha256)
    open_ones = select(Candidate).where(Candidate.state == "open", Candidate.payload_sha256.is_not(None))
    for row in session.scalars(open_ones.order_by(Candidate.id)):
        what = f"payload of candidate {row.id} of {row.model}"
        yield Held(row.payload_sha256 or "", row.payload_length, what, Candidate.payload_data, Candidate.id == row.id)
    for cut in session.scalars(select(Shortcut).order_by(Shortcut.id)):
        what = f"short cut of candidate {cut.candidate_id} from version {cut.from_version}"
        yield Held(cut.payload.sha256, cut.payload.length, what, Shortcut.data, Shortcut.id == cut.id)


def objects_of(manifest: Mapping[str, Any], what: str) -> Iterator[Named]:
    """The objects that a manifest names, but its payload."""
    yield Named(**manifest["graph"], what=f"graph of {what}")
    for probe in manifest["probes"]:
        yield Named(**probe["blob"], what=f"probe part {probe['domain']} of {what}")


def _steps(session: Session, wanted: Select[Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    for manifest in session.scalars(wanted.order_by(Step.id)):
        yield manifest, f"version {manifest['to_version']} of {manifest['model']}"


def _of_steps(session: Session) -> Iterator[Named]:
    for manifest, version in _steps(session, select(Step.manifest)):
        if manifest["kind"] == "snapshot":
            yield Named(**manifest["payload"], what=f"snapshot of {version}")
        yield from objects_of(manifest, version)


def _payloads_of_steps(session: Session) -> Iterator[Named]:
    for manifest, version in _steps(session, select(Step.manifest).where(Step.from_digest.is_not(None))):
        yield Named(**manifest["payload"], what=f"payload of {version} from version {manifest['from_version']}")


def _of_candidates(session: Session, without: Collection[int]) -> Iterator[Named]:
    columns = (Candidate.id, Candidate.model, Candidate.snapshot, Candidate.graph, Candidate.manifest)
    for row in session.execute(select(*columns).order_by(Candidate.id)):
        if row.id in without:
            continue
        candidate = f"candidate {row.id} of {row.model}"
        yield Named(row.snapshot.sha256, row.snapshot.length, f"snapshot of {candidate}")
        yield Named(row.graph.sha256, row.graph.length, f"graph of {candidate}")
        if row.manifest:
            yield from objects_of(row.manifest, candidate)


def _of_trainings(session: Session) -> Iterator[Named]:
    under_way = select(Training.id, Training.spec).where(UNFINISHED)
    for row in session.execute(under_way.order_by(Training.id)):
        if sha256 := row.spec.get("checkpoint"):
            yield Named(sha256, None, f"checkpoint of training {row.id}")
        if sha256 := row.spec.get("graph"):
            yield Named(sha256, None, f"graph of training {row.id}")
