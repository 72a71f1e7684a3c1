"""Sign changes as an operator who does not trust the server: verify its metadata, apply the change here, sign that.

Nothing that the server sends is signed as it is. The requested change is applied to metadata verified from the
operator's root, and refused where it contradicts that (`role_changes`). Verified metadata is kept beside the keys, so
that a server can't roll back to an older state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tuf.api.exceptions import DownloadHTTPError, UnsignedMetadataError
from tuf.api.metadata import Metadata
from tuf.api.serialization import DeserializationError

from diffclient.network.transport import Transport
from diffclient.trust.durable_updater import LIMITS, MetadataFetcher
from diffclient.trust.verified_metadata import PATH, Trust, plant_root
from diffserver.errors import BadSignature, Conflict, Invalid, KeyMissing
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.delegation import Holders, holders_of
from diffserver.trust.metadata.next_metadata import MODEL_LIFETIME
from diffserver.trust.metadata.role_changes import Change, Permit, Publish, Restored, from_json_values
from diffserver.trust.metadata.roles import SNAPSHOT, TARGETS, archive_of, delegator, file_name
from diffserver.trust.sign_change import changed_by
from diffserver.trust.signing import sign

TRUSTED_FOLDER = "trusted"


class OperatorView:
    """A model's roles at a server, each verified from the root of trust in the keys' folder.

    `restored` names roles that are taken at an older version, as a backup has them, though the snapshot says a newer
    one that does not exist yet: whoever signs that has to know that the server was restored.
    """

    def __init__(self, keyring: Keyring, url: str, model: str, restored: Mapping[str, int] | None = None) -> None:
        """Refresh the metadata; raises KeyMissing without a root, TrustError, NetworkError."""
        self._folder, self._model, self._restored = keyring.folder / TRUSTED_FOLDER, model, restored or {}
        self._url = url.rstrip("/") + PATH
        if not (self._folder / "root.json").is_file():
            raise KeyMissing(
                f"no root of trust in {self._folder}",
                "run: diffserver keys trust root.json, with the file of the server",
            )
        self._trust = Trust(self._folder, [self._url], Transport())
        self._trust.refresh()
        self._read: dict[str, Metadata[Any] | None] = {}

    def get(self, role: str) -> Metadata[Any] | None:
        """Return a role's verified metadata; None if it is not delegated or not published."""
        if role not in self._read:
            self._read[role] = self._load(role) if self._is_there(role) else None
        return self._read[role]

    def holders(self) -> Holders:
        """Return the holders of the model's role; raises KeyMissing if there are none."""
        targets = self.get(TARGETS)
        holders = targets and holders_of(targets.signed, self._model)
        if not holders:
            raise KeyMissing(
                f"nobody signs for {self._model}", f"run where the server is: diffserver keys add-model {self._model}"
            )
        return holders

    def _is_there(self, role: str) -> bool:
        if role in (SNAPSHOT, TARGETS):
            return True
        above = self.get(delegator(role))
        return above is not None and holders_of(above.signed, role) is not None and self._is_published(role)

    def _is_published(self, role: str) -> bool:
        snapshot = self.get(SNAPSHOT)
        return snapshot is not None and f"{role}.json" in snapshot.signed.meta

    def _load(self, role: str) -> Metadata[Any]:
        if role in self._restored:
            return self._load_restored(role, self._restored[role])
        if role not in (SNAPSHOT, TARGETS):
            # Looking up a name that no target has verifies every role on the way down to this one.
            lookup_names = {self._model: "-", archive_of(self._model): "graph"}
            self._trust.info(f"{self._model}/{lookup_names.get(role) or 'v' + role.rpartition('-')[2]}/-")
        return Metadata.from_bytes((self._folder / f"{quote(role, '')}.json").read_bytes())

    def _load_restored(self, role: str, version: int) -> Metadata[Any]:
        """Return an older version of a role, which its holders signed; raises BadSignature."""
        above = self.get(delegator(role))
        assert above is not None  # or the role would not be looked for
        fetcher = MetadataFetcher(Transport(), [self._url])
        try:
            data = fetcher.download_bytes(f"/{file_name(role, version)}", LIMITS.targets_max_length)
            metadata = Metadata.from_bytes(data)
            above.signed.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
        except (DownloadHTTPError, DeserializationError, UnsignedMetadataError) as error:
            raise BadSignature(f"version {version} of {role} is not signed as it must be: {error}") from error
        return metadata


