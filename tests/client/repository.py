"""A TUF repository in memory: real keys and signatures, in the layout that servers publish.

Honest until a test changes `metadata` and writes a role again; nothing is written without being signed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from diffclient.release import target_custom
from diffclient.release.manifest import Blob, Manifest
from diffclient.release.target_custom import Downgrade
from diffclient.release.target_names import SHARD, downgrade_name, parse, snapshot_name

ONLINE = ("snapshot", "timestamp")


class Repository:
    """One model's metadata; `files` holds what is served under /v1/tuf, by name."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.archive = f"{model}+archive"
        self.files: dict[str, bytes] = {}
        self.expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
        self.signers = {role: [CryptoSigner.generate_ed25519()] for role in ("root", "targets", *ONLINE, model)}
        self._honest = dict(self.signers)
        self.metadata: dict[str, Metadata[Any]] = {
            "root": Metadata(Root(expires=self.expires, consistent_snapshot=True)),
            "targets": Metadata(Targets(expires=self.expires)),
            "snapshot": Metadata(Snapshot(expires=self.expires)),
            "timestamp": Metadata(Timestamp(expires=self._expiry("timestamp"))),
            model: Metadata(Targets(expires=self.expires)),
        }
        for role in ("root", "targets", *ONLINE):
            self.root.add_key(self.signers[role][0].public_key, role)
        self._delegate("targets", model, [f"{model}/*/*"])
        for role in ("root", "targets", model, *ONLINE):
            self.write(role, bump=0)

    @property
    def root(self) -> Root:
        """The newest root, to be changed and then written."""
        root: Root = self.metadata["root"].signed
        return root

    @property
    def named(self) -> dict[str, TargetFile]:
        """The targets of the model's own role, to be changed and then published."""
        targets: dict[str, TargetFile] = self.metadata[self.model].signed.targets
        return targets

    @property
    def first_root(self) -> bytes:
        """What devices are enrolled with."""
        return self.files["1.root.json"]

    # Publishing

    def cover(self, manifests: Iterable[Manifest], weights: Mapping[int, Blob]) -> None:
        """Publish targets for these manifests; `weights` holds snapshots' bytes by version."""
        for manifest in manifests:
            number = manifest.to_version
            whole = manifest.payload if manifest.from_version is None else weights.get(number, manifest.payload)
            self.name(snapshot_name(manifest.model, number), whole, target_custom.facts(manifest))
            if manifest.from_version is not None:
                self.name(target_custom.name_of(manifest), manifest.payload, target_custom.step(manifest))
            for name, blob in target_custom.objects_of(manifest).items():
                self.name(name, blob)
        self.publish()

    def permit(self, version: int, digest: str, below: int) -> None:
        """Publish the permission to go back to a version."""
        self.name(
            downgrade_name(self.model, version),
            Blob("0" * 64, 1),
            target_custom.downgrade(Downgrade(digest, version, below)),
        )
        self.publish()

    def name(self, name: str, blob: Blob, custom: Mapping[str, Any] | None = None) -> None:
        """Name a target in the model's role, or in the archive where it stands there already."""
        more = {"custom": copy.deepcopy(dict(custom))} if custom else {}
        self._home(name)[name] = TargetFile(blob.length, {"sha256": blob.sha256}, name, more)

    def retire(self, names: Iterable[str]) -> None:
        """Move versions' targets from the model's role to the archive's parts, and publish."""
        self._make_archive()
        for name in names:
            number = parse(name).number
            assert number is not None
            part = f"{self.archive}-{number // SHARD}"
            if part not in self.metadata:
                self.metadata[part] = Metadata(Targets(expires=self.expires))
                self._delegate(self.archive, part, [f"{self.model}/v{number // SHARD}/*"])
            self.metadata[part].signed.targets[name] = self.named.pop(name)
        self.publish()

    def publish(self) -> None:
        """Sign every role of the model anew, and what makes it current."""
        for role in self.metadata:
            if role.startswith(self.archive):
                self.write(role)
        for role in (self.model, *ONLINE):
            self.write(role)

    def write(self, role: str, bump: int = 1) -> None:
        """Sign a role as it is now, under its next version number, and serve it."""
        metadata = self.metadata[role]
        metadata.signed.version += bump
        if role == "snapshot":
            metadata.signed.meta = {
                f"{name}.json": MetaFile(other.signed.version)
                for name, other in self.metadata.items()
                if name not in ("root", *ONLINE)
            }
        if role == "timestamp":
            metadata.signed.snapshot_meta = MetaFile(self.metadata["snapshot"].signed.version)
        self.serve(role)

    def serve(self, role: str) -> None:
        """Sign a role exactly as it is, and serve it."""
        metadata = self.metadata[role]
        metadata.signatures.clear()
        for signer in self._signers(role):
            metadata.sign(signer, append=True)
        name = "timestamp.json" if role == "timestamp" else f"{metadata.signed.version}.{role}.json"
        self.files[name] = metadata.to_bytes(JSONSerializer(compact=True))

    def expire(self, role: str, days: float = 1) -> None:
        """Publish a role whose date is so many days ago."""
        self.metadata[role].signed.expires = datetime.now(UTC).replace(microsecond=0) - timedelta(days=days)
        self.write(role)
        self.write("snapshot") if role not in ONLINE else None
        self.write("timestamp") if role != "timestamp" else None

    def rotate(self, role: str) -> None:
        """Give a top-level role a new key by a new root, which the old root's key signs as well."""
        before, self.signers[role] = self.signers[role], [CryptoSigner.generate_ed25519()]
        self.root.revoke_key(before[0].public_key.keyid, role)
        self.root.add_key(self.signers[role][0].public_key, role)
        kept = self.signers["root"]
        self.signers["root"] = [*kept, *(before if role == "root" else ())]
        self.write("root")
        self.signers["root"] = kept
        self._honest = dict(self.signers)
        for other in ("targets", *ONLINE):
            self.write(other)

    def mend(self) -> None:
        """Take up the honest keys and dates again, after expiring or forging; for what is written from now on."""
        self.signers = dict(self._honest)
        for metadata in self.metadata.values():
            metadata.signed.expires = self._expiry(metadata.signed.type)

    def _expiry(self, role: str) -> datetime:
        """As servers do it: a timestamp holds for a day."""
        return self.expires - timedelta(days=29 if role == "timestamp" else 0)

    def _make_archive(self) -> None:
        if self.archive not in self.metadata:
            self.metadata[self.archive] = Metadata(Targets(expires=self.expires))
            self._delegate(self.model, self.archive, [f"{self.model}/v*/*"])

    def _home(self, name: str) -> dict[str, TargetFile]:
        roles = [data.signed.targets for role, data in self.metadata.items() if role.startswith(self.archive)]
        return next((targets for targets in roles if name in targets), self.named)

    def _delegate(self, delegator: str, role: str, paths: list[str]) -> None:
        signed = self.metadata[delegator].signed
        key = self.signers[self.model][0].public_key
        signed.delegations = signed.delegations or Delegations({}, roles={})
        signed.delegations.roles[role] = DelegatedRole(role, [], 1, True, paths)
        signed.add_key(key, role)

    def _signers(self, role: str) -> list[CryptoSigner]:
        return self.signers[self.model if role.startswith(self.archive) else role]
