"""Names of roles and of metadata files. Pure.

A model's name has no `+`, so the name of a role tells its model and its place below the model's role.
"""

import re

from diffclient.release.target_names import SHARD

ROOT, TARGETS, SNAPSHOT, TIMESTAMP = TOP = ("root", "targets", "snapshot", "timestamp")

_FILE = re.compile(r"([1-9][0-9]{0,8})\.([a-z0-9][a-z0-9._+-]{0,99})\.json")


def archive_of(model: str) -> str:
    """Return the role that delegates a model's older versions."""
    return f"{model}+archive"


def shard_of(model: str, shard: int) -> str:
    """Return the role that holds versions 64 × `shard` to 64 × `shard` + 63."""
    return f"{model}+archive-{shard}"


def shard_number(version: int) -> int:
    """Return the number of a version's shard."""
    return version // SHARD


def model_of(role: str) -> str | None:
    """Return the model that a role belongs to; None for top-level roles."""
    return None if role in TOP else role.partition("+")[0]


def delegator(role: str) -> str:
    """Return the role that delegates `role`."""
    if role in TOP:
        return ROOT
    model, separator, rest = role.partition("+")
    if not separator:
        return TARGETS
    return model if rest == "archive" else archive_of(model)


def file_name(role: str, version: int) -> str:
    """Return the file name under which devices fetch a role's metadata."""
    return "timestamp.json" if role == TIMESTAMP else f"{version}.{role}.json"


def parse_file(name: str) -> tuple[str, int | None] | None:
    """Return the role and version in a file's name (the timestamp has no version); None for any other name."""
    if name == "timestamp.json":
        return TIMESTAMP, None
    match = _FILE.fullmatch(name)
    if match is None or match[2] == TIMESTAMP:
        return None
    return match[2], int(match[1])
