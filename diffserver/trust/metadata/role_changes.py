"""Changes of a model's roles: publish a version, permit devices to go back, retire old diffs, renew, restore.

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
class Return:
    """A version that devices may go back to; `blob` is the content of the permission's target."""

    digest: str
    version: int
    blob: Blob


@dataclass(frozen=True)
class Publish:
    """The next version: the manifests of its snapshot and of the diffs that lead to it, and the ways back from it."""

    manifests: tuple[Manifest, ...]
    returns: tuple[Return, ...] = ()
    kind: Literal["publish"] = "publish"
    rewrite_all = False

    def apply(self, roles: ModelRoles) -> None:
        """Add the version and replace the permissions to go back; raises Conflict, Invalid, NotFound."""
        number = _only_number(self.manifests, roles.model)
        head = roles.head()
        if not roles.may_be_next(number):
            raise Conflict(f"version {number} does not follow version {head}", "publish in order")
        for manifest in self.manifests:
            _require_known_start(roles, manifest)
        _permit(roles, self.returns, number)
        roles.live |= target_files.of_manifests(self.manifests)
        roles.settle()

    def describe(self) -> str:
        """Return the change in one line."""
        first = self.manifests[0]
        diffs = ", ".join(_way(manifest) for manifest in self.manifests)
        back = f"; {_describe(self.returns, first.to_version)}" if self.returns else ""
        return f"version {first.to_version} of {first.model} ({first.to_digest[:12]}): {diffs}{back}"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "kind": self.kind,
            "manifests": [manifest.to_json() for manifest in self.manifests],
            "returns": [asdict(permission) for permission in self.returns],
        }


@dataclass(frozen=True)
class Permit:
    """The versions that devices up to `below` may go back to, in place of those before; none ends all permissions."""

    below: int
    returns: tuple[Return, ...]
    kind: Literal["permit"] = "permit"
    rewrite_all = False

    def apply(self, roles: ModelRoles) -> None:
        """Replace the permissions; raises NotFound, Conflict."""
        if not roles.may_be_next(self.below + 1):
            raise Conflict(f"{self.describe()}: version {self.below} is not the latest", "ask again")
        _permit(roles, self.returns, self.below)

    def describe(self) -> str:
        """Return the change in one line."""
        return _describe(self.returns, self.below)

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
    """The same targets again, after a restored backup: versions that were published after it are among `below`."""

    below: int
    returns: tuple[Return, ...]
    kind: Literal["restored"] = "restored"
    rewrite_all = True

    def apply(self, roles: ModelRoles) -> None:
        """Replace the permissions; raises NotFound, Conflict."""
        Permit(self.below, self.returns).apply(roles)

    def describe(self) -> str:
        """Return the change in one line."""
        return f"the same again, as in a restored backup, and {_describe(self.returns, self.below)}"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


Change = Publish | Permit | Retire | Renew | Restored

_PLAIN: Mapping[str, Callable[..., Change]] = {"retire": Retire, "renew": Renew}
_PERMITTING: Mapping[str, Callable[..., Change]] = {"permit": Permit, "restored": Restored}


def from_json_values(value: Mapping[str, Any]) -> Change:
    """Read a change from plain JSON values; raises Invalid."""
    fields = dict(value)
    try:
        kind = fields.pop("kind")
        if kind == "publish":
            manifests = _not_empty(from_json(manifest) for manifest in fields["manifests"])
            return Publish(manifests, _returns(fields["returns"]))
        if kind in _PERMITTING:
            return _PERMITTING[kind](fields["below"], _returns(fields["returns"]))
        return _PLAIN[kind](**fields)
    except (KeyError, TypeError) as error:
        raise Invalid(f"this is no change that this release knows ({error})", "update diffserver here") from error


def _returns(values: Iterable[Mapping[str, Any]]) -> tuple[Return, ...]:
    return tuple(Return(**value | {"blob": Blob(**value["blob"])}) for value in map(dict, values))


def _permit(roles: ModelRoles, returns: Iterable[Return], below: int) -> None:
    """Put permissions in the place of those before; each has to name what was published, before `below`."""
    roles.live = {name: file for name, file in roles.live.items() if not target_files.is_downgrade(name)}
    for one in returns:
        facts = roles.facts(one.version)
        if facts is None:
            raise NotFound(f"version {one.version} of {roles.model} is not signed", "choose one that was published")
        if facts.digest != one.digest or not one.version < below:
            raise Conflict(f"{_describe((one,), below)}: that is not what was published", "ask again")
        permission = Downgrade(one.digest, one.version, below)
        roles.live |= target_files.of_downgrade(roles.model, permission, one.blob)


def _describe(returns: Sequence[Return], below: int) -> str:
    versions = ", ".join(f"{one.version} ({one.digest[:12]})" for one in returns)
    return f"devices up to version {below} may go back to version {versions}" if returns else "no device may go back"


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
