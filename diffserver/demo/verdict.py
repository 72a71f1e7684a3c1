"""What a report comes to, in a few sentences: how many updates are as good as full retraining, and at what size."""

from collections.abc import Iterator

from diffserver.demo.report import Report, Row

WITHIN = 0.2
"""Points of drift up to which an update counts as good as full retraining."""


def headline(report: Report) -> str:
    """Return the verdict in a sentence."""
    rows = report.updates
    if not rows:
        return "No update was published"
    near = sum(row.drift <= WITHIN for row in rows)
    updates = "update" if len(rows) == 1 else "updates"
    largest = max(row.payload_share for row in rows)
    return (
        f"{near} of {len(rows)} {updates} within {WITHIN:g} points of full retraining, at {largest:.2%} of the "
        "model's bytes or less"
    )


def remarks(report: Report) -> list[str]:
    """Return what has to be said beside the headline, what went wrong first."""
    return list(_remarks(report))


def _remarks(report: Report) -> Iterator[str]:
    rows = report.updates
    if not rows:
        return
    for row in rows:
        if row.drift > WITHIN:
            yield f"Version {row.version} is {row.drift:.2f} points worse than the fully retrained model{_give(row)}."
    for row in rows:
        if not row.digest_match:
            yield f"Version {row.version}: a device did not arrive at the server's bits."
    over = [row for row in rows if row.payload_share > report.budget]
    if over:
        yield f"{_versions(over)} took more bytes than the budget of {report.budget:.1%}."
    if forced := [row for row in rows if row.forced]:
        yield f"{_versions(forced)} broke a bound and went out by force."
    if all(row.digest_match for row in rows):
        devices = max(len(row.probe_errors_devices) for row in rows)
        yield f"Every device ({devices} of them) arrived at the server's bits in every update."
    beside = max((row.fetched_bytes - row.payload_bytes) / row.payload_bytes for row in rows)
    yield (
        f"With the probe set and the metadata a device fetched at most {max(row.fetched_bytes for row in rows):,} "
        f"bytes an update: up to {beside:.0%} on top of the payload."
    )


def _give(row: Row) -> str:
    return "" if row.margin_drift is None else f" (give or take {row.margin_drift:.2f})"


def _versions(rows: list[Row]) -> str:
    names = ", ".join(str(row.version) for row in rows)
    return f"{'Version' if len(rows) == 1 else 'Versions'} {names}"
