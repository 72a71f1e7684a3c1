"""Changes of a model's roles: publish a version, permit a downgrade or end it, retire old diffs, renew, restore.

Pure. Server and operator apply the same change to metadata that each has verified for itself, and so arrive at the
same bytes to sign. Both refuse a change that contradicts what was signed before.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from diffclient.release.manifest import Blob, Manifest, from_json
from diffclient.release.target_custom import Downgrade
from diffclient.release.target_names import SHARD, check_model
from diffserver.errors import Conflict, Invalid, NotFound
from diffserver.trust.metadata import target_files
from diffserver.trust.metadata.model_roles import WINDOW, ModelRoles


@dataclass(frozen=True)
class Publish:
    """The next version: the manifests of its snapshot and of the diffs that lead to it."""

    manifests: tuple[Manifest, ...]
    kind: Literal["publish"] = "publish"
    rewrite_all = False

    def apply(self, roles: ModelRoles) -> None:
        """Add the version and drop permissions to downgrade; raises Conflict, Invalid."""
        number = _only_number(self.manifests, roles.model)
        head = roles.head()
        if not roles.may_be_next(number):
            raise Conflict(f"version {number} does not follow version {head}", "publish in order")
        for manifest in self.manifests:
            _require_known_start(roles, manifest)
        roles.live = {name: file for name, file in roles.live.items() if not target_files.is_downgrade(name)}
        roles.live |= target_files.of_manifests(self.manifests)
        roles.settle()

    def describe(self) -> str:
        """Return the change in one line."""
        first = self.manifests[0]
        diffs = ", ".join(_way(manifest) for manifest in self.manifests)
        return f"version {first.to_version} of {first.model} ({first.to_digest[:12]}): {diffs}"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"kind": self.kind, "manifests": [manifest.to_json() for manifest in self.manifests]}


@dataclass(frozen=True)
class GoBack:
    """The permission for devices up to version `below` to go back to `version`; `blob` is the target's content."""

    digest: str
    version: int
    below: int
    blob: Blob
    kind: Literal["downgrade"] = "downgrade"
    rewrite_all = False

    def apply(self, roles: ModelRoles) -> None:
        """Add the permission; raises NotFound, Conflict."""
        facts = roles.facts(self.version)
        if facts is None:
            raise NotFound(f"version {self.version} of {roles.model} is not signed", "choose one that was published")
        if facts.digest != self.digest or not self.version < self.below or not roles.may_be_next(self.below + 1):
            raise Conflict(f"{self.describe()}: that is not what was published", "ask again")
        permission = Downgrade(self.digest, self.version, self.below)
        roles.live = {name: file for name, file in roles.live.items() if not target_files.is_downgrade(name)}
        roles.live |= target_files.of_downgrade(roles.model, permission, self.blob)

    def describe(self) -> str:
        """Return the change in one line."""
        return f"devices up to version {self.below} may go back to version {self.version} ({self.digest[:12]})"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class GoForward:
    """The end of a permission to go back: devices go to the latest version again."""

    digest: str
    version: int
    kind: Literal["forward"] = "forward"
    rewrite_all = False

    def apply(self, roles: ModelRoles) -> None:
        """Drop the permission; raises Conflict."""
        facts = roles.facts(self.version)
        if facts is None or facts.digest != self.digest or self.version != roles.head():
            raise Conflict(f"{self.describe()}: that is not what was published", "ask again")
        roles.live = {name: file for name, file in roles.live.items() if not target_files.is_downgrade(name)}

    def describe(self) -> str:
        """Return the change in one line."""
        return f"devices go to version {self.version} ({self.digest[:12]}) again, and none goes back"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Retire:
    """The removal of diffs to versions before `before`; devices that need one take a snapshot."""

    before: int
    kind: Literal["retire"] = "retire"
    rewrite_all = False

    def apply(self, roles: ModelRoles) -> None:
        """Drop the diffs; raises Conflict if one leads to a latest version."""
        head = roles.head()
        if head is None or self.before > head - WINDOW + 1:
            raise Conflict(
                f"diffs before version {self.before} are not history yet",
                f"the latest {WINDOW} versions keep theirs; choose at most {max((head or 0) - WINDOW + 1, 0)}",
            )
        for number in {number for number in roles.shards() if number * SHARD < self.before}:
            files = roles.shard(number)
            for name in [name for name in files if target_files.is_diff(name)]:
                if (target_files.version_of(name) or 0) < self.before:
                    del files[name]

    def describe(self) -> str:
        """Return the change in one line."""
        return f"diffs to versions before {self.before} are dropped"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Renew:
    """The same targets with a later expiry."""

    kind: Literal["renew"] = "renew"
    rewrite_all = True

    def apply(self, roles: ModelRoles) -> None:
        """Change nothing; raises NotFound if there is nothing to renew."""
        if roles.head() is None:
            raise NotFound(f"model {roles.model} has no signed version", "publish its base first")

    def describe(self) -> str:
        """Return the change in one line."""
        return "the same again, to expire later"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Restored:
    """The same targets again, after a restored backup: devices up to version `below` may go back to `version`.

    Versions that were published after the backup are among those.
    """

    digest: str
    version: int
    below: int
    blob: Blob
    kind: Literal["restored"] = "restored"
    rewrite_all = True

    @property
    def _permission(self) -> GoBack:
        return GoBack(self.digest, self.version, self.below, self.blob)

    def apply(self, roles: ModelRoles) -> None:
        """Add the permission; raises NotFound, Conflict."""
        self._permission.apply(roles)

    def describe(self) -> str:
        """Return the change in one line."""
        return f"the same again, as in a restored backup, and {self._permission.describe()}"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


