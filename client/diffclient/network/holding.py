"""What a device says of itself at every poll: the version that it runs, the one it keeps, and how far an update is.

As of a `report`, this is the only place where the fields stand; a server's requests follow from it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from diffclient.bounds import About, Text
from diffclient.network.report import Digest

_DIGEST = "4f0c2e7a" * 8

Stage = Annotated[str, Text(1, 32, "[a-z_]{1,32}")]
"""Any word, so that a client may know stages that its server does not."""


@dataclass(frozen=True)
class Holding:
    """The versions that a device has, by digest, and the stage of an update that is under way."""

    digest: Annotated[Digest | None, About("The version in use; null if there is none, or it is damaged.", _DIGEST)]
    previous: Annotated[Digest | None, About("The version kept; a return to it needs no download.", _DIGEST)] = None
    stage: Annotated[Stage | None, About("The stage of an update under way; null if there is none.", "download")] = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)
