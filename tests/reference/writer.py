"""Write arbitrary payloads: every field and every section as given, valid or not."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.reference.records import HEADER, ONE


@dataclass(frozen=True)
class Book:
    """A codebook: ranges of 2^widths integers from `start` on."""

    start: int
    widths: tuple[int, ...]
    frequencies: tuple[int, ...]

    def spell(self, number: int) -> tuple[int, int]:
        """The symbol that stands for a number, and its extra bits."""
        begin = self.start
        for symbol, width in enumerate(self.widths):
            if begin <= number < begin + (1 << width):
                return symbol, number - begin
            begin += 1 << width
        raise ValueError(f"{number} is in no range")


@dataclass(frozen=True)
class Run:
    """Numbers that share a codebook."""

    book: Book
    numbers: tuple[int, ...]


Edit = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Document:
    """The fields of a payload, in the order of docs/format.md."""

    kind: int
    parent: str
    """The whole digest."""
    tensors: int
    lanes: int
    alpha: int = ONE
    beta: int = ONE
    seed: int = 0
    magic: bytes = b"NDIF"
    version: int = 2
    books: tuple[Book, ...] = ()
    blocks: tuple[int, ...] = ()
    """B of every tensor; 0: not touched."""
    classes: tuple[int, ...] = ()
    """Of every touched tensor, whether it has classes."""
    lines: tuple[int, ...] = ()
    """Numbers of rows and columns."""
    steps: tuple[int, ...] = ()
    exponents: tuple[int, ...] = ()
    grids: tuple[int, ...] = ()
    """Formats 3 and 4: codes of the touched tensors on a grid."""
    alphas: tuple[int, ...] = ()
    """Format 4: sixteenths of the touched tensors that are then on a grid, or I8."""
    uses: tuple[int, ...] = ()
    """Numbers of the touched tensors' codebooks."""
    counts: tuple[int, ...] = ()
    runs: tuple[Run, ...] = ()
    states: int = 1 << 16
    """The final state of every lane."""
    edits: Mapping[str, Edit] = field(default_factory=dict)
    """Changes to the bytes of: content (of the records), frame, symbols, bits, header, whole."""

    def edited(self, part: str, data: bytes) -> bytes:
        """These bytes after the edit of that part."""
        return self.edits[part](data) if part in self.edits else data


def write(document: Document) -> bytes:
    """The payload."""
    spelt = [(run.book, run.book.spell(number)) for run in document.runs for number in run.numbers]
    fields = [(book.widths[symbol], rest) for book, (symbol, rest) in spelt]
    sections = (
        document.edited("frame", frame(document.edited("content", content(document)))),
        document.edited("symbols", symbols(document)),
        document.edited("bits", bits(fields)),
    )
    header = HEADER.pack(
        document.magic, document.version, document.kind, bytes.fromhex(document.parent)[:8], document.alpha,
        document.beta, document.seed, document.tensors, document.lanes, *map(len, sections),
    )  # fmt: skip
    return document.edited("whole", b"".join((document.edited("header", header), *sections)))


def content(document: Document) -> bytes:
    """Return the content of the records."""
    parts = [leb(len(document.books))]
    for book in document.books:
        parts += [leb(len(book.widths)), zigzag(book.start), *map(leb, book.widths), *map(leb, book.frequencies)]
    parts += [*map(leb, document.blocks), *map(leb, document.classes), *map(leb, document.lines)]
    parts += [*map(leb, document.steps), *map(zigzag, document.exponents), *map(leb, document.grids)]
    parts += [*map(leb, document.alphas), *map(leb, document.uses), *map(leb, document.counts)]
    return b"".join(parts)


def leb(number: int) -> bytes:
    """LEB128, shortest."""
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + leb(high) if high else bytes([low])


def zigzag(number: int) -> bytes:
    """LEB128 of a signed number."""
    return leb(2 * number if number >= 0 else -2 * number - 1)


def frame(data: bytes, *, size: int | None = None, dictionary: int = 0, window: int | None = None) -> bytes:
    """A zstandard frame with the data as raw blocks; it declares `size`, or the truth (-1: nothing).

    With `window` (the descriptor's byte) it is no single segment; with `dictionary`, it asks for one.
    """
    declared = len(data) if size is None else size
    single = window is None and declared >= 0
    descriptor = (0xC0 if declared >= 0 else 0) | (0x20 if single else 0) | (3 if dictionary else 0)
    parts = [b"\x28\xb5\x2f\xfd", bytes([descriptor])]
    parts.append(b"" if single else bytes([window or 0x50]))
    parts.append(struct.pack("<I", dictionary) if dictionary else b"")
    parts.append(struct.pack("<Q", declared) if declared >= 0 else b"")
    pieces = [data[at : at + 131_072] for at in range(0, len(data), 131_072)] or [b""]
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        parts += [struct.pack("<I", len(piece) << 3 | last)[:3], piece]
    return b"".join(parts)


def symbols(document: Document) -> bytes:
    """The lanes' states and the words: symbols are pushed last to first, so that they come out first to last."""
    pushes = []
    for run in document.runs:
        for place, number in enumerate(run.numbers):
            symbol, _ = run.book.spell(number)
            below = sum(run.book.frequencies[:symbol])
            pushes.append((place % document.lanes, below, run.book.frequencies[symbol]))
    states, words = [document.states] * document.lanes, []
    for lane, below, frequency in reversed(pushes):
        if states[lane] >= frequency << 20:
            words.append(states[lane] & 0xFFFF)
            states[lane] >>= 16
        high, low = divmod(states[lane], frequency)
        states[lane] = (high << 12) + low + below
    return struct.pack(f"<{len(states)}I", *states) + struct.pack(f"<{len(words)}H", *reversed(words))


def bits(fields: Iterable[tuple[int, int]]) -> bytes:
    """Fields (width, value), padded with zeros to whole bytes."""
    text = "".join(f"{value:0{width}b}" for width, value in fields if width)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


def cover(numbers: Sequence[int], widths: Sequence[int] = (0,)) -> Book:
    """A codebook for these numbers: ranges of these widths, the last for all that follow, up to the largest number."""
    taken: list[int] = []
    end = min(numbers)
    while end <= max(numbers):
        width = widths[min(len(taken), len(widths) - 1)]
        taken.append(min(width, ((1 << 63) - end).bit_length() - 1))
        end += 1 << taken[-1]
    book = Book(min(numbers), tuple(taken), ())
    used = [0] * len(taken)
    for number in numbers:
        used[book.spell(number)[0]] += 1
    return Book(book.start, book.widths, frequencies(used))


def frequencies(used: Sequence[int]) -> tuple[int, ...]:
    """4096 slots shared out by use, one at least for whatever is used."""
    shares = [max(1, count * 4096 // sum(used)) if count else 0 for count in used]
    while sum(shares) != 4096:
        shares[shares.index(max(shares))] += 1 if sum(shares) < 4096 else -1
    return tuple(shares)
