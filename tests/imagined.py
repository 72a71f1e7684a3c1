"""Made-up answers of a service about one update, and the report on it."""

from __future__ import annotations

from typing import Any

from diffserver.demo import report

BLOB = {"sha256": "ab" * 32, "length": 900}


def evaluation(**figures: tuple[int | None, int]) -> dict[str, Any]:
    """Errors of parent and candidate on a hundred words each, by domain."""

    def side(errors: int | None) -> dict[str, int] | None:
        return None if errors is None else {"errors": errors, "total": 100}

    return {name: {"parent": side(parent), "candidate": side(now)} for name, (parent, now) in figures.items()}


CANDIDATE = {
    "method": "sparse",
    "payload": {"sha256": "cd" * 32, "length": 200},
    "payload_share": 0.02,
    "changed_weights": 7,
    "evaluation": evaluation(base=(6, 8), new=(80, 16)),
    "domains": ["base", "new"],
    "seconds_train": 3.0,
}
FULL = {"evaluation": evaluation(base=(6, 7), new=(80, 10)), "seconds_train": 2.0}
VERSION = {
    "number": 1,
    "forced": False,
    "to_fetch": {"payload": 200, "graph": 0, "probes": 900, "metadata": 4_000, "total": 5_100},
    "manifest": {"probes": [{"blob": BLOB, "total": 60, "errors": 5}, {"blob": BLOB, "total": 20, "errors": 2}]},
}
REPORTS = [
    {"errors": 7, "error_rate_ppm": 87_500, "seconds_apply": 0.5, "fetched_bytes": 5_100},
    {"errors": 8, "error_rate_ppm": 100_000, "seconds_apply": 1.5, "fetched_bytes": 5_300},
]


def imagined_report() -> report.Report:
    """A report of one update on a model of 10,000 bytes."""
    row = report.row(VERSION, CANDIDATE, FULL, REPORTS, digests_equal=True)
    return report.Report(10_000, "sparse", 0.02, [row])
