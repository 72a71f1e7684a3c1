"""Ways to spoil a document."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

from tests.reference.documents import book_for
from tests.reference.writer import Document, Edit, Run, content, frame

Change = Callable[[Document], Document]


def fields(**changed: object) -> Change:
    """Other values for fields."""
    return lambda document: replace(document, **changed)  # type: ignore[arg-type]


def edit(part: str, change: Edit) -> Change:
    """Other bytes for a part."""
    return lambda document: replace(document, edits={part: change})


def add(part: str, more: bytes) -> Change:
    """Bytes after the end of a part."""
    return edit(part, lambda data: data + more)


def cut(part: str, length: int) -> Change:
    """A part without its last bytes."""
    return edit(part, lambda data: data[:-length])


def put(part: str, at: int, new: bytes) -> Change:
    """Other bytes in the middle of a part."""
    return edit(part, lambda data: data[:at] + new + data[at:][len(new) :])


def framed(make: Callable[[bytes], bytes]) -> Change:
    """Records in another frame, made from their content."""
    return lambda document: replace(document, edits={"frame": lambda _: make(content(document))})


def book(number: int, **changed: object) -> Change:
    """Another spelling of a codebook than the one that was coded with."""

    def change(document: Document) -> Document:
        books = list(document.books)
        books[number] = replace(books[number], **changed)  # type: ignore[arg-type]
        return replace(document, books=tuple(books))

    return change


def run(number: int, *numbers: int) -> Change:
    """Other numbers in a run, with a codebook that has them."""

    def change(document: Document) -> Document:
        runs = list(document.runs)
        old, new = runs[number].book, book_for(numbers, ())
        runs[number] = Run(new, numbers)
        books = tuple(new if known == old else known for known in document.books)
        return replace(document, runs=tuple(runs), books=books)

    return change


def both(*changes: Change) -> Change:
    """One change after the other."""

    def change(document: Document) -> Document:
        for each in changes:
            document = each(document)
        return document

    return change


def lengths(records: int = 0, symbols: int = 0, bits: int = 0) -> Change:
    """Section lengths that are off by so much."""

    def change(header: bytes) -> bytes:
        old = struct.unpack("<3I", header[32:])
        shifted = (o + by & 0xFFFFFFFF for o, by in zip(old, (records, symbols, bits), strict=True))
        return header[:32] + struct.pack("<3I", *shifted)

    return edit("header", change)


def rle(size: int, declared: int) -> bytes:
    """A frame that repeats a zero `size` times, at 4 bytes for each 128 KiB."""
    whole = frame(b"", size=declared)
    blocks = [min(131_072, size - at) for at in range(0, size, 131_072)]
    parts = [struct.pack("<I", length << 3 | 2 | (n == len(blocks) - 1))[:3] + b"\0" for n, length in enumerate(blocks)]
    return whole[:-3] + b"".join(parts)
