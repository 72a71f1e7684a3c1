"""The owner's policy: what an update may cost, how long it may take, and by which ways its bytes may come.

Rules and their JSON only; keeping them is left to `store`, applying them to the updater.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from diffclient.errors import SnapshotWithheld, StateError, TooManyBytes
from diffclient.release.manifest import ManifestKind
from diffclient.strict_json import Fields, parse

FullFallback = Literal["never", "unmetered", "always"]
"""When a whole snapshot may be fetched, be it the first version or one that no diff leads to."""

MIRROR_LIMIT = 16


@dataclass(frozen=True)
class Policy:
    """The limits and mirrors of one device."""

    full_fallback: FullFallback = "unmetered"
    max_bytes: int | None = None
    """The most bytes of one update, metadata apart; None: any."""
    mirrors: tuple[str, ...] = ()
    """Base URLs that serve the same blobs and metadata as the server, asked after it."""
    max_seconds: int = 3600
    """The most seconds of one update, which then ends as failed; 0: any."""
    patience: float = 30.0
    """Seconds in which an answer has to begin, and over which its speed is measured."""
    least_speed: int = 100
    """Bytes a second below which an answer is given up; what arrived of a blob is kept."""
    proxy: str | None = None
    """The proxy for all requests, `none` for no proxy at all; None: as the environment says."""
    ca_file: str | None = None
    """Certificates (PEM) that vouch for servers beside the system's."""
    max_deliveries: int = 5
    """How often a version may be fetched whole as a fallback, with a day, two, four … between; 0: always."""

    def allows_snapshot(self, metered: bool) -> bool:
        """Tell whether a snapshot may be fetched over the link."""
        return self.full_fallback == "always" or (self.full_fallback == "unmetered" and not metered)

    def check(self, kinds: Sequence[ManifestKind], needed: int, metered: bool) -> None:
        """Check steps of these kinds that need a download of `needed` bytes.

        Raises SnapshotWithheld, TooManyBytes if the policy forbids it.
        """
        if "snapshot" in kinds and not self.allows_snapshot(metered):
            link = " over a metered link" if self.full_fallback == "unmetered" else ""
            raise SnapshotWithheld(
                f"only a snapshot leads on, of {needed:,} bytes, and full_fallback = {self.full_fallback} allows "
                f"none{link}: `diffclient update --full-fallback always` fetches it once"
            )
        if self.max_bytes is not None and needed > self.max_bytes:
            raise TooManyBytes(
                f"the update needs {needed:,} bytes, the policy allows {self.max_bytes:,}: raise it with "
                "`diffclient policy --max-bytes`"
            )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def read_policy(data: bytes) -> Policy:
    """Parse a policy; raises StateError."""
    fields = parse(data, "policy.json", StateError)
    # What came with later clients may be missing.
    later: dict[str, Callable[[str], Any]] = {
        "max_deliveries": fields.count,
        "max_seconds": fields.count,
        "patience": fields.seconds,
        "least_speed": fields.count,
        "proxy": fields.text,
        "ca_file": fields.text,
    }
    values = {name: fields.maybe(name, read) for name, read in later.items()}
    if values["patience"] == 0:
        raise StateError("policy.json: patience is not more than 0 seconds")
    return Policy(
        full_fallback=fields.choice("full_fallback", get_args(FullFallback)),
        max_bytes=fields.maybe("max_bytes", fields.count),
        mirrors=_mirrors(fields),
        **{name: value for name, value in values.items() if value is not None},
    )


def _mirrors(fields: Fields) -> tuple[str, ...]:
    mirrors = fields.texts("mirrors", MIRROR_LIMIT)
    if not all(mirror.startswith(("http://", "https://")) for mirror in mirrors):
        raise StateError("policy.json: mirrors are not addresses")
    return tuple(mirrors)
