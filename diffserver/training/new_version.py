"""A version on disk, as the device's code made it. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from diffclient.release.manifest import ManifestKind
from diffclient.tensors.snapshot import Table


@dataclass(frozen=True)
class NewVersion:
    """Its weights, and what leads to them."""

    weights: Path
    digest: str
    table: Table
    kind: ManifestKind
    """`snapshot` where no diff leads to it."""
    payload: bytes | None = None
    """None where nothing compresses it; of the kind `snapshot` a method's own packing, which no device can read."""
