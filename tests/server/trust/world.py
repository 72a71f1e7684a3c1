"""A repository in memory, for tests of the pure rules: metadata by role, with keys of its own."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, TargetFile, Targets

from diffclient.release.manifest import Manifest, from_json
from diffserver.trust.metadata.delegation import Holders, with_model
from diffserver.trust.metadata.model_roles import ModelRoles
from diffserver.trust.metadata.next_metadata import follow, least, require_signed, version_after
from diffserver.trust.metadata.role_changes import Change, Publish
from tests.server import factories

EXPIRES = datetime(2040, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """The model `speech` alone; `roles` is what is in force."""

    signer: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)
    roles: dict[str, Metadata[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.roles["targets"] = follow(None, with_model(Targets(), "speech", self.holders), EXPIRES)

    @property
    def holders(self) -> Holders:
        return Holders((self.signer.public_key,))

    def apply(self, change: Change) -> list[str]:
        """Make a change as the service does; returns the roles that were rewritten."""
        model_roles = ModelRoles("speech", self.roles.get)
        change.apply(model_roles)
        changed = model_roles.changed_metadata(
            self.holders, EXPIRES + timedelta(days=len(self.roles)), change.rewrite_all
        )
        for role, metadata in changed.items():
            lowest = least(self.roles.get("snapshot"))
            assert metadata.signed.version == version_after(self.roles.get(role), lowest)
            metadata.sign(self.signer)
        self.roles |= changed
        require_signed(changed, self.roles.get)
        return sorted(changed)

    def publish(self, number: int, starts: tuple[int, ...] | None = None, label: str = "v") -> list[str]:
        """Publish a version with diffs from `starts` (the one before by default)."""
        return self.apply(Publish(manifests(number, starts, label)))

    def find(self, name: str, role: str = "targets") -> TargetFile | None:
        """Look a target up as a device does: this role, then the first that it delegates the name to."""
        signed = self.roles[role].signed
        if name in signed.targets:
            return signed.targets[name]  # type: ignore[no-any-return]
        below = signed.delegations.get_roles_for_target(name) if signed.delegations else ()
        return next((self.find(name, child) for child, _ in below if child in self.roles), None)


def manifests(number: int, starts: tuple[int, ...] | None = None, label: str = "v") -> tuple[Manifest, ...]:
    """A version's snapshot and diffs, as the catalogue keeps them."""
    snapshot = replace(
        from_json(dict(factories.base(label=f"{label}{number}").manifest)),
        to_version=number,
        payload=factories.blob(f"{label}{number}"),
    )
    starts = ((number - 1,) if number else ()) if starts is None else starts
    diffs = (
        replace(
            snapshot,
            kind="sparse",
            from_digest=factories.digest(f"{label}{start}"),
            from_version=start,
            payload=factories.blob(f"{label}{start}>{label}{number}", 20_000),
        )
        for start in starts
    )
    return (*diffs, snapshot)
