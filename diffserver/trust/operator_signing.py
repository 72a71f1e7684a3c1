"""The operator's own view: metadata that the operator's root vouches for, and signatures on what changes it.

A server asks for signatures; nothing that it says is signed. The change that was asked for is applied here, to
metadata that was verified here, and refused where it contradicts that (`role_changes`). Metadata that was seen is kept
beside the keys, so that a server can't lead back to an older state.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tuf.api.metadata import Metadata

from diffclient.network.transport import Transport
from diffclient.trust.verified_metadata import PATH, Trust, plant_root
from diffserver.errors import Conflict, Invalid, KeyMissing
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.delegation import Holders, holders_of
from diffserver.trust.metadata.model_roles import Line
from diffserver.trust.metadata.next_metadata import MODEL_LIFETIME
from diffserver.trust.metadata.role_changes import Change, from_json_values
from diffserver.trust.metadata.roles import SNAPSHOT, TARGETS, archive_of, delegator
from diffserver.trust.signing import sign

FOLDER = "trusted"


class Witness:
    """A model's roles at a server, each verified from the root in the keys' folder on."""

    def __init__(self, keyring: Keyring, url: str, model: str) -> None:
        """Refresh; raises KeyMissing without a root, TrustError, NetworkError."""
        self._folder, self._model = keyring.folder / FOLDER, model
        if not (self._folder / "root.json").is_file():
            raise KeyMissing(
                f"no root of trust in {self._folder}",
                "run: diffserver keys trust root.json, with the file of the server",
            )
        self._trust = Trust(self._folder, [url.rstrip("/") + PATH], Transport())
        self._trust.refresh()
        self._read: dict[str, Metadata[Any] | None] = {}

    def look(self, role: str) -> Metadata[Any] | None:
        """A role's verified metadata; None if nobody delegates it, or nothing was published under it."""
        if role not in self._read:
            self._read[role] = self._load(role) if self._is_there(role) else None
        return self._read[role]

    def holders(self) -> Holders:
        """Who signs for the model; raises KeyMissing if no one was named."""
        targets = self.look(TARGETS)
        holders = targets and holders_of(targets.signed, self._model)
        if not holders:
            raise KeyMissing(
                f"nobody signs for {self._model}", f"run where the server is: diffserver keys add-model {self._model}"
            )
        return holders

    def _is_there(self, role: str) -> bool:
        if role in (SNAPSHOT, TARGETS):
            return True
        above = self.look(delegator(role))
        return above is not None and holders_of(above.signed, role) is not None and self._is_published(role)

    def _is_published(self, role: str) -> bool:
        snapshot = self.look(SNAPSHOT)
        return snapshot is not None and f"{role}.json" in snapshot.signed.meta

    def _load(self, role: str) -> Metadata[Any]:
        if role not in (SNAPSHOT, TARGETS):
            # A lookup verifies every role on its way; no target has such a name, so it goes as far as the role.
            short = {self._model: "-", archive_of(self._model): "graph"}
            self._trust.info(f"{self._model}/{short.get(role) or 'v' + role.rpartition('-')[2]}/-")
        return Metadata.from_bytes((self._folder / f"{quote(role, '')}.json").read_bytes())


def trust(keyring: Keyring, root: Path) -> int:
    """Make a root what the operator's commands trust; returns its version. Raises NoRoot."""
    keyring.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return plant_root(keyring.folder / FOLDER, root.read_bytes())


def answer(challenge: Mapping[str, Any], asked: Mapping[str, Any], keyring: Keyring, url: str) -> dict[str, Any]:
    """Return the proof that answers a server's challenge, if it asks for what the operator `asked`.

    `asked` holds the members of the change that the operator knows. Raises Conflict, Invalid, KeyMissing, TrustError.
    """
    try:
        model, change = str(challenge["model"]), from_json_values(challenge["change"])
        expires = datetime.fromisoformat(challenge["expires"]).astimezone(UTC)
    except (KeyError, TypeError, ValueError) as error:
        raise Invalid(f"the server's challenge is none ({error})", "is it of this release?") from error
    _require_asked(model, change, asked)
    if not timedelta(0) < expires - datetime.now(UTC) <= MODEL_LIFETIME + timedelta(days=1):
        raise Invalid(f"the server asks for signatures until {expires:%Y-%m-%d}", "check both machines' clocks")
    witness = Witness(keyring, url, model)
    line = Line(model, witness.look)
    change.apply(line)
    holders = witness.holders()
    changed = line.roles(holders, expires, change.every)
    for metadata in changed.values():
        sign(metadata, holders, keyring)
    _require_enough(changed, holders, keyring, model)
    return {
        "expires": expires.isoformat(),
        "versions": {role: metadata.signed.version for role, metadata in changed.items()},
        "signatures": {
            role: [signature.to_dict() for signature in metadata.signatures.values()]
            for role, metadata in changed.items()
        },
    }


def _require_asked(model: str, change: Change, asked: Mapping[str, Any]) -> None:
    said = {"model": model, **change.to_json()}
    if change.kind == "publish":
        said["digest"] = change.manifests[0].to_digest
    odd = [name for name, value in asked.items() if said.get(name) != value]
    if odd:
        raise Conflict(
            f"the server asks to sign another {odd[0]} than you asked for: {change.describe()}",
            "sign nothing for it; look into who runs it",
        )


def _require_enough(changed: Mapping[str, Metadata[Any]], holders: Holders, keyring: Keyring, model: str) -> None:
    if any(len(metadata.signatures) < holders.threshold for metadata in changed.values()):
        have = len(keyring.held(holders.keys))
        raise KeyMissing(
            f"{have} of the {holders.threshold} keys that sign for {model} are in {keyring.folder}",
            "set DIFFSERVER_KEYS or pass --keys; their ids: " + ", ".join(keyid[:12] for keyid in holders.keyids),
        )
