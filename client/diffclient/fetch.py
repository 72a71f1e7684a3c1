"""Fetching blobs by their SHA-256: resumable, never longer than promised, verified, durable.

What arrives is kept in `<downloads>/<sha256>.part`, whatever interrupts it, and the next attempt continues
there. Which blobs are worth fetching is decided by others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from diffclient import durable
from diffclient.errors import AnswerError, DigestMismatch, Interrupted, ServerRefused, WrongLength
from diffclient.manifest import Blob
from diffclient.transport import CHUNK, Response, Transport

Progress = Callable[[Blob, int], None]
"""Called with a blob and how many of its bytes are here; may raise to stop."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_REDIRECTS = 3
_OUT_OF_RANGE = 416


class Fetcher:
    """Fetches from one server into one folder; `received` counts the bytes of all bodies so far."""

    def __init__(
        self,
        transport: Transport,
        server: str,
        downloads: Path,
        on_progress: Progress = lambda _blob, _done: None,
    ) -> None:
        self._transport = transport
        self._server = server
        self._downloads = downloads
        self._on_progress = on_progress
        self.received = 0

    def fetch(self, blob: Blob, target: Path) -> None:
        """Bring `blob` to `target`, whole and verified.

        Raises NoSpace, StoreFailed, ServerUnreachable (what arrived is kept), ServerRefused, WrongLength,
        DigestMismatch, AnswerError.
        """
        part = self._part(blob)
        resumed = part.exists()
        try:
            self._transport.persist(lambda: self._attempt(blob, part))
        except DigestMismatch:
            if not resumed:
                raise
            # The kept part itself may have been damaged: begin afresh, once.
            self._transport.persist(lambda: self._attempt(blob, part))
        durable.rename(part, target)

    def arrived(self, blob: Blob) -> int:
        """Return how many bytes of a blob are here from earlier attempts."""
        part = self._part(blob)
        with durable.disk_errors(part):
            return min(part.stat().st_size, blob.length) if part.exists() else 0

    def _part(self, blob: Blob) -> Path:
        return self._downloads / f"{blob.sha256}.part"

    def _attempt(self, blob: Blob, part: Path) -> None:
        """Continue `part` to the blob's length and verify it; removes a part that cannot be continued."""
        try:
            with durable.disk_errors(part, blob.length), part.open("ab") as file:
                start = file.tell() if file.tell() <= blob.length else file.truncate(0)
                durable.require_space(part.parent, blob.length - start)
                if start < blob.length:
                    self._continue(blob, file, start)
            durable.sync(part)
            if durable.sha256(part) != blob.sha256:
                raise DigestMismatch(f"blob {blob.sha256} arrived altered: tell the operator of the server")
        except (WrongLength, DigestMismatch):
            durable.remove(part)
            raise

    def _continue(self, blob: Blob, file: BinaryIO, start: int) -> None:
        """Append the blob's bytes from `start` on; what arrived is synced even if the rest does not."""
        url = f"{self._server}/v1/blobs/{blob.sha256}"
        # A blob's ETag is its digest, so resuming needs no memory of the first answer.
        resume = {"Range": f"bytes={start}-", "If-Range": f'"{blob.sha256}"'} if start else {}
        try:
            with self._transport.open("GET", url, resume, redirects=_REDIRECTS) as response:
                self._receive(blob, response, file, file.truncate(_offset(response, blob, start)))
        except ServerRefused as error:
            if error.status == _OUT_OF_RANGE:
                raise WrongLength(f"{url} is shorter than the {blob.length:,} bytes promised") from error
            raise
        finally:
            durable.settle(file)

    def _receive(self, blob: Blob, response: Response, file: BinaryIO, done: int) -> None:
        while chunk := response.read1(CHUNK, decode_content=False):
            self.received += len(chunk)
            done += len(chunk)
            if done > blob.length:
                raise WrongLength(f"the server sends more than the {blob.length:,} bytes promised")
            file.write(chunk)
            file.flush()  # a process that is killed leaves what it was given
            self._on_progress(blob, done)
        if done < blob.length:
            raise Interrupted(f"blob {blob.sha256} ended after {done:,} of {blob.length:,} bytes")


def _offset(response: Response, blob: Blob, start: int) -> int:
    """Return where the body belongs in the blob: at `start`, or at 0 where the server ignores ranges."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise AnswerError("the server compresses a blob that was asked for as it is")
    if response.status == 206:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if not found or [int(group) for group in found.groups()] != [start, blob.length - 1, blob.length]:
            raise WrongLength(f"the server offers another range than bytes {start}-{blob.length - 1}")
        return start
    declared = response.headers.get("Content-Length")
    if declared is not None and declared != str(blob.length):
        raise WrongLength(f"the server offers {declared[:20]} bytes where {blob.length:,} were promised")
    return 0
