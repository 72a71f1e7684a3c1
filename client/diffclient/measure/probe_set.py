"""A part of the probe set: a zip with `probe.jsonl` and the files that its lines name, compressed as a whole or not.

Read in memory and by name, so that no path of an archive ever touches the disk. What the files hold is for others
to decode, audio for the recogniser.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import zstandard

from diffclient.errors import ProbeError
from diffclient.strict_json import Fields, parse

T = TypeVar("T")

INDEX = "probe.jsonl"
FILE_LIMIT = 10_000

CONTENT_LIMIT = 1 << 24
"""The most bytes of a compressed part's content, which is held in memory."""


@dataclass(frozen=True)
class Utterance:
    """One labelled recording: the bytes of its audio file, and the words said in it."""

    audio: bytes
    text: str


def read_probe(path: Path) -> list[Utterance]:
    """Read a part of a recogniser's probe set; raises ProbeError."""
    return read_part(path, lambda fields, open_: Utterance(open_(fields.text("audio_filepath")), _words(fields)))


def read_part(path: Path, read: Callable[[Fields, Callable[[str], bytes]], T]) -> list[T]:
    """Return what `read` makes of each line's fields, given what opens the files of the part; raises ProbeError."""
    try:
        with _opened(path) as file, zipfile.ZipFile(file) as archive:
            _check(archive, file.seek(0, io.SEEK_END))
            return [read(fields, partial(_member, archive)) for fields in _lines(archive)]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        raise ProbeError(f"{path.name} is not a part of a probe set: {error}") from error


def _opened(path: Path) -> BinaryIO:
    """Open the zip that a part is, or that it has in a zstandard frame; raises ProbeError."""
    file = path.open("rb")
    if file.read(len(zstandard.FRAME_HEADER)) != zstandard.FRAME_HEADER:
        return file
    with file:
        file.seek(0)
        return io.BytesIO(_content(file.read()))


def _content(frame: bytes) -> bytes:
    """Return what a frame holds, which says how much that is; raises ProbeError."""
    try:
        size = zstandard.get_frame_parameters(frame).content_size
        if not 0 < size <= CONTENT_LIMIT:
            raise ProbeError(f"a compressed part of a probe set says that it has 1 to {CONTENT_LIMIT:,} bytes")
        content = zstandard.ZstdDecompressor().decompress(frame, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ProbeError(f"a part of a probe set is compressed, and cannot be read: {error}") from error
    return content


def _check(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse whatever could ask for more memory than the archive itself takes."""
    members = archive.infolist()
    if len(members) > FILE_LIMIT + 1 or len(set(archive.namelist())) != len(members):
        raise ProbeError(f"a part of a probe set has at most {FILE_LIMIT:,} files, each named once")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ProbeError("the files in a part of a probe set are not compressed by themselves")
    if sum(member.file_size for member in members) > size:
        raise ProbeError("the files of the archive overlap")


def _lines(archive: zipfile.ZipFile) -> Iterator[Fields]:
    for number, line in enumerate(_member(archive, INDEX).splitlines(), 1):
        if line.strip():
            yield parse(line, f"{INDEX}, line {number}", ProbeError)


def _words(fields: Fields) -> str:
    # An utterance may be silence: its text is empty then.
    return "" if fields.values.get("text") == "" else fields.text("text")


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except KeyError as error:
        raise ProbeError(f"the archive lacks {name!r}, which it names") from error
