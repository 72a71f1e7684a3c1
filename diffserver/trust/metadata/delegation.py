"""Holders of roles: the first root, and the delegations of models. Pure."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass

from securesystemslib.signer import Key
from tuf.api.metadata import DelegatedRole, Delegations, Role, Root, Targets

from diffserver.errors import Invalid
from diffserver.trust.metadata.roles import archive_of, shard_of


@dataclass(frozen=True)
class Holders:
    """The public keys that may sign for a role, and how many of them must."""

    keys: tuple[Key, ...]
    threshold: int = 1

    def __post_init__(self) -> None:
        """Raise Invalid if the threshold can't be met."""
        if not 1 <= self.threshold <= len({key.keyid for key in self.keys}):
            raise Invalid(
                f"{self.threshold} of {len(self.keys)} keys can't sign", "choose a threshold from 1 to the keys' number"
            )

    @property
    def keyids(self) -> list[str]:
        """The keys' ids."""
        return [key.keyid for key in self.keys]


def first_root(holders: Mapping[str, Holders]) -> Root:
    """Return a root with these holders of the top-level roles; consistent snapshots."""
    return with_holders(Root(consistent_snapshot=True), holders)


def with_holders(root: Root, holders: Mapping[str, Holders]) -> Root:
    """Return a copy of a root with other holders of some roles, without keys that are no longer used."""
    root = deepcopy(root)
    for role, chosen in holders.items():
        root.keys |= {key.keyid: key for key in chosen.keys}
        root.roles[role] = Role(chosen.keyids, chosen.threshold)
    used = {keyid for role in root.roles.values() for keyid in role.keyids}
    root.keys = {keyid: key for keyid, key in root.keys.items() if keyid in used}
    return root


def holders_of(above: Root | Targets, role: str) -> Holders | None:
    """Return the holders of a role that `above` delegates; None if it does not."""
    try:
        delegated = above.get_delegated_role(role)
    except ValueError:
        return None
    return Holders(tuple(above.get_key(keyid) for keyid in delegated.keyids), delegated.threshold)


def models_of(targets: Targets) -> list[str]:
    """Return the models that have a role."""
    return list(targets.delegations.roles or {}) if targets.delegations else []


def with_model(targets: Targets, model: str, holders: Holders) -> Targets:
    """Return new top-level targets that delegate the model's role to `holders`."""
    known = {
        name: (current, _role(targets, name)) for name in models_of(targets) if (current := holders_of(targets, name))
    }
    known[model] = (holders, _delegated(model, holders, [f"{model}/*/*"]))
    return Targets(delegations=_delegations(known.values()))


def to_archive(model: str, holders: Holders) -> Delegations:
    """Return the delegation from a model's role to its archive."""
    paths = [f"{model}/v*/*", f"{model}/graph/*", f"{model}/probe/*"]
    return _delegations([(holders, _delegated(archive_of(model), holders, paths))])


def to_shards(model: str, holders: Holders, shards: Iterable[int]) -> Delegations:
    """Return the delegations from a model's archive to its shards."""
    roles = (_delegated(shard_of(model, shard), holders, [f"{model}/v{shard}/*"]) for shard in sorted(shards))
    return _delegations((holders, role) for role in roles)


def _role(targets: Targets, name: str) -> DelegatedRole:
    role = targets.get_delegated_role(name)
    assert isinstance(role, DelegatedRole)
    return role


def _delegated(name: str, holders: Holders, paths: list[str]) -> DelegatedRole:
    return DelegatedRole(name, holders.keyids, holders.threshold, terminating=True, paths=paths)


def _delegations(roles: Iterable[tuple[Holders, DelegatedRole]]) -> Delegations:
    entries = list(roles)
    keys = {key.keyid: key for holders, _ in entries for key in holders.keys}
    return Delegations(keys, {role.name: role for _, role in entries})
