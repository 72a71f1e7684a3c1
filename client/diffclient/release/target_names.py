"""Make and parse the names of targets.

    <model>/v<number // 64>/<number>.snapshot     the weights of a version
    <model>/v<number // 64>/<number>.from.<m>     a diff from version m
    <model>/v<number // 64>/<number>.downgrade    the permission to go back to a version
    <model>/graph/<first 16 hex of its SHA-256>
    <model>/probe/<first 16 hex of its SHA-256>   a part of the probe set

Each archive role is delegated one folder of 64 versions. The targets' custom fields are left to `target_custom`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from diffclient.errors import ManifestError

SHARD = 64
"""Versions that share a folder."""

TargetKind = Literal["snapshot", "diff", "downgrade", "graph", "probe"]

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED = ("root", "targets", "snapshot", "timestamp")
_NUMBER = r"(?:0|[1-9][0-9]{0,14})"
_NAME = re.compile(
    rf"(?P<model>[^/]+)/(?:(?P<folder>v{_NUMBER})/(?P<number>{_NUMBER})\.(?:(?P<kind>snapshot|downgrade)"
    rf"|from\.(?P<parent>{_NUMBER}))|(?P<object>graph|probe)/(?P<prefix>[0-9a-f]{{16}}))"
)


@dataclass(frozen=True)
class Name:
    """The parts of a target's name; those that its kind lacks are None."""

    model: str
    kind: TargetKind
    number: int | None = None
    """The version that it leads to."""
    parent: int | None = None
    """The version that a diff starts from."""
    prefix: str | None = None
    """The first 16 hex digits of a graph's or probe part's SHA-256."""


def check_model(model: str) -> str:
    """Return `model` if it can name a role and a folder of targets; raises ManifestError otherwise."""
    if not _MODEL.fullmatch(model) or model in _RESERVED:
        raise ManifestError(
            f"{model[:40]!r} cannot be a model's name: use letters, digits, '.', '_' and '-', at most 100, the "
            f"first no sign; {', '.join(_RESERVED)} are taken"
        )
    return model


def folder(model: str, number: int) -> str:
    """Return the folder of a version's targets, without a slash at its end."""
    return f"{model}/v{number // SHARD}"


def snapshot_name(model: str, number: int) -> str:
    """Return the name of a version's weights."""
    return f"{folder(model, number)}/{number}.snapshot"


def diff_name(model: str, number: int, parent: int) -> str:
    """Return the name of the diff from version `parent` to version `number`."""
    return f"{folder(model, number)}/{number}.from.{parent}"


def downgrade_name(model: str, number: int) -> str:
    """Return the name of the permission to go back to version `number`."""
    return f"{folder(model, number)}/{number}.downgrade"


def graph_name(model: str, sha256: str) -> str:
    """Return the name of the graph with this SHA-256."""
    return f"{model}/graph/{sha256[:16]}"


def probe_name(model: str, sha256: str) -> str:
    """Return the name of the part of the probe set with this SHA-256."""
    return f"{model}/probe/{sha256[:16]}"


def parse(name: str) -> Name:
    """Return the parts of a target's name; raises ManifestError on any other spelling."""
    match = _NAME.fullmatch(name)
    if not match:
        raise ManifestError(f"{name[:80]!r} is not the name of a target")
    model = check_model(match["model"])
    if match["object"]:
        return Name(model, match["object"], prefix=match["prefix"])  # type: ignore[arg-type]  # one of the pattern's
    number = int(match["number"])
    if f"{model}/{match['folder']}" != folder(model, number):
        raise ManifestError(f"{name[:80]!r} stands in the wrong folder")
    if match["parent"] is None:
        return Name(model, match["kind"], number)  # type: ignore[arg-type]  # one of the pattern's
    if int(match["parent"]) == number:
        raise ManifestError(f"{name[:80]!r} leads from a version to itself")
    return Name(model, "diff", number, int(match["parent"]))
