"""Targets in a model's roles: make them from manifests, and read them back. Pure."""

from collections.abc import Iterable, Mapping

from tuf.api.metadata import TargetFile

from diffclient.release import target_custom, target_names
from diffclient.release.manifest import Blob, Manifest

Files = Mapping[str, TargetFile]
"""Targets by name."""


def of_manifests(manifests: Iterable[Manifest]) -> Files:
    """Return the targets of a version's snapshot and diffs, and of the graph and probe parts that it needs."""
    files = {}
    for manifest in manifests:
        custom = target_custom.facts(manifest) if manifest.from_version is None else target_custom.step(manifest)
        name = target_custom.name_of(manifest)
        files[name] = _file(name, manifest.payload, custom)
        files |= {name: _file(name, blob) for name, blob in target_custom.objects_of(manifest).items()}
    return files


def of_downgrade(model: str, permission: target_custom.Downgrade, blob: Blob) -> Files:
    """Return the target of a permission to downgrade, whose content is `blob`."""
    name = target_names.downgrade_name(model, permission.version)
    return {name: _file(name, blob, target_custom.downgrade(permission))}


def facts(files: Files, model: str, version: int) -> target_custom.Facts | None:
    """Return the facts of a version; None if its snapshot is not among `files`."""
    file = files.get(name := target_names.snapshot_name(model, version))
    return None if file is None else target_custom.read_facts(name, file.custom)


def numbers(files: Files) -> set[int]:
    """Return the versions that the snapshots and diffs lead to."""
    return {number for name in files if (number := version_of(name)) is not None}


def version_of(name: str) -> int | None:
    """Return the version that a snapshot or a diff leads to; None for other targets."""
    parsed = target_names.parse(name)
    return parsed.number if parsed.kind in ("snapshot", "diff") else None


def is_diff(name: str) -> bool:
    """Tell whether a target is a diff."""
    return target_names.parse(name).kind == "diff"


def is_downgrade(name: str) -> bool:
    """Tell whether a target is a permission to downgrade."""
    return target_names.parse(name).kind == "downgrade"


def named_objects(files: Files) -> set[str]:
    """Return the names of the graphs and probe parts that the versions among `files` need."""
    objects: set[str] = set()
    for name, file in files.items():
        if target_names.parse(name).kind == "snapshot":
            objects |= set(target_custom.read_facts(name, file.custom).objects)
    return objects


def _file(name: str, blob: Blob, custom: object = None) -> TargetFile:
    return TargetFile(blob.length, {"sha256": blob.sha256}, name, {"custom": custom} if custom else {})