def trust(keyring: Keyring, root: Path) -> int:
    """Make a root the root of trust of the operator's commands; return its version. Raises NoRoot."""
    keyring.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return plant_root(keyring.folder / TRUSTED_FOLDER, root.read_bytes())


@dataclass(frozen=True)
class Signed:
    """A proof as it is sent, and the change that it is of, in one line."""

    proof: Mapping[str, Any]
    change: str


def answer(challenge: Mapping[str, Any], expected: Mapping[str, Any], keyring: Keyring, url: str) -> Signed:
    """Return the proof that answers a server's challenge, if the change is the `expected` one.

    `expected` holds the members that the operator knows; of a permission to go back, a version that it is to. Raises
    Conflict, Invalid, KeyMissing, TrustError.
    """
    try:
        model, change = str(challenge["model"]), from_json_values(challenge["change"])
        expires = datetime.fromisoformat(challenge["expires"]).astimezone(UTC)
        restored = {str(role): int(version) for role, version in challenge.get("restored", {}).items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Invalid(f"the server's challenge is none ({error})", "is it of this release?") from error
    _require_expected(model, change, expected)
    if not timedelta(0) < expires - datetime.now(UTC) <= MODEL_LIFETIME + timedelta(days=1):
        raise Invalid(f"the server asks for signatures until {expires:%Y-%m-%d}", "check both machines' clocks")
    view = OperatorView(keyring, url, model, restored if isinstance(change, Restored) else None)
    holders = view.holders()
    changed = changed_by(change, model, holders, view.get, expires)
    for metadata in changed.values():
        sign(metadata, holders, keyring)
    _require_enough(changed, holders, keyring, model)
    proof = {
        "expires": expires.isoformat(),
        "versions": {role: metadata.signed.version for role, metadata in changed.items()},
        "signatures": {
            role: [signature.to_dict() for signature in metadata.signatures.values()]
            for role, metadata in changed.items()
        },
        "returns": [one.version for one in change.returns] if isinstance(change, Publish | Permit | Restored) else [],
    }
    return Signed(proof, change.describe())


def _require_expected(model: str, change: Change, expected: Mapping[str, Any]) -> None:
    if isinstance(change, Restored) and expected.get("kind") == "renew":
        raise Conflict(
            f"the server says that it was restored from a backup: {change.describe()}",
            "if you know that it was, pass --restored",
        )
    if change.kind == "renew" and expected.get("kind") == "restored":
        raise Conflict(f"all of {model} was signed since its server was restored", "leave out --restored")
    offered = {"model": model, **change.to_json()}
    if change.kind == "publish":
        offered["digest"] = change.manifests[0].to_digest
    if change.kind == "permit" and expected.get("version") in [one.version for one in change.returns]:
        offered["version"] = expected["version"]
    differing = [name for name, value in expected.items() if offered.get(name) != value]
    if differing:
        raise Conflict(
            f"the server asks to sign another {differing[0]} than you asked for: {change.describe()}",
            "sign nothing for it; look into who runs it",
        )


def _require_enough(changed: Mapping[str, Metadata[Any]], holders: Holders, keyring: Keyring, model: str) -> None:
    if any(len(metadata.signatures) < holders.threshold for metadata in changed.values()):
        held = len(keyring.held(holders.keys))
        raise KeyMissing(
            f"{held} of the {holders.threshold} keys that sign for {model} are in {keyring.folder}",
            "set DIFFSERVER_KEYS or pass --keys; their ids: " + ", ".join(keyid[:12] for keyid in holders.keyids),
        )
