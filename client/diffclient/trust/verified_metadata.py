"""Verified metadata of The Update Framework: a root of trust, a refresh, targets by name.

All of python-tuf's errors become a TrustError by cause here. Durability is left to `durable_updater`, the targets'
custom fields to `target_custom`, the decision to install to the updater.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from tuf.api import exceptions as tuf
from tuf.api.metadata import Metadata, Root, TargetFile
from tuf.api.serialization import DeserializationError

from diffclient import durable
from diffclient.errors import (
    BadSignature,
    DiffClientError,
    ManifestError,
    MetadataExpired,
    MetadataMalformed,
    MetadataMismatch,
    MetadataRolledBack,
    MetadataTooLong,
    NoRoot,
    TrustError,
    UnknownTarget,
)
from diffclient.network.messages import Standing
from diffclient.network.transport import Transport
from diffclient.release.manifest import Blob
from diffclient.trust.durable_updater import LIFE, LONGEST, ROOT, DurableUpdater, MetadataFetcher

PATH = "/v1/tuf"
"""Where a server, or a mirror, keeps metadata."""

_CAUSES: tuple[tuple[type[Exception], type[TrustError]], ...] = (
    (tuf.UnsignedMetadataError, BadSignature),
    (tuf.LengthOrHashMismatchError, MetadataMismatch),
    (tuf.DownloadLengthMismatchError, MetadataTooLong),
    (DeserializationError, MetadataMalformed),
    (tuf.RepositoryError, MetadataMismatch),
)


@dataclass(frozen=True)
class Target:
    """A target in verified metadata: its length and hash, and the custom fields as plain JSON."""

    name: str
    blob: Blob
    custom: Any


class Trust:
    """The metadata in `folder` and the addresses that newer ones come from, in order of preference.

    `longest` is how far ahead a timestamp may expire, None for any. Good for one refresh and the lookups after it.
    Raises NoRoot, StoreFailed.
    """

    def __init__(
        self, folder: Path, bases: Sequence[str], transport: Transport, longest: timedelta | None = LONGEST
    ) -> None:
        if not durable.exists(folder / ROOT):
            raise NoRoot(f"no root of trust in {folder}: `diffclient enroll --force --root root.json` sets one")
        self._folder, self._longest = folder, longest
        self._fetcher = MetadataFetcher(transport, bases)
        self._updater = self._new_updater()

    @property
    def received(self) -> int:
        """The bytes of metadata received so far."""
        return self._fetcher.received

    def refresh(self, standing: Standing | None = None) -> None:
        """Bring root, timestamp, snapshot and top-level targets up to date.

        Where the server says that what is here stands, and none of it has expired, it would send the same bytes: then
        no request is made. Raises TrustError by cause, NetworkError, StoreFailed, NoSpace.
        """
        with _translated(self._updater):
            if standing is not None and self._updater.stands(standing):
                return
        if standing is not None:
            self._updater = self._new_updater()
        with _translated(self._updater):
            self._updater.refresh()

    def find(self, name: str) -> Target | None:
        """Return a target, or None where no metadata names it; fetches the roles on the way to it.

        Raises like `refresh`, and ManifestError on a target that has no SHA-256.
        """
        info = self.info(name)
        if info is None:
            return None
        sha256 = info.hashes.get("sha256", "")
        if len(sha256) != 2 * hashlib.sha256().digest_size or sha256.strip("0123456789abcdef"):
            raise ManifestError(f"{name}: no SHA-256 in lower-case hex is signed for it")
        return Target(name, Blob(sha256, info.length), info.custom)

    def get(self, name: str) -> Target:
        """Return a target like `find`; raises UnknownTarget where there is none."""
        target = self.find(name)
        if target is None:
            raise UnknownTarget(f"no signed metadata names {name}: the server offers what its operator did not sign")
        return target

    def info(self, name: str) -> TargetFile | None:
        """Return a target as python-tuf has it; raises like `refresh`."""
        with _translated(self._updater):
            return self._updater.get_targetinfo(name)

    def _new_updater(self) -> DurableUpdater:
        with _translated():
            return DurableUpdater(self._folder, self._fetcher, self._longest)

    @property
    def prefixed(self) -> bool:
        """Whether the repository names its targets' files by their hashes."""
        return self._updater.prefixed


def plant_root(folder: Path, root: bytes) -> int:
    """Make `root` the root of trust of `folder` and remove all other metadata there; return the root's version.

    Raises NoRoot on bytes that are no root signed by its own keys, NoSpace, StoreFailed.
    """
    version = check_root(root)
    durable.remove(folder)
    durable.make_folder(folder)
    durable.write_file(folder / ROOT, root)
    return version


def check_root(root: bytes) -> int:
    """Return the version of a root that its own keys sign; raises NoRoot."""
    try:
        metadata = Metadata[Root].from_bytes(root)
        metadata.signed.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)
        return int(metadata.signed.version)
    except Exception as error:  # whatever a stranger's file makes a parser do, it is no root
        raise NoRoot(f"that is not a root of trust: {_words(error)}; ask the operator for root.json") from error


@contextlib.contextmanager
def _translated(updater: DurableUpdater | None = None) -> Iterator[None]:
    """Turn every error into one of this client's own."""
    try:
        yield
    except DiffClientError:
        raise
    except tuf.DownloadHTTPError as error:
        # The fetcher's own error, which only python-tuf had to know by another name.
        raise (error.__cause__ or MetadataMismatch(str(error))) from None
    except tuf.ExpiredMetadataError as error:
        raise MetadataExpired(f"{_words(error)} {_by_which_time(updater)}") from error
    except tuf.RepositoryError as error:
        raise _cause(error)(f"{_words(error)}: nothing of it is used; tell the server's operator") from error
    except Exception as error:  # a parser of hostile bytes, and not ours: it must not take the device down
        raise MetadataMalformed(f"the metadata cannot be read: {_words(error)}") from error


def _by_which_time(updater: DurableUpdater | None) -> str:
    """Return the time by which metadata expired, and the remedy."""
    if updater is None or updater.now <= updater.clock:
        now = f"{updater.now:%Y-%m-%d %H:%M} UTC" if updater else "now"
        return (
            f"by this device's clock ({now}): check the clock; if it is right, the server's operator has to renew "
            "the metadata"
        )
    return (
        f"by the time at which this device last accepted metadata ({updater.now:%Y-%m-%d %H:%M} UTC); its clock says "
        f"{updater.clock:%Y-%m-%d %H:%M} UTC: check the clock; if it is right and was ahead then, updates go on by "
        f"themselves, {LIFE.days * 24} hours from now at the latest"
    )


def _cause(error: Exception) -> type[TrustError]:
    """Return the error type for one of python-tuf's errors; a rollback shows only in the message."""
    text = str(error)
    if text.startswith("New ") or ".json version " in text:
        return MetadataRolledBack
    return next((name for kind, name in _CAUSES if isinstance(error, kind)), TrustError)


def _words(error: Exception) -> str:
    return str(error)[:300] or type(error).__name__
