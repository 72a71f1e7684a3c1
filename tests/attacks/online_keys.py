"""Attackers with the keys of snapshot and timestamp, or with fewer keys than a threshold."""

from __future__ import annotations

import json

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import MetaFile

from diffclient.errors import (
    BadSignature,
    MetadataMalformed,
    MetadataRolledBack,
)
from tests.attacks.attack import (
    Attack,
    Move,
    with_keys_of,
)
from tests.client.conftest import Device
from tests.client.lineage import MODEL
from tests.client.repository import Repository

TIMESTAMP = "timestamp.json"


def _snapshot_of_old(device: Device) -> None:
    repository = device.server.repository
    repository.metadata["snapshot"].signed.version -= 2
    repository.write("snapshot")
    repository.write("timestamp")


def _role(change: MetaFile | None) -> Move:
    """A snapshot that knows another version of the model's role, or none."""

    def move(device: Device) -> None:
        repository = device.server.repository
        signed = repository.metadata["snapshot"].signed
        signed.meta.pop(f"{MODEL}.json")
        if change:
            signed.meta[f"{MODEL}.json"] = change
        signed.version += 1
        repository.serve("snapshot")
        repository.write("timestamp")

    return move


def _signed_with(role: str, other: str) -> Move:
    return with_keys_of(role, lambda _repository: other)


ONLINE = [
    Attack("rollback: an older snapshot, signed", "trust", MetadataRolledBack, _snapshot_of_old),
    Attack("rollback: an older model role, signed", "trust", MetadataRolledBack, _role(MetaFile(1))),
    Attack("a model role that disappears", "trust", MetadataRolledBack, _role(None)),
    Attack("a model role signed with the online key", "chain", BadSignature, _signed_with(MODEL, "snapshot")),
    Attack("targets signed with the online key", "trust", BadSignature, _signed_with("targets", "timestamp")),
    Attack("a timestamp signed with the snapshot's key", "trust", BadSignature, _signed_with("timestamp", "snapshot")),
]  # fmt: skip


# Thresholds


def _two_needed(role: str, signing: int) -> Move:
    """A new root asks for two keys of a role, and so many of them sign."""

    def move(device: Device) -> None:
        repository = device.server.repository
        second = CryptoSigner.generate_ed25519()
        repository.root.add_key(second.public_key, role)
        repository.root.roles[role].threshold = 2
        repository.write("root")
        repository.signers[role] = [repository.signers[role][0], second][:signing]
        for each in ("targets", "snapshot", "timestamp"):
            repository.write(each)

    return move


def _signed_twice(device: Device) -> None:
    _two_needed("timestamp", 1)(device)
    files = device.server.repository.files
    said = json.loads(files[TIMESTAMP])
    files[TIMESTAMP] = json.dumps(said | {"signatures": said["signatures"] * 2}).encode()


def _root_below_its_own(device: Device) -> None:
    """A root whose threshold is two, signed by the one key before it."""
    repository = device.server.repository
    repository.root.add_key(CryptoSigner.generate_ed25519().public_key, "root")
    repository.root.roles["root"].threshold = 2
    repository.write("root")


def _root_without_the_old_key(device: Device) -> None:
    repository = device.server.repository
    repository.rotate("root")
    metadata = repository.metadata["root"]
    metadata.signatures.clear()
    metadata.sign(repository.signers["root"][0])
    repository.files["2.root.json"] = metadata.to_bytes()


THRESHOLDS = [
    Attack("targets below the threshold", "trust", BadSignature, _two_needed("targets", 1)),
    Attack("a timestamp below the threshold", "trust", BadSignature, _two_needed("timestamp", 1)),
    Attack("one key that signs twice", "trust", MetadataMalformed, _signed_twice),
    Attack("a root below its own threshold", "trust", BadSignature, _root_below_its_own),
    Attack("a root without the one before it", "trust", BadSignature, _root_without_the_old_key),
    Attack("a model role of a stranger", "chain", BadSignature, with_keys_of(MODEL, lambda _r: Repository(MODEL))),
]
