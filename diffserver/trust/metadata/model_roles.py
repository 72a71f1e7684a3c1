"""A model's roles while they change: which targets are in the live role, and which in the archive. Pure.

The live role holds the latest versions and what they need, so that a device one version behind reads one small
file. Older versions move to the shard of their number, their graphs and probe parts to the archive itself.
"""

from copy import deepcopy
from datetime import datetime
from typing import Any

from tuf.api.metadata import Metadata, TargetFile, Targets

from diffclient.release.target_custom import Facts
from diffserver.trust.metadata import target_files
from diffserver.trust.metadata.delegation import Holders, to_archive, to_shards
from diffserver.trust.metadata.next_metadata import RoleLookup, follow, least
from diffserver.trust.metadata.roles import SNAPSHOT, archive_of, shard_number, shard_of

WINDOW = 2
"""The number of latest versions in the live role."""

LEAP = 1_000_000
"""The most that a number is above the one before, where the server was restored: those of lost versions stay free."""


class ModelRoles:
    """A working copy of the targets of a model's roles; shards are loaded on demand."""

    def __init__(self, model: str, lookup: RoleLookup) -> None:
        self.model, self._lookup = model, lookup
        self.live = self._files(model)
        self.archive = self._files(archive_of(model))
        self._shards: dict[int, dict[str, TargetFile]] = {}

    def head(self) -> int | None:
        """Return the latest version's number; None if there is none."""
        return max(target_files.numbers(self.live), default=None)

    def may_be_next(self, number: int) -> bool:
        """Tell whether the next version may have a number: the next one, or later if the server was restored."""
        head = self.head()
        if head is None:
            return number == 0
        return head < number <= head + (LEAP if least(self._lookup(SNAPSHOT)) > 1 else 1)

    def facts(self, version: int) -> Facts | None:
        """Return the signed facts of a version; None if there are none."""
        live_facts = target_files.facts(self.live, self.model, version)
        return live_facts or target_files.facts(self.shard(shard_number(version)), self.model, version)

    def shard(self, number: int) -> dict[str, TargetFile]:
        """Return the targets of a shard, empty if there is none yet."""
        if number not in self._shards:
            self._shards[number] = self._files(shard_of(self.model, number))
        return self._shards[number]

    def shards(self) -> set[int]:
        """Return the numbers of all shards that hold targets."""
        metadata = self._lookup(archive_of(self.model))
        roles = metadata.signed.delegations.roles or {} if metadata and metadata.signed.delegations else {}
        known = {int(role.rpartition("-")[2]) for role in roles}
        return known | {number for number, files in self._shards.items() if files}

    def settle(self) -> None:
        """Move older versions to the archive, and the graphs and probe parts that the latest need back out of it."""
        head = self.head() or 0
        for name in list(self.live):
            number = target_files.version_of(name)
            if number is not None and number <= head - WINDOW:
                self.shard(shard_number(number))[name] = self.live.pop(name)
        objects = {name: file for name, file in {**self.archive, **self.live}.items() if _is_object(name)}
        needed = target_files.named_objects(self.live)
        self.archive = {name: file for name, file in objects.items() if name not in needed}
        kept = {name: file for name, file in self.live.items() if not _is_object(name)}
        self.live = kept | {name: objects[name] for name in needed}

    def changed_metadata(
        self, holders: Holders, expires: datetime, rewrite_all: bool = False
    ) -> dict[str, Metadata[Targets]]:
        """Return new unsigned metadata of the roles that changed, or with `rewrite_all` of all roles."""
        shards = self.shards()
        if rewrite_all:
            for number in shards:
                self.shard(number)
        archive = to_archive(self.model, holders) if shards else None
        targets = {self.model: Targets(targets=_sorted(self.live), delegations=archive)}
        if shards:
            delegations = to_shards(self.model, holders, shards)
            targets[archive_of(self.model)] = Targets(targets=_sorted(self.archive), delegations=delegations)
        for number in sorted(set(self._shards) & shards):
            targets[shard_of(self.model, number)] = Targets(targets=_sorted(self._shards[number]))
        lowest = least(self._lookup(SNAPSHOT))
        return {
            role: follow(current, signed, expires, lowest)
            for role, signed in targets.items()
            if (current := self._lookup(role)) is None or rewrite_all or _differ(current, signed)
        }

    def _files(self, role: str) -> dict[str, TargetFile]:
        metadata = self._lookup(role)
        return deepcopy(metadata.signed.targets) if metadata else {}


def _is_object(name: str) -> bool:
    return target_files.version_of(name) is None and not target_files.is_downgrade(name)


def _sorted(files: target_files.Files) -> dict[str, TargetFile]:
    return dict(sorted(files.items()))


def _differ(current: Metadata[Any], signed: Targets) -> bool:
    before = current.signed
    return (before.targets, before.delegations) != (signed.targets, signed.delegations)
