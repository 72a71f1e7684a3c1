"""The way to a version: the steps that an answer names, as signed metadata describes them.

An answer only chooses among what was signed. Whatever the choice, the steps must join, lead to the version that
the answer says, be of this device's model, and not lead backwards. What they cost is `policy`'s affair.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from diffclient.errors import Backwards, BrokenChain, WrongModel
from diffclient.network.messages import Answer, short
from diffclient.release.manifest import Blob, Manifest, ManifestKind
from diffclient.release.target_custom import join, read_downgrade, read_facts, read_step
from diffclient.release.target_names import Name, downgrade_name, parse, snapshot_name
from diffclient.store.state import Installed
from diffclient.store.store import Store
from diffclient.trust.verified_metadata import Trust


@dataclass(frozen=True)
class Leg:
    """One step: a diff, or a snapshot, which starts from nothing."""

    name: str
    kind: ManifestKind
    from_digest: str | None
    from_version: int | None
    to_digest: str
    to_version: int
    payload: Blob


@dataclass(frozen=True)
class Route:
    """The steps, the last one's manifest, and the version's snapshot; no steps where the version is here already."""

    legs: tuple[Leg, ...]
    target: Manifest
    whole: Blob | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it begins with a snapshot."""
        return bool(self.legs) and self.legs[0].kind == "snapshot"


def lead(store: Store, trust: Trust, answer: Answer, digest: str | None, model: str) -> Route:
    """Return the route that an answer names, checked not to lead backwards; to a version that was kept it is free.

    Raises like `find` and `check_forward`.
    """
    way = kept(store, answer) or find(trust, answer, digest, model)
    check_forward(trust, way.target, store.state().current)
    return way


def kept(store: Store, answer: Answer) -> Route | None:
    """Return the route to a version whose slot was kept, which has no steps; None if the answer names another one."""
    slot = store.state().previous
    meant = slot and (slot.manifest.to_version, slot.digest) == (answer.version, answer.digest)
    return Route((), slot.manifest) if slot and meant and store.holds(slot.digest) else None


def find(trust: Trust, answer: Answer, digest: str | None, model: str) -> Route:
    """Return the route that an answer names, from `digest` (None: from nothing), as verified metadata has it.

    Raises BrokenChain, WrongModel, ManifestError, TrustError, NetworkError, StoreFailed, NoSpace.
    """
    _check_names([parse(name) for name in answer.steps], answer, model)
    legs = tuple(_leg(trust, name) for name in answer.steps)
    _check_digests(legs, answer, digest)
    target = _manifest(trust, answer.steps[-1])
    return Route(legs, target, trust.get(snapshot_name(target.model, target.to_version)).blob)


def check_forward(trust: Trust, target: Manifest, current: Installed | None) -> None:
    """Refuse what leads back behind the version in use, unless a signed permission names it; raises Backwards."""
    if current is None or target.to_digest == current.digest or target.to_version > current.manifest.to_version:
        return
    name, at = downgrade_name(target.model, target.to_version), current.manifest.to_version
    permitting = trust.find(name)
    permission = read_downgrade(name, permitting.custom) if permitting else None
    if permission is None or permission.digest != target.to_digest or at > permission.below:
        raise Backwards(
            f"version {target.to_version} does not come after version {at}, which runs here, and no signed permission "
            "leads back to it: the operator can sign one"
        )


def _check_names(names: Sequence[Name], answer: Answer, model: str) -> None:
    """Check what the names alone say, before any metadata is fetched for them."""
    for number, name in enumerate(names, 1):
        if name.model != model:
            raise WrongModel(f"step {number} is for model {name.model!r}, this device runs {model!r}")
        if name.kind not in ("snapshot", "diff"):
            raise BrokenChain(f"step {number} is a {name.kind}, which leads nowhere")
        if name.kind == "snapshot" and number > 1:
            raise BrokenChain(f"step {number} is a snapshot: only the first step may be")
    for before, after in itertools.pairwise(names):
        if after.parent != before.number:
            raise BrokenChain(f"missing link: version {before.number}, then {after.parent}")
    if names[-1].number != answer.version:
        raise BrokenChain(f"the steps end at version {names[-1].number}, the target is {answer.version}")


def _check_digests(legs: Sequence[Leg], answer: Answer, digest: str | None) -> None:
    at = digest
    for number, leg in enumerate(legs, 1):
        if leg.kind != "snapshot" and leg.from_digest != at:
            raise BrokenChain(f"missing link: step {number} starts from {short(leg.from_digest)}, not from {short(at)}")
        at = leg.to_digest
    if at != answer.digest:
        raise BrokenChain(f"missing link: the steps end at {short(at)}, the target is {short(answer.digest)}")


def _leg(trust: Trust, name: str) -> Leg:
    target = trust.get(name)
    if parse(name).kind == "snapshot":
        facts = read_facts(name, target.custom)
        return Leg(name, "snapshot", None, None, facts.digest, facts.version, target.blob)
    step = read_step(name, target.custom)
    return Leg(name, step.kind, step.from_digest, step.from_version, step.to_digest, step.to_version, target.blob)


def _manifest(trust: Trust, name: str) -> Manifest:
    """Return the manifest of a step, joined with the facts of the version that it leads to."""
    target, parsed = trust.get(name), parse(name)
    assert parsed.number is not None  # a step leads to a version
    whole = snapshot_name(parsed.model, parsed.number)
    facts = read_facts(whole, trust.get(whole).custom)
    step = None if name == whole else read_step(name, target.custom)
    return join(name, target.blob, step, facts, {object: trust.get(object).blob for object in facts.objects})
