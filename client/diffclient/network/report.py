"""A device's report on an update: all its fields, with their types, bounds and what they say.

This is the only place where they stand. What is sent and what is read back follow from it, and so do the requests and
answers of a server; the column that each field needs in a server's table is demanded by a test.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from diffclient.bounds import About, Number, Text
from diffclient.measure.error_count import COUNT_LIMIT

_DIGEST = "4f0c2e7a" * 8

ReportStage = Literal["installed", "failed", "rolled_back"]
Digest = Annotated[str, Text(64, 64, "[0-9a-f]{64}")]
Line = Annotated[str, Text(1, 200)]
Prose = Annotated[str, Text(0, 20_000)]
Count = Annotated[int, Number(0, COUNT_LIMIT)]
Change = Annotated[int, Number(-COUNT_LIMIT, COUNT_LIMIT)]
Bytes = Annotated[int, Number(0, 2**53)]
Seconds = Annotated[float, Number(0, 10**9)]


@dataclass(frozen=True)
class Report:
    """A device's report to its server after an update or a rollback."""

    stage: Annotated[ReportStage, About("How it ended.", "installed")]
    from_digest: Annotated[Digest | None, About("The version in use before; null if there was none.", _DIGEST)] = None
    to_digest: Annotated[Digest | None, About("The version to be in use after it, if it was known.", _DIGEST)] = None
    failed_stage: Annotated[Line | None, About("Of an update: the stage at which it failed.", "download")] = None
    reason: Annotated[Prose | None, About("Why it failed.", "the server cannot be reached")] = None
    errors: Annotated[Count | None, About("Errors on the probe set, as measured.", 12)] = None
    total: Annotated[Count | None, About("How many things were counted there, as the metric says.", 400)] = None
    error_rate_ppm: Annotated[Count | None, About("Errors of the total, in parts per million.", 30_000)] = None
    drift_ppm: Annotated[Change | None, About("The rate on the first probe minus version 0's.", -2500)] = None
    downloaded_bytes: Annotated[Bytes, About("Bytes received of payloads, graph and probe set.", 20_000)] = 0
    seconds_apply: Annotated[Seconds | None, About("For decoding, applying and reading back.", 0.25)] = None
    seconds_total: Annotated[Seconds | None, About("From the poll on.", 1.5)] = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)
