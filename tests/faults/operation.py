"""An operation: a change of the file system, or a piece that arrives from the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "open", "look", "write", "truncate", "sync", "rename", "link", "symlink", "unlink", "mkdir", "rmdir", "receive"
]
"""`look`: opened for reading, which changes nothing and is no fault point; it names a descriptor that may be synced."""


@dataclass(frozen=True)
class Operation:
    """A system call; paths are relative to the folder that is watched."""

    kind: Kind
    path: str
    handle: int = -1
    """The number of the open file that a write, truncation or sync uses."""
    target: str = ""
    """The new name of a rename, a link's other name."""
    offset: int = 0
    """Where a write begins; the length that a truncation leaves."""
    data: bytes = b""
    emptied: bool = False
    """Whether opening truncates the file."""

    def __str__(self) -> str:
        size = f" {len(self.data):,} bytes at {self.offset:,}" if self.kind == "write" else ""
        return f"{self.kind} {self.path}{size}{f' -> {self.target}' if self.target else ''}"

    @property
    def counted(self) -> bool:
        """Whether the operation is a fault point: its failure can change the disk."""
        return self.kind != "look"
