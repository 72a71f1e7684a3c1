"""Requests for signatures as files, which people carry from the server to the machines with keys and back.

A machine that signs checks the request's root against the root that it trusts, and accepts a newer root only if the
trusted one has signed it.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata
from tuf.api.serialization import DeserializationError

from diffclient.durable import write_file
from diffserver.errors import BadSignature, Invalid, MetadataMoved
from diffserver.trust import metadata_rows
from diffserver.trust.key_changes import Request, require_whole
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.next_metadata import least, require_signed, version_after
from diffserver.trust.metadata.roles import ROOT, SNAPSHOT, TARGETS
from diffserver.trust.signing import enact

FORMAT = "diffserver-signing-request-1"


def write(path: Path, request: Request) -> None:
    """Write a request to a file, replacing an earlier state."""
    value = {"format": FORMAT, "metadata": _plain(request.metadata), "before": _plain(request.before)}
    write_file(path, json.dumps(value).encode())


def read(path: Path) -> Request:
    """Read a request from a file; raises Invalid."""
    try:
        value = json.loads(path.read_bytes())
        if value["format"] != FORMAT or not value["before"].keys() >= {ROOT, TARGETS}:
            raise Invalid(f"{path} is not a request of this release", "update diffserver here")
        return Request(_metadata(value["metadata"]), _metadata(value["before"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DeserializationError) as error:
        raise Invalid(f"{path} is no request for signatures ({error})", "prepare it again") from error


def require_trusted(request: Request, trusted: Path) -> None:
    """Raise BadSignature unless the request follows the root in the file `trusted`, which is written if missing."""
    root = request.before[ROOT]
    if not trusted.is_file():
        trusted.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(trusted, root.to_bytes())
    current = Metadata.from_bytes(trusted.read_bytes())
    signers = [current, root] if root.signed.version != current.signed.version else [current]
    try:
        for signer in signers:
            signer.signed.verify_delegate(ROOT, root.signed_bytes, root.signatures)
        root.signed.verify_delegate(TARGETS, (targets := request.before[TARGETS]).signed_bytes, targets.signatures)
    except UnsignedMetadataError as error:
        raise BadSignature(
            f"the request does not follow the root in {trusted}: {error}",
            "make sure who wrote it; if roots are missing in between, bring a newer root.json here",
        ) from error
    if root.signed.version < current.signed.version:
        raise BadSignature(f"the request follows a root older than that in {trusted}", "prepare it again")


def submit(session: Session, request: Request, keyring: Keyring, moment: datetime) -> None:
    """Put a request's metadata in force; raises MetadataMoved, BadSignature, KeyMissing."""
    metadata_rows.lock(session)
    in_force = metadata_rows.CurrentMetadata(session)
    for role, metadata in request.metadata.items():
        lowest = 1 if role == ROOT else least(in_force.get(SNAPSHOT))
        if metadata.signed.version != version_after(in_force.get(role), lowest):
            raise MetadataMoved(f"{role} has been replaced since the request was made", "prepare it again")
    lookup = metadata_rows.overlaid(request.metadata, in_force.get)
    require_signed(require_whole(request, lookup), lookup)
    enact(session, request.metadata, keyring, moment)


def _plain(metadata: Mapping[str, Metadata[Any]]) -> dict[str, Any]:
    return {role: json.loads(signed.to_bytes()) for role, signed in metadata.items()}


def _metadata(value: Mapping[str, Any]) -> dict[str, Metadata[Any]]:
    return {role: Metadata.from_dict(fields) for role, fields in value.items()}
