"""Fetching blobs by their digest: resumable, never longer than promised, verified, durable, from several mirrors.

What arrives is kept in `<downloads>/<digest>.part`, whatever interrupts it, and the next attempt continues there,
at the same mirror or another. Choosing the blobs to fetch is left to the updater.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from diffclient import durable
from diffclient.errors import (
    AnswerError,
    DiffClientError,
    DigestMismatch,
    Interrupted,
    NetworkError,
    ServerRefused,
    ServerUnreachable,
    WrongLength,
)
from diffclient.network.transport import Response, Transport
from diffclient.release.manifest import Blob

Progress = Callable[["Source", int], None]
"""Called with what is being fetched and how many of its bytes are here; may raise to stop."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_REDIRECTS = 3
_OUT_OF_RANGE = 416


@dataclass(frozen=True)
class Source:
    """A URL and the bytes expected there: their length and their digest (hex)."""

    url: str
    length: int
    digest: str
    algorithm: str = "sha256"


class Fetcher:
    """Downloads into one folder from servers that hold the same blobs; `received` counts the bytes of all bodies.

    `bases` are their addresses; the last one that served is asked first.
    """

    def __init__(
        self,
        transport: Transport,
        bases: Sequence[str],
        downloads: Path,
        on_progress: Progress = lambda _source, _done: None,
    ) -> None:
        self._transport = transport
        self._bases = [base.rstrip("/") for base in bases]
        self._downloads = downloads
        self._on_progress = on_progress
        self.received = 0

    def fetch(self, blob: Blob, target: Path) -> None:
        """Bring `blob` to `target`, whole and verified.

        Raises NoSpace, StoreFailed, ServerUnreachable and TooSlow (what arrived is kept), ServerRefused, WrongLength,
        DigestMismatch, AnswerError: of the first mirror asked, unless another could only not be reached; that error's
        cause is then what the first one did.
        """
        sources = [Source(f"{base}/v1/blobs/{blob.sha256}", blob.length, blob.sha256) for base in self._bases]
        served = self.bring(sources, target)
        self._bases.insert(0, self._bases.pop(sources.index(served)))

    def bring(self, sources: Sequence[Source], target: Path) -> Source:
        """Bring the bytes that all the sources hold to `target`; return the one that served. Raises like `fetch`."""
        part = self._part(sources[0].digest)
        asked, refused = list(sources), list[DiffClientError]()
        try:
            served = self._transport.persist(lambda: self._from_any(asked, refused, part))
        except ServerUnreachable as error:
            if refused:
                raise error from refused[0]
            raise
        durable.rename(part, target)
        return served

    def arrived(self, blob: Blob) -> int:
        """Return how many bytes of a blob earlier attempts have left here."""
        part = self._part(blob.sha256)
        with durable.disk_errors(part):
            return min(part.stat().st_size, blob.length) if part.exists() else 0

    def _part(self, digest: str) -> Path:
        return self._downloads / f"{digest}.part"

    def _from_any(self, asked: list[Source], refused: list[DiffClientError], part: Path) -> Source:
        """Try one source after the other; one that has the wrong bytes, or refuses, is not asked again."""
        failures: list[DiffClientError] = []
        for source in list(asked):
            try:
                self._from_one(source, part)
                return source
            except ServerUnreachable as error:
                failures.append(error)
            except (NetworkError, AnswerError, DigestMismatch) as error:
                asked.remove(source)
                refused.append(error)
        raise (failures or refused)[0]

    def _from_one(self, source: Source, part: Path) -> None:
        resumed = durable.exists(part)
        try:
            self._attempt(source, part)
        except DigestMismatch:
            if not resumed:
                raise
            # What was there before, from another mirror or a damaged disk, may be to blame: begin afresh, once.
            self._attempt(source, part)

    def _attempt(self, source: Source, part: Path) -> None:
        """Download the rest of `part` and verify it; remove a part that cannot be continued."""
        try:
            with durable.disk_errors(part, source.length), part.open("ab") as file:
                start = file.tell() if file.tell() <= source.length else file.truncate(0)
                durable.require_space(part.parent, source.length - start)
                if start < source.length:
                    self._continue(source, file, start)
            durable.sync(part)
            if durable.digest(part, source.algorithm) != source.digest:
                raise DigestMismatch(f"{source.url} arrived altered: tell the operator of that server")
        except (WrongLength, DigestMismatch):
            durable.remove(part)
            raise

    def _continue(self, source: Source, file: BinaryIO, start: int) -> None:
        """Append the bytes from `start` on; what arrives is synced even if the download breaks off."""
        # A blob's ETag is its digest, so resuming needs no memory of the first answer.
        resume = {"Range": f"bytes={start}-", "If-Range": f'"{source.digest}"'} if start else {}
        try:
            with self._transport.open("GET", source.url, resume, redirects=_REDIRECTS, seconds=math.inf) as response:
                self._receive(source, response, file, file.truncate(_offset(response, source, start)))
        except ServerRefused as error:
            if error.status == _OUT_OF_RANGE:
                raise WrongLength(f"{source.url} is shorter than the {source.length:,} bytes promised") from error
            raise
        finally:
            durable.settle(file)

    def _receive(self, source: Source, response: Response, file: BinaryIO, done: int) -> None:
        for piece in response.pieces:
            self.received += len(piece)
            done += len(piece)
            if done > source.length:
                raise WrongLength(f"{source.url} sends more than the {source.length:,} bytes promised")
            file.write(piece)
            file.flush()  # a process that is killed leaves what it was given
            self._on_progress(source, done)
        if done < source.length:
            raise Interrupted(f"{source.url} ended after {done:,} of {source.length:,} bytes")


def _offset(response: Response, source: Source, start: int) -> int:
    """Return the body's offset in the blob: `start`, or 0 where the server ignores ranges."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise AnswerError("the server compresses a blob that was asked for as it is")
    if response.status == 206:
        offered = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if not offered or [int(group) for group in offered.groups()] != [
            start,
            source.length - 1,
            source.length,
        ]:
            raise WrongLength(f"the server offers another range than bytes {start}-{source.length - 1}")
        return start
    declared = response.headers.get("Content-Length")
    if declared is not None and declared != str(source.length):
        raise WrongLength(f"the server offers {declared[:20]} bytes where {source.length:,} were promised")
    return 0
