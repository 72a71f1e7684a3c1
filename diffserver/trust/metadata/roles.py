"""Names of roles and of metadata files. Pure.

A model's name has no `+`, so a role tells its model, and what becomes of it, by its name alone.
"""

import re

from diffclient.release.target_names import SHARD

ROOT, TARGETS, SNAPSHOT, TIMESTAMP = TOP = ("root", "targets", "snapshot", "timestamp")

_FILE = re.compile(r"([1-9][0-9]{0,8})\.([a-z0-9][a-z0-9._+-]{0,99})\.json")


def archive_of(model: str) -> str:
    """The role that delegates what is history."""
    return f"{model}+archive"


def shard_of(model: str, shard: int) -> str:
    """The role that holds versions 64 `shard` to 64 `shard` + 63."""
    return f"{model}+archive-{shard}"


def shard_number(version: int) -> int:
    """The shard of a version."""
    return version // SHARD


def model_of(role: str) -> str | None:
    """The model that a role belongs to; None for those at the top."""
    return None if role in TOP else role.partition("+")[0]


def delegator(role: str) -> str:
    """The role that says who signs for `role`."""
    if role in TOP:
        return ROOT
    model, separator, rest = role.partition("+")
    if not separator:
        return TARGETS
    return model if rest == "archive" else archive_of(model)


def file_name(role: str, version: int) -> str:
    """The name under which devices fetch a role's metadata."""
    return "timestamp.json" if role == TIMESTAMP else f"{version}.{role}.json"


def parse_file(name: str) -> tuple[str, int | None] | None:
    """The role and version that a file's name means; the timestamp has no version. None for any other name."""
    if name == "timestamp.json":
        return TIMESTAMP, None
    found = _FILE.fullmatch(name)
    if found is None or found[2] == TIMESTAMP:
        return None
    return found[2], int(found[1])
