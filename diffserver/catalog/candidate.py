"""A candidate as training hands it over: a value whose manifest must speak of these very versions and bytes.

Recording and publishing it are the catalogue's affair.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

from diffclient.errors import ManifestError
from diffclient.release.manifest import Blob, from_json
from diffclient.release.metric import Metric
from diffserver.choices.methods import Use, method_names
from diffserver.errors import Invalid

REMEDY = "correct the pipeline that made it"


@dataclass(frozen=True)
class NewShortcut:
    """A merged diff from a version further back than the parent to the candidate's."""

    from_digest: str
    from_version: int
    data: bytes

    @cached_property
    def payload(self) -> Blob:
        """Its name and length."""
        return Blob(hashlib.sha256(self.data).hexdigest(), len(self.data))


@dataclass(frozen=True)
class NewCandidate:
    """A trained, self-applied, evaluated diff, or a base, before it is recorded.

    `evaluation` is {domain: {"parent": E|None, "candidate": E}} with E = {"errors": n, "total": n}, counted as the
    `metric` says. `payload` is None where the whole snapshot travels: for a base, for a checkpoint with its own tensors
    and graph, and for a fully retrained model; `manifest` may be empty where the method's results are never published.
    `domains` names all data that the weights have seen, this training's last, and `data_sha256` is their fingerprint.
    `notes` are for whoever publishes it. `tried` has a row for each training that was tried, as plain JSON values;
    `reference` is the fully retrained model, if one was trained beside it.
    """

    model: str
    task: str
    kind: Literal["base", "update"]
    method: str
    number: int
    parent_digest: str | None
    digest: str
    payload: bytes | None
    snapshot: Blob
    graph: Blob
    changed_weights: int
    budget: float
    payload_share: float
    seconds_train: float
    metric: Metric
    evaluation: Mapping[str, Any]
    data: str
    refusals: Sequence[str] = ()
    manifest: Mapping[str, Any] = field(default_factory=dict)
    domains: Sequence[str] = ()
    notes: Sequence[str] = ()
    shortcuts: Sequence[NewShortcut] = ()
    data_sha256: str | None = None
    tried: Sequence[Mapping[str, Any]] = ()
    reference: NewCandidate | None = None

    def __post_init__(self) -> None:
        """Raise Invalid if the parts contradict each other."""
        if (self.kind == "base") != (self.parent_digest is None) or (self.kind == "base") != (self.number == 0):
            raise Invalid("a base has number 0 and no parent, and an update has both", REMEDY)
        if self.method in method_names(Use.PUBLISHED):
            self._require_agreement()

    @cached_property
    def payload_blob(self) -> Blob | None:
        """The payload's name and length."""
        if self.payload is None:
            return None
        return Blob(hashlib.sha256(self.payload).hexdigest(), len(self.payload))

    def columns(self) -> dict[str, Any]:
        """Return the values of the candidate's row."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        del plain["task"], plain["payload"], plain["shortcuts"], plain["reference"]
        blob = self.payload_blob
        return plain | {
            "payload_sha256": blob and blob.sha256,
            "payload_length": blob and blob.length,
            "payload_data": self.payload,
            "evaluation": dict(self.evaluation),
            "refusals": list(self.refusals),
            "manifest": dict(self.manifest),
            "domains": list(self.domains),
            "notes": list(self.notes),
            "tried": [dict(row) for row in self.tried],
        }

    def _require_agreement(self) -> None:
        try:
            manifest = from_json(dict(self.manifest))
        except ManifestError as error:
            raise Invalid(f"the candidate's manifest is not one: {error}", REMEDY) from error
        facts = (manifest.model, manifest.to_version, manifest.to_digest, manifest.from_digest)
        # What is delivered whole starts from nothing, and is the next version of its parent nevertheless.
        start = self.parent_digest if self.payload is not None else None
        if facts != (self.model, self.number, self.digest, start):
            raise Invalid("the candidate's manifest speaks of other versions", REMEDY)
        if manifest.metric != self.metric:
            raise Invalid("the candidate's manifest speaks of another metric", REMEDY)
        if (manifest.payload, manifest.graph) != (self.payload_blob or self.snapshot, self.graph):
            raise Invalid("the candidate's manifest speaks of other bytes", REMEDY)
