"""A new version on disk, as the device's code made it. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from diffclient.release.manifest import ManifestKind
from diffclient.tensors.snapshot import Table


@dataclass(frozen=True)
class NewVersion:
    """A version's weights, and the payload that leads to them."""

    weights: Path
    digest: str
    table: Table
    kind: ManifestKind
    """`snapshot` where no diff leads to it."""
    payload: bytes | None = None
    """None where there is no payload; with the kind `snapshot`, a method's own format, which no device reads."""
