"""Changes of keys: of root and targets, whose keys are offline, and of models' roles. Pure but for the keys.

A change is a request: metadata that several machines sign one after the other, with what it follows, so that each
can check it without the server. `signing_requests` carries it between them in a file.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tuf.api.metadata import Metadata, Root

from diffserver.catalog.names import require_model
from diffserver.errors import BadSignature, Conflict, Invalid, NotFound
from diffserver.trust.admit_model import ONLINE, delegated
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.delegation import Holders, holders_of, models_of, with_holders
from diffserver.trust.metadata.model_roles import Line
from diffserver.trust.metadata.next_metadata import Look, expiry, follow, renewed
from diffserver.trust.metadata.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, archive_of, delegator, model_of
from diffserver.trust.signing import sign


@dataclass(frozen=True)
class Request:
    """New metadata by role, perhaps unsigned as yet, and the root and targets in force before it."""

    metadata: Mapping[str, Metadata[Any]]
    before: Mapping[str, Metadata[Any]]

    def look(self, role: str) -> Metadata[Any] | None:
        """What is in force once this is accepted, as far as the request tells."""
        return self.metadata.get(role) or self.before.get(role)

    def wanted(self, role: str) -> Iterator[Holders]:
        """Who must sign a role's metadata: those named above it, and for a root also those of the one before."""
        above = [self.look(delegator(role)), self.before[ROOT] if role == ROOT else None]
        for metadata in above:
            holders = metadata and holders_of(metadata.signed, role)
            if holders:
                yield holders

    def lacking(self) -> dict[str, list[str]]:
        """By role, the ids of keys of which more must sign; empty once all is signed."""
        found: dict[str, list[str]] = {}
        for role, metadata in self.metadata.items():
            for holders in self.wanted(role):
                signed = set(holders.keyids) & set(metadata.signatures)
                if len(signed) < holders.threshold:
                    found.setdefault(role, []).extend(set(holders.keyids) - signed)
        return found

    def sign(self, keyring: Keyring) -> None:
        """Add what the keys here can sign."""
        for role, metadata in self.metadata.items():
            for holders in self.wanted(role):
                sign(metadata, holders, keyring)


def rotate_top(look: Look, role: str, holders: Holders, moment: datetime) -> Request:
    """Give the root's, the targets' or the online roles' signatures to these."""
    root, targets = _needed(look, ROOT), _needed(look, TARGETS)
    roles = {ROOT: [ROOT], TARGETS: [TARGETS], ONLINE: [SNAPSHOT, TIMESTAMP]}.get(role)
    if roles is None:
        raise Invalid(f"{role} is no role at the top", f"choose {ROOT}, {TARGETS} or {ONLINE}")
    named = with_holders(root.signed, dict.fromkeys(roles, holders))
    changed = {ROOT: follow(root, named, expiry(ROOT, moment))}
    if role == TARGETS:
        changed[TARGETS] = renewed(targets, expiry(TARGETS, moment))
    return Request(changed, {ROOT: root, TARGETS: targets})


def rotate_model(look: Look, model: str, holders: Holders, moment: datetime) -> Request:
    """Give a model's role to these, with all that was published under it."""
    root, targets = _needed(look, ROOT), _needed(look, TARGETS)
    if holders_of(targets.signed, model) is None:
        raise NotFound(f"model {model} has no role", f"run: diffserver keys add-model {model}")
    changed = {TARGETS: delegated(targets, model, holders, moment)}
    changed |= Line(model, look).roles(holders, expiry(model, moment), every=True) if look(model) else {}
    return Request(changed, {ROOT: root, TARGETS: targets})


def add_model(look: Look, model: str, holders: Holders, moment: datetime) -> Request:
    """Give a new model's role to these; raises Invalid, Conflict."""
    require_model(model)
    root, targets = _needed(look, ROOT), _needed(look, TARGETS)
    if holders_of(targets.signed, model) is not None:
        raise Conflict(f"model {model} has a role already", f"to change its keys: diffserver keys rotate {model}")
    return Request({TARGETS: delegated(targets, model, holders, moment)}, {ROOT: root, TARGETS: targets})


def renew_top(look: Look, moment: datetime) -> Request:
    """Let root and targets expire later."""
    root, targets = _needed(look, ROOT), _needed(look, TARGETS)
    changed = {ROOT: renewed(root, expiry(ROOT, moment)), TARGETS: renewed(targets, expiry(TARGETS, moment))}
    return Request(changed, {ROOT: root, TARGETS: targets})


def require_whole(request: Request, look: Look) -> list[str]:
    """Return the roles, of models whose keys change, that must verify too; raises BadSignature if one is missing."""
    changed = []
    for model in _models_with_other_keys(request):
        there = [role for role in _roles_of(model, look) if look(role) is not None]
        missing = [role for role in there if role not in request.metadata]
        if missing:
            raise BadSignature(f"{', '.join(missing)} would not be signed by the new keys", "rotate the model's keys")
        changed += there
    return changed


def _models_with_other_keys(request: Request) -> list[str]:
    if TARGETS not in request.metadata:
        return []
    before, after = request.before[TARGETS].signed, request.metadata[TARGETS].signed
    gone = set(models_of(before)) - set(models_of(after))
    if gone:
        raise Conflict(f"models {', '.join(sorted(gone))} would lose their role", "prepare the change again")
    return [model for model in models_of(before) if holders_of(before, model) != holders_of(after, model)]


def _roles_of(model: str, look: Look) -> Sequence[str]:
    """All roles under a model's, itself too."""
    found = [model, archive_of(model)]
    for role in found[:]:
        metadata = look(role)
        below = metadata.signed.delegations.roles if metadata and metadata.signed.delegations else {}
        found += [name for name in below if name not in found]
    return found


def describe(request: Request) -> Iterator[str]:
    """Say in lines what a request changes."""
    for role, metadata in request.metadata.items():
        until = f"version {metadata.signed.version}, expires {metadata.signed.expires:%Y-%m-%d}"
        yield (
            f"{role}: {until}" if model_of(role) is None else f"{role}: {until}, {len(metadata.signed.targets)} targets"
        )
    yield from _key_changes(request, ROOT, (ROOT, TARGETS, SNAPSHOT, TIMESTAMP))
    after = request.metadata.get(TARGETS)
    yield from _key_changes(request, TARGETS, models_of(after.signed) if after else ())


def _key_changes(request: Request, above: str, roles: Sequence[str]) -> Iterator[str]:
    new = request.metadata.get(above)
    for role in roles if new else ():
        before, after = holders_of(request.before[above].signed, role), holders_of(new.signed, role) if new else None
        if after and before != after:
            yield f"  {role} is held by {after.threshold} of " + ", ".join(keyid[:12] for keyid in after.keyids)


def _needed(look: Look, role: str) -> Metadata[Any]:
    found = look(role)
    if found is None or (role == ROOT and not isinstance(found.signed, Root)):
        raise NotFound(f"there is no metadata of role {role}", "run: diffserver init")
    return found
