"""The parent of a training: a published version, or the full chain's last model, fetched from the stores."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from diffclient.release.manifest import Blob, Probe, from_json
from diffclient.tensors.snapshot import Snapshot
from diffserver import evaluation
from diffserver.catalog import versions
from diffserver.catalog.training_request import TrainingSpec
from diffserver.choices.methods import FULL, SNAPSHOT
from diffserver.errors import Invalid
from diffserver.evaluation import Evaluation
from diffserver.storage.database import reading
from diffserver.storage.object_store import Objects
from diffserver.storage.patience import patient
from diffserver.storage.tables import Candidate, Version
from diffserver.tasks import domain_folders


@dataclass(frozen=True)
class Parent:
    """The weights that a training starts from, with the probe set and errors of their model."""

    number: int
    next_number: int
    """The number of the version to be: one more than the highest that devices may have, be it recalled or lost."""
    digest: str
    snapshot: Snapshot
    graph: Blob
    probes: tuple[Probe, ...]
    """The probe set of the latest version."""
    probe_0: Probe | None
    """The base's part of the probe set, with the errors that version 0 makes on it; None where there is no such set."""
    domains: tuple[str, ...]
    evaluation: Evaluation


@patient
def load_parent(spec: TrainingSpec, engine: Engine, objects: Objects, folder: Path) -> Parent:
    """Fetch the parent of a training into `folder`; raises Invalid if no version is published yet."""
    with reading(engine) as session:
        head = versions.head(session, spec.model, spec.channel)
        if head is None:
            raise Invalid(f"model {spec.model} has no version yet", "publish its base first")
        start = _start_candidate(session, head, spec.method)
        first = versions.lineage(session, head)[0].candidate
        return Parent(
            number=head.number,
            next_number=versions.next_number(session, spec.model),
            digest=start.digest,
            snapshot=Snapshot(objects.download(start.snapshot.sha256, folder / "parent.safetensors")),
            graph=start.graph,
            probes=from_json(head.candidate.manifest).probes,
            probe_0=next(iter(from_json(first.manifest).probes), None),
            domains=tuple(head.candidate.domains),
            evaluation=evaluation.from_json(start.evaluation, "candidate"),
        )


@patient
def find_reference(spec: TrainingSpec, engine: Engine, domains: Sequence[str]) -> Candidate | None:
    """Return the reference of drift for the next version, if there is one of these domains and the same data.

    That is the checkpoint as an exact candidate, or a fully retrained model; it must have the parent that it would have
    now. None if there is no such candidate.
    """
    with reading(engine) as session:
        head = versions.head(session, spec.model, spec.channel)
        if head is None:
            return None
        if spec.checkpoint:
            found, start = versions.exact_of(session, head, spec.checkpoint, domains), head.digest
        else:
            found = versions.full_chain(session, spec.model, versions.next_number(session, spec.model), domains)
            start = _start_candidate(session, head, FULL).digest
    expected = (start, spec.data, domain_folders.fingerprint(Path(spec.data), domains))
    return found if found and (found.parent_digest, found.data, found.data_sha256) == expected else None


def _start_candidate(session: Session, head: Version, method: str) -> Candidate:
    """Return the candidate that training starts from: for the full chain, the last fully retrained model.

    A version with tensors and a graph of its own begins a full chain, as one of the old ones has no place after it.
    """
    if method != FULL or head.candidate.method == SNAPSHOT:
        return head.candidate
    return versions.full_chain(session, head.model, head.number, head.candidate.domains) or head.candidate


def choose_domain(spec: TrainingSpec, trained_domains: Sequence[str]) -> str:
    """Return the domain to train on: the one in the request, or the first new one by number.

    A checkpoint, which was trained elsewhere, needs only the test set. Raises Invalid if there is no such domain, or
    if the model was trained on it already.
    """
    needed = "test" if spec.checkpoint else "train"
    names = [folder.name for folder in domain_folders.find_domains(Path(spec.data), [needed])]
    new_domains = [name for name in names if name not in trained_domains]
    domain = spec.domain or next(iter(new_domains), None)
    if domain not in new_domains:
        raise Invalid(
            f"no new domain {spec.domain or ''} in {spec.data}: it has {', '.join(names) or 'none'}, the model knows "
            f"{', '.join(trained_domains) or 'none'}",
            "a domain is a folder with train.jsonl and test.jsonl that the worker can read",
        )
    return domain
