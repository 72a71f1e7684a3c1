"""Copy objects from one store to another that lacks them, of whichever kinds they are.

Each is verified before it is stored; running it again after an interruption copies what is still missing.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from diffserver.errors import BlobCorrupt, NotFound
from diffserver.storage.object_store import Objects

OnBytes = Callable[[int, int], object]
"""Called before each object, and at the end, with the bytes that are done and with those there are to copy."""


@dataclass(frozen=True)
class Copied:
    """What became of the objects that were wanted: copied, there before, or lost at their source."""

    copied: int
    bytes: int
    there: int
    lost: tuple[str, ...]


def copy_missing(
    source: Objects,
    target: Objects,
    work: Path,
    names: Iterable[str] | None = None,
    on_bytes: OnBytes = lambda _done, _total: None,
) -> Copied:
    """Copy all objects, or those of some names, that the target lacks or has at another length.

    Each passes through a file in the folder `work`. An object is lost that the source lacks or has damaged, unless the
    target has it whole.
    """
    found, there = ({item.sha256: item.length for item in store.list_all()} for store in (source, target))
    wanted = sorted(found if names is None else set(names))
    lacking = [name for name in wanted if name not in there or there[name] != found.get(name, there[name])]
    done, total, lost = 0, sum(found.get(name, 0) for name in lacking), list[str]()
    for name in lacking:
        on_bytes(done, total)
        if not _arrives(source, target, name, work):
            lost.append(name)
        done += found.get(name, 0)
    on_bytes(done, total)
    sent = sum(found.get(name, 0) for name in set(lacking) - set(lost))
    return Copied(len(lacking) - len(lost), sent, len(wanted) - len(lacking), tuple(lost))


def _arrives(source: Objects, target: Objects, name: str, work: Path) -> bool:
    """Copy an object; tell whether the target has it whole then."""
    with suppress(NotFound, BlobCorrupt):
        path = source.download(name, work / name)
        try:
            target.put(path)
        finally:
            path.unlink()
        return True
    with suppress(NotFound, BlobCorrupt):
        target.check(name)
        return True
    return False
