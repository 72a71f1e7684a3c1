"""Get a device's first root of trust: from a file, or from the server by a digest that the owner gives.

A root is never taken on a server's word alone. Storing it is left to `verified_metadata`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from diffclient.errors import AnswerTooLong, NoRoot
from diffclient.network.device_api import base_url
from diffclient.network.transport import Transport, read_bounded
from diffclient.trust.durable_updater import LIMITS
from diffclient.trust.verified_metadata import PATH, check_root


def root_of_trust(transport: Transport, server: str, file: Path | None, sha256: str | None) -> bytes:
    """Return the root from `file`, or the server's first one if it has this SHA-256 (hex); both may be given.

    Raises NoRoot, NetworkError, StoreFailed.
    """
    if file is None and sha256 is None:
        raise NoRoot(
            "a device trusts only what a root of trust vouches for: give --root root.json, the file that "
            "`diffserver keys show` names, or --root-sha256 with its digest"
        )
    data = _read(file) if file else _fetch(transport, f"{base_url(server)}{PATH}/1.root.json")
    actual = hashlib.sha256(data).hexdigest()
    if sha256 is not None and actual != sha256.lower():
        raise NoRoot(f"the SHA-256 of the root is {actual}, not {sha256[:80]}: do not trust it, ask the operator")
    check_root(data)
    return data


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(LIMITS.root_max_length)
    except OSError as error:
        raise NoRoot(f"{file}: {error.strerror or error}; give the root.json that the operator has") from error


def _fetch(transport: Transport, url: str) -> bytes:
    try:
        with transport.open("GET", url, {}) as response:
            return read_bounded(response, LIMITS.root_max_length)
    except AnswerTooLong as error:
        raise NoRoot(f"{url} is too long for a root of trust") from error