Change = Publish | GoBack | GoForward | Retire | Renew | Restored

_PLAIN: Mapping[str, Callable[..., Change]] = {"forward": GoForward, "retire": Retire, "renew": Renew}
_PERMITTING: Mapping[str, Callable[..., Change]] = {"downgrade": GoBack, "restored": Restored}


def from_json_values(value: Mapping[str, Any]) -> Change:
    """Read a change from plain JSON values; raises Invalid."""
    fields = dict(value)
    try:
        kind = fields.pop("kind")
        if kind == "publish":
            return Publish(_not_empty(from_json(manifest) for manifest in fields["manifests"]))
        if kind in _PERMITTING:
            return _PERMITTING[kind](**fields | {"blob": Blob(**fields["blob"])})
        return _PLAIN[kind](**fields)
    except (KeyError, TypeError) as error:
        raise Invalid(f"this is no change that this release knows ({error})", "update diffserver here") from error


def _not_empty(manifests: Iterable[Manifest]) -> tuple[Manifest, ...]:
    manifests = tuple(manifests)
    if not manifests:
        raise Invalid("a version without manifests", "ask the server again")
    return manifests


def _only_number(manifests: Sequence[Manifest], model: str) -> int:
    check_model(model)
    versions = {(manifest.model, manifest.to_version, manifest.to_digest) for manifest in manifests}
    if len(versions) != 1 or manifests[0].model != model:
        raise Invalid(f"these manifests are not of one version of {model}", "publish one version at a time")
    if [manifest.kind for manifest in manifests].count("snapshot") != 1:
        raise Invalid("a version needs its snapshot", "publish it with one")
    return manifests[0].to_version


def _require_known_start(roles: ModelRoles, manifest: Manifest) -> None:
    if manifest.from_version is None:
        return
    facts = roles.facts(manifest.from_version)
    if facts is None or facts.digest != manifest.from_digest:
        raise Conflict(
            f"the diff from version {manifest.from_version} does not start from the weights that were signed",
            "train it again",
        )


def _way(manifest: Manifest) -> str:
    start = "snapshot" if manifest.from_version is None else f"{manifest.kind} from {manifest.from_version}"
    return f"{start} ({manifest.payload.length:,} bytes)"
