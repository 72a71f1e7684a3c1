"""A device's report, of an update or of errors in the field: all its fields, with types, bounds and what they say.

This is the only place where they stand. What is sent and what is read back follow from it, and so do the requests and
answers of a server; the column that each field needs in a server's table is demanded by a test.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from diffclient.bounds import About, Number, Text
from diffclient.measure.error_count import COUNT_LIMIT

_DIGEST = "4f0c2e7a" * 8

Stage = Literal[
    "poll", "trust", "chain", "policy", "download", "decode", "apply", "digest", "probation", "switch", "report"
]
"""The stages of an update."""
ReportStage = Literal["installed", "failed", "postponed", "rolled_back", "field"]
Cause = Literal["network", "server", "device", "version"]
ReportId = Annotated[str, Text(32, 32, "[0-9a-f]{32}")]
Digest = Annotated[str, Text(64, 64, "[0-9a-f]{64}")]
Line = Annotated[str, Text(1, 200)]
Measure = Annotated[str, Text(1, 64)]
Prose = Annotated[str, Text(0, 20_000)]
Count = Annotated[int, Number(0, COUNT_LIMIT)]
Change = Annotated[int, Number(-COUNT_LIMIT, COUNT_LIMIT)]
Bytes = Annotated[int, Number(0, 2**53)]
Seconds = Annotated[float, Number(0, 10**9)]
Instant = Annotated[int, Number(0, 2**53)]


@dataclass(frozen=True)
class Report:
    """A device's report to its server: after an update or a rollback, or of errors that its application counted."""

    stage: Annotated[
        ReportStage,
        About(
            "How it ended; postponed: network or server prevented it, and the device will try again; field: no update "
            "ended, the application counted errors.",
            "installed",
        ),
    ]
    from_digest: Annotated[Digest | None, About("The version in use before; null if there was none.", _DIGEST)] = None
    to_digest: Annotated[
        Digest | None, About("The version to be in use after it, if it was known; the one that was counted.", _DIGEST)
    ] = None
    failed_stage: Annotated[Line | None, About("Of an update: the stage at which it failed.", "download")] = None
    reason: Annotated[Prose | None, About("Why it failed.", "the server cannot be reached")] = None
    cause: Annotated[Cause | None, About("What is at fault for it.", "network")] = None
    errors: Annotated[Count | None, About("Errors on the probe set, or in the field.", 12)] = None
    total: Annotated[Count | None, About("How many things were counted there, as the metric says.", 400)] = None
    error_rate_ppm: Annotated[Count | None, About("Errors of the total, in parts per million.", 30_000)] = None
    drift_ppm: Annotated[Change | None, About("The rate on the first probe minus version 0's.", -2500)] = None
    downloaded_bytes: Annotated[Bytes, About("Bytes received of payloads, graph and probe set.", 20_000)] = 0
    seconds_apply: Annotated[Seconds | None, About("For decoding, applying and reading back.", 0.25)] = None
    seconds_total: Annotated[Seconds | None, About("From the poll on.", 1.5)] = None
    report_id: Annotated[
        ReportId | None, About("Made on the device: a report that is sent again has the same.", "0199a7c4" * 4)
    ] = None
    device_time: Annotated[
        Instant | None, About("When it was made, in seconds since 1970 by the device's clock.", 1_764_100_000)
    ] = None
    measure: Annotated[
        Measure | None, About("What was counted in the field; null: what the model's metric says.", "corrections")
    ] = None
    full_deliveries: Annotated[
        Count | None, About("How often the device fetched this version whole as a fallback, if ever.", 2)
    ] = None

    @classmethod
    def new(cls, stage: ReportStage, from_digest: str | None, to_digest: str | None, **more: Any) -> Report:
        """Return a report of this moment, with an id of its own."""
        report_id, moment = uuid.uuid4().hex, max(0, int(time.time()))
        return cls(stage, from_digest, to_digest, report_id=report_id, device_time=moment, **more)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)
