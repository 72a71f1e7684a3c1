"""A model of the states of a disk after a power cut, given a sequence of file operations.

Only what was synced is certain: a file's bytes by a sync of the file, a name in a folder by a sync of the folder.
Everything since then may have reached the disk or not, in any order. POSIX promises more in one case only: a rename
within a folder replaces the old name's file by the new one at once, or not at all. A rename from one folder to
another is two changes, for each folder is synced alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.operation import Operation

EXHAUSTIVE = 6
"""The most unsynced changes of names that are combined in every way; see `_subsets` for more."""

MANY = 150
"""The most contents of unsynced files that are combined in every way."""

Tree = Mapping[str, bytes | str | None]
"""By path, parents first: a file's bytes, a symbolic link's text; None for a folder."""


@dataclass(eq=False)
class File:
    """A file as programs see it, and as it was last synced."""

    seen: bytes = b""
    synced: bytes = b""
    last: tuple[int, int] = (0, 0)
    """The offsets at which the last write began and ended."""

    def write(self, offset: int, data: bytes) -> None:
        """Change some bytes."""
        before = self.seen.ljust(offset, b"\0")
        self.seen = before[:offset] + data + before[offset + len(data) :]
        self.last = (offset, offset + len(data))

    def truncate(self, length: int) -> None:
        """Cut off, or extend with zeros."""
        self.seen = self.seen[:length].ljust(length, b"\0")

    def variants(self) -> list[bytes]:
        """Return each content that the file may have after a power cut.

        As it was synced; as it was seen; with its length and no data; with half of its last write; with its last
        write and nothing else.
        """
        if self.synced == self.seen:
            return [self.synced]
        start, end = self.last
        old = self.synced.ljust(len(self.seen), b"\0")[: len(self.seen)]
        half, alone = self.seen[: (start + end) // 2], old[:start] + self.seen[start:end] + old[end:]
        return list(dict.fromkeys([self.synced, self.seen, bytes(len(self.seen)), half, alone]))


@dataclass(eq=False)
class Link:
    """A symbolic link; its text comes with its name."""

    text: str


@dataclass(eq=False)
class Folder:
    """A folder's names as programs see them, and as they were last synced."""

    seen: dict[str, Node] = field(default_factory=dict)
    synced: dict[str, Node] = field(default_factory=dict)


Node = File | Folder | Link


@dataclass(frozen=True, eq=False)
class Change:
    """Names of one folder that change together: the new node of each, None for a removal."""

    folder: Folder
    names: Mapping[str, Node | None]

    def enter(self, known: dict[str, Node]) -> None:
        """Change a folder's names."""
        for name, node in self.names.items():
            if node is None:
                known.pop(name, None)
            else:
                known[name] = node


