"""Changes of keys: of root and targets, whose keys are offline, and of models' roles. Pure but for the keys.

A change is a request: new metadata that several machines sign in turn, with the metadata before it, so that each
machine can check it without the server. Carrying it in a file is left to `signing_requests`.
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
from diffserver.trust.metadata.model_roles import ModelRoles
from diffserver.trust.metadata.next_metadata import RoleLookup, expiry, follow, least, renewed
from diffserver.trust.metadata.roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, archive_of, delegator, model_of
from diffserver.trust.signing import sign


@dataclass(frozen=True)
class Request:
    """New metadata by role, perhaps unsigned as yet, and the root and targets in force before it."""

    metadata: Mapping[str, Metadata[Any]]
    before: Mapping[str, Metadata[Any]]

    def get(self, role: str) -> Metadata[Any] | None:
        """Return a role's metadata once the request is in force; None if the request does not contain it."""
        return self.metadata.get(role) or self.before.get(role)

    def signers(self, role: str) -> Iterator[Holders]:
        """Yield who must sign a role's metadata: its holders, and for a root also those of the root before."""
        above = [self.get(delegator(role)), self.before[ROOT] if role == ROOT else None]
        for metadata in above:
            holders = metadata and holders_of(metadata.signed, role)
            if holders:
                yield holders

    def missing_keyids(self) -> dict[str, list[str]]:
        """Return, by role, ids of keys of which more must sign; empty once all is signed."""
        keyids: dict[str, list[str]] = {}
        for role, metadata in self.metadata.items():
            for holders in self.signers(role):
                signed = set(holders.keyids) & set(metadata.signatures)
                if len(signed) < holders.threshold:
                    keyids.setdefault(role, []).extend(set(holders.keyids) - signed)
        return keyids

    def sign(self, keyring: Keyring) -> None:
        """Add the signatures that the keys here can give."""
        for role, metadata in self.metadata.items():
            for holders in self.signers(role):
                sign(metadata, holders, keyring)


def rotate_top(lookup: RoleLookup, role: str, holders: Holders, moment: datetime) -> Request:
    """Return the request that gives root, targets or the online roles to `holders`; raises Invalid, NotFound."""
    root, targets = _needed(lookup, ROOT), _needed(lookup, TARGETS)
    roles = {ROOT: [ROOT], TARGETS: [TARGETS], ONLINE: [SNAPSHOT, TIMESTAMP]}.get(role)
    if roles is None:
        raise Invalid(f"{role} is no role at the top", f"choose {ROOT}, {TARGETS} or {ONLINE}")
    named = with_holders(root.signed, dict.fromkeys(roles, holders))
    changed = {ROOT: follow(root, named, expiry(ROOT, moment))}
    if role == TARGETS:
        changed[TARGETS] = renewed(targets, expiry(TARGETS, moment), least(lookup(SNAPSHOT)))
    return Request(changed, {ROOT: root, TARGETS: targets})


def rotate_model(lookup: RoleLookup, model: str, holders: Holders, moment: datetime) -> Request:
    """Return the request that gives a model's roles and all their targets to `holders`; raises NotFound."""
    root, targets = _needed(lookup, ROOT), _needed(lookup, TARGETS)
    if holders_of(targets.signed, model) is None:
        raise NotFound(f"model {model} has no role", f"run: diffserver keys add-model {model}")
    changed = {TARGETS: delegated(targets, model, holders, moment, least(lookup(SNAPSHOT)))}
    changed |= (
        ModelRoles(model, lookup).changed_metadata(holders, expiry(model, moment), rewrite_all=True)
        if lookup(model)
        else {}
    )
    return Request(changed, {ROOT: root, TARGETS: targets})


def add_model(lookup: RoleLookup, model: str, holders: Holders, moment: datetime) -> Request:
    """Return the request that gives a new model's role to `holders`; raises Invalid, Conflict."""
    require_model(model)
    root, targets = _needed(lookup, ROOT), _needed(lookup, TARGETS)
    if holders_of(targets.signed, model) is not None:
        raise Conflict(f"model {model} has a role already", f"to change its keys: diffserver keys rotate {model}")
    changed = {TARGETS: delegated(targets, model, holders, moment, least(lookup(SNAPSHOT)))}
    return Request(changed, {ROOT: root, TARGETS: targets})


def renew_top(lookup: RoleLookup, moment: datetime) -> Request:
    """Return the request that extends the expiry of root and targets; raises NotFound."""
    root, targets = _needed(lookup, ROOT), _needed(lookup, TARGETS)
    changed = {
        ROOT: renewed(root, expiry(ROOT, moment)),
        TARGETS: renewed(targets, expiry(TARGETS, moment), least(lookup(SNAPSHOT))),
    }
    return Request(changed, {ROOT: root, TARGETS: targets})


def require_whole(request: Request, lookup: RoleLookup) -> list[str]:
    """Return the roles of models whose keys change, which must verify, too; raises BadSignature if one is missing."""
    changed = []
    for model in _models_with_other_keys(request):
        existing = [role for role in _roles_of(model, lookup) if lookup(role) is not None]
        missing = [role for role in existing if role not in request.metadata]
        if missing:
            raise BadSignature(f"{', '.join(missing)} would not be signed by the new keys", "rotate the model's keys")
        changed += existing
    return changed


def _models_with_other_keys(request: Request) -> list[str]:
    if TARGETS not in request.metadata:
        return []
    before, after = request.before[TARGETS].signed, request.metadata[TARGETS].signed
    gone = set(models_of(before)) - set(models_of(after))
    if gone:
        raise Conflict(f"models {', '.join(sorted(gone))} would lose their role", "prepare the change again")
    return [model for model in models_of(before) if holders_of(before, model) != holders_of(after, model)]


def _roles_of(model: str, lookup: RoleLookup) -> Sequence[str]:
    """Return a model's role and all roles below it."""
    roles = [model, archive_of(model)]
    for role in roles[:]:
        metadata = lookup(role)
        below = metadata.signed.delegations.roles if metadata and metadata.signed.delegations else {}
        roles += [name for name in below if name not in roles]
    return roles


def describe(request: Request) -> Iterator[str]:
    """Yield lines that describe a request."""
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


def _needed(lookup: RoleLookup, role: str) -> Metadata[Any]:
    metadata = lookup(role)
    if metadata is None or (role == ROOT and not isinstance(metadata.signed, Root)):
        raise NotFound(f"there is no metadata of role {role}", "run: diffserver init")
    return metadata
