"""Looking for damage: every object and every payload is read and compared with what rows say of it."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from obstore.exceptions import BaseError as StoreError
from sqlalchemy import Engine, func, select

from diffserver.errors import NotFound
from diffserver.storage.database import reading
from diffserver.storage.object_store import CHUNK, PART, Objects
from diffserver.upkeep.named_bytes import Held, Named, held_payloads, named_objects

Problem = Literal["missing", "altered", "unreadable"]

OnBytes = Callable[[int], None]
"""Called with how many bytes were read since the last call."""


@dataclass(frozen=True)
class Damage:
    """Bytes that are not what their name says, and what they should be."""

    bytes: Named
    problem: Problem


@dataclass(frozen=True)
class Inventory:
    """All that there should be, and the objects that are there though nothing names them."""

    objects: tuple[Named, ...]
    payloads: tuple[Held, ...]
    unnamed: tuple[Named, ...]

    @property
    def parts(self) -> tuple[Named, ...]:
        """All of it, in the order in which it is read."""
        return (*self.payloads, *self.objects, *self.unnamed)

    @property
    def length(self) -> int:
        """The bytes that there are to read."""
        return sum(part.length or 0 for part in self.parts)


def take_inventory(engine: Engine, objects: Objects) -> Inventory:
    """Return the list of what is to be read."""
    stored = {item.sha256: item.length for item in objects.list_all()}
    with reading(engine) as session:
        named, payloads = named_objects(session), tuple(held_payloads(session))
    unnamed = (Named(sha256, length, None) for sha256, length in stored.items() if sha256 not in named)
    return Inventory(tuple(named.values()), payloads, tuple(unnamed))


def find_damage(engine: Engine, objects: Objects, parts: Inventory, on_bytes: OnBytes = lambda _: None) -> list[Damage]:
    """Read every byte and return what is damaged."""
    read = ((part, _problem(part, engine, objects, on_bytes)) for part in parts.parts)
    damages = [Damage(part, problem) for part, problem in read if problem]
    # What was published or removed while others were read is not missing.
    still = set(take_inventory(engine, objects).parts) if damages else set()
    return [damage for damage in damages if damage.bytes in still]


def _problem(part: Named, engine: Engine, objects: Objects, on_bytes: OnBytes) -> Problem | None:
    """Read some bytes and return what is wrong with them; None if nothing is."""
    digest = hashlib.sha256()
    try:
        for piece in _pieces_of_row(engine, part) if isinstance(part, Held) else objects.stream(part.sha256, part=PART):
            digest.update(piece)
            on_bytes(len(piece))
    except NotFound:
        return "missing"
    except (StoreError, OSError):
        return "unreadable"
    return None if digest.hexdigest() == part.sha256 else "altered"


def _pieces_of_row(engine: Engine, held: Held) -> Iterator[bytes]:
    with reading(engine) as session:
        length = session.scalar(select(func.length(held.column)).where(held.where))
    if length is None:
        raise NotFound(f"no row holds {held.what}")
    for place in range(0, length, CHUNK):
        piece = func.substr(held.column, place + 1, CHUNK)
        with reading(engine) as session:
            yield session.execute(select(piece).where(held.where)).scalar_one()
