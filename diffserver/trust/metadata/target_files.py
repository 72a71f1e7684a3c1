"""What a model's roles list: targets made of manifests, and what is read back of them. Pure."""

from collections.abc import Iterable, Mapping

from tuf.api.metadata import TargetFile

from diffclient.release import target_custom, target_names
from diffclient.release.manifest import Blob, Manifest

Files = Mapping[str, TargetFile]
"""Targets by name."""


def of_manifests(manifests: Iterable[Manifest]) -> Files:
    """Return the targets of the steps to a version, and of what it needs beside them."""
    found = {}
    for manifest in manifests:
        custom = target_custom.facts(manifest) if manifest.from_version is None else target_custom.step(manifest)
        name = target_custom.name_of(manifest)
        found[name] = _file(name, manifest.payload, custom)
        found |= {name: _file(name, blob) for name, blob in target_custom.objects_of(manifest).items()}
    return found


def of_downgrade(model: str, permission: target_custom.Downgrade, blob: Blob) -> Files:
    """Return the target of a permission to go back, whose bytes are `blob`."""
    name = target_names.downgrade_name(model, permission.version)
    return {name: _file(name, blob, target_custom.downgrade(permission))}


def facts(files: Files, model: str, version: int) -> target_custom.Facts | None:
    """The facts of a version; None if it is not among these."""
    found = files.get(name := target_names.snapshot_name(model, version))
    return None if found is None else target_custom.read_facts(name, found.custom)


def numbers(files: Files) -> set[int]:
    """The versions that snapshots or diffs lead to."""
    return {number for name in files if (number := version_of(name)) is not None}


def version_of(name: str) -> int | None:
    """The version that a snapshot or a diff leads to; None for all else."""
    found = target_names.parse(name)
    return found.number if found.kind in ("snapshot", "diff") else None


def is_diff(name: str) -> bool:
    """Whether a target is a diff."""
    return target_names.parse(name).kind == "diff"


def is_downgrade(name: str) -> bool:
    """Whether a target is a permission to go back."""
    return target_names.parse(name).kind == "downgrade"


def named_objects(files: Files) -> set[str]:
    """The graphs and probe parts that the facts among these name."""
    found: set[str] = set()
    for name, file in files.items():
        if target_names.parse(name).kind == "snapshot":
            found |= set(target_custom.read_facts(name, file.custom).objects)
    return found


def _file(name: str, blob: Blob, custom: object = None) -> TargetFile:
    return TargetFile(blob.length, {"sha256": blob.sha256}, name, {"custom": custom} if custom else {})