class Disk:
    """A synced folder, and the operations applied to it since."""

    def __init__(self, start: Path) -> None:
        """Read the synced state from the folder `start`."""
        self._root = _read(start)
        self._pending: list[Change] = []
        self._opened: dict[int, Node] = {}

    def apply(self, operation: Operation) -> None:
        """Apply a successful operation."""
        folder, name = self._place(operation.path)
        node = folder.seen.get(name) if name else self._root
        if operation.kind in ("open", "look"):
            self._opened[operation.handle] = self._open(folder, name, node, operation)
        elif operation.kind in ("write", "truncate", "sync"):
            self._through(self._opened[operation.handle], operation)
        elif operation.kind == "rename":
            assert node is not None
            self._rename(folder, name, node, operation.target)
        elif operation.kind in ("unlink", "rmdir"):
            self._change(folder, {name: None})
        elif operation.kind == "mkdir":
            self._change(folder, {name: Folder()})
        elif operation.kind == "symlink":
            self._change(folder, {name: Link(operation.target)})
        elif operation.kind == "link":
            other, old = self._place(operation.target)
            self._change(folder, {name: other.seen[old]})

    def states(self) -> Iterator[Tree]:
        """Yield every tree that a power cut may leave now, some more than once."""
        for chosen in _subsets(len(self._pending)):
            names: dict[Folder, dict[str, Node]] = {}
            for change in itertools.compress(self._pending, chosen):
                change.enter(names.setdefault(change.folder, dict(change.folder.synced)))
            yield from _contents(dict(_walk(self._root, names, "")))

    def seen(self) -> Tree:
        """Return the tree as programs see it."""
        return {path: node.seen if isinstance(node, File) else None if isinstance(node, Folder) else node.text
                for path, node in _walk(self._root, None, "")}  # fmt: skip

    def _place(self, path: str) -> tuple[Folder, str]:
        *above, name = Path(path).parts or [""]
        folder: Node = self._root
        for part in above:
            assert isinstance(folder, Folder)
            folder = folder.seen[part]
        assert isinstance(folder, Folder)
        return folder, name

    def _open(self, folder: Folder, name: str, node: Node | None, operation: Operation) -> Node:
        if isinstance(node, Link):
            raise NotImplementedError("opening through a link")
        if node is None:
            node = File()
            self._change(folder, {name: node})
        elif operation.emptied and isinstance(node, File):
            node.truncate(0)
        return node

    def _through(self, node: Node, operation: Operation) -> None:
        if isinstance(node, Folder):
            node.synced = dict(node.seen)
            self._pending = [change for change in self._pending if change.folder is not node]
        elif isinstance(node, File) and operation.kind == "write":
            node.write(operation.offset, operation.data)
        elif isinstance(node, File) and operation.kind == "truncate":
            node.truncate(operation.offset)
        elif isinstance(node, File):
            node.synced = node.seen

    def _rename(self, folder: Folder, name: str, node: Node, target: str) -> None:
        other, new = self._place(target)
        if other is folder:
            self._change(folder, {name: None, new: node})
        else:
            self._change(folder, {name: None})
            self._change(other, {new: node})

    def _change(self, folder: Folder, names: Mapping[str, Node | None]) -> None:
        change = Change(folder, names)
        change.enter(folder.seen)
        self._pending.append(change)


def write(tree: Tree, folder: Path) -> None:
    """Make a folder of a tree."""
    folder.mkdir(parents=True)
    for path, content in tree.items():
        if content is None:
            (folder / path).mkdir()
        elif isinstance(content, bytes):
            (folder / path).write_bytes(content)
        else:
            (folder / path).symlink_to(content)


def read(folder: Path) -> Tree:
    """Make a tree of a folder."""
    return Disk(folder).seen()


def _read(folder: Path) -> Folder:
    names: dict[str, Node] = {}
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            names[path.name] = Link(str(path.readlink()))
        elif path.is_dir():
            names[path.name] = _read(path)
        else:
            names[path.name] = File(path.read_bytes(), path.read_bytes())
    return Folder(dict(names), names)


def _subsets(count: int) -> Iterator[Sequence[bool]]:
    """Yield which of so many changes reached the disk: every choice, or of many: all up to one, all from one on, one
    alone, all but one.
    """
    if count <= EXHAUSTIVE:
        yield from itertools.product((False, True), repeat=count)
        return
    for at in range(count + 1):
        for rule in (int.__lt__, int.__ge__, int.__eq__, int.__ne__):
            yield [rule(number, at) for number in range(count)]


def _walk(folder: Folder, names: Mapping[Folder, Mapping[str, Node]] | None, above: str) -> Iterator[tuple[str, Node]]:
    """Yield paths with what they stand for: of folders that `names` lacks, what is synced; without it, what is seen."""
    known = folder.seen if names is None else names.get(folder, folder.synced)
    for name, node in known.items():
        yield above + name, node
        if isinstance(node, Folder):
            yield from _walk(node, names, f"{above}{name}/")


def _choices(variants: Sequence[Sequence[bytes]]) -> Iterator[Sequence[bytes]]:
    """Yield contents of some files together: every choice, or of many: each of one file, the others as synced, or as
    seen.
    """
    if math.prod(map(len, variants)) <= MANY:
        yield from itertools.product(*variants)
        return
    for others in ([each[0] for each in variants], [each[min(1, len(each) - 1)] for each in variants]):
        for at, each in enumerate(variants):
            for content in each:
                yield [*others[:at], content, *others[at + 1 :]]


def _contents(nodes: Mapping[str, Node]) -> Iterator[Tree]:
    """Yield the tree for every content that its files may have."""
    files = list(dict.fromkeys(node for node in nodes.values() if isinstance(node, File)))
    for contents in _choices([file.variants() for file in files]):
        by_path = dict(zip(files, contents, strict=True))
        yield {path: by_path[node] if isinstance(node, File) else None if isinstance(node, Folder) else node.text
               for path, node in nodes.items()}  # fmt: skip
