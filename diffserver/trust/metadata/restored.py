"""What follows a restored backup: the versions that devices may have seen since, and the metadata that lags. Pure.

Whoever restores knows neither what was signed after the backup nor, for keys that are elsewhere, can sign it again at
once. So the snapshot says the least version of all that is signed from then on, and names every role that there may
have been by that version; a role whose metadata is older than that lags.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from tuf.api.metadata import Metadata, MetaFile, Snapshot

from diffserver.trust.metadata.next_metadata import LEAST, RoleLookup, follow
from diffserver.trust.metadata.roles import SNAPSHOT, archive_of, shard_number, shard_of


def possible_roles(model: str, numbers: int) -> set[str]:
    """Return all roles that a model may have had with versions below `numbers`: a device refuses one that is gone."""
    shards = {shard_of(model, shard) for shard in range(shard_number(max(numbers - 1, 0)) + 1)}
    return {model, archive_of(model)} | shards


def promise(current: Metadata[Any], roles: Iterable[str], lowest: int, expires: datetime) -> Metadata[Any]:
    """Return the snapshot of version `lowest` that names these roles by it, and the others as they are."""
    meta = dict(current.signed.meta) | {f"{role}.json": MetaFile(lowest) for role in roles}
    snapshot = Snapshot(meta=dict(sorted(meta.items())), unrecognized_fields={LEAST: lowest})
    return follow(current, snapshot, expires, lowest)


def lagging(model: str, lookup: RoleLookup) -> dict[str, int]:
    """Return the version of each of a model's roles, if they are older than the snapshot says; else nothing."""
    snapshot, live = lookup(SNAPSHOT), lookup(model)
    named = snapshot.signed.meta if snapshot else {}
    if live is None or f"{model}.json" not in named or live.signed.version >= named[f"{model}.json"].version:
        return {}
    below = (file.removesuffix(".json") for file in named if file.startswith(f"{model}+"))
    found = {role: lookup(role) for role in (model, *below)}
    return {role: metadata.signed.version for role, metadata in found.items() if metadata}
