"""The report on a chain of updates: one row a version.

Rows are computed from the REST API's answers and the devices' reports; measuring is left to server and devices.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from diffserver.evaluation import Evaluation, error_rate, mean_error_rate, recovered, regressions
from diffserver.evaluation import from_json as evaluation_of

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One update: WER in percent (means over all test sets so far; `_new`: the new domain's), shares as fractions."""

    version: int
    domain: str
    method: str
    payload_bytes: int
    payload_share: float
    changed_weights: int
    wer_parent: float
    wer_full: float
    wer_published: float
    wer_parent_new: float
    wer_full_new: float
    wer_published_new: float
    recovered: float
    drift: float
    regression: float
    forced: bool
    probe_errors_server: int
    probe_errors_device: int
    """Word errors of the device that is furthest from the server."""
    probe_errors_devices: list[int]
    wer_device: float
    digest_match: bool
    seconds_train: float
    seconds_train_full: float
    seconds_apply: float
    probe_bytes: int
    """Of the part of the probe set that comes with the update."""
    metadata_bytes: int
    fetched_bytes: int
    """The most that a device fetched: payload, probe set and metadata."""
    margin_parent: float | None = None
    """Points that the parent's mean may be off, either way (95 %); None in reports of before."""
    margin_full: float | None = None
    margin_published: float | None = None

    @property
    def margin_drift(self) -> float | None:
        """Points that drift may be off, as if both were measured on different data: rather too many."""
        if self.margin_full is None or self.margin_published is None:
            return None
        return math.hypot(self.margin_full, self.margin_published)


@dataclass(frozen=True)
class Report:
    """A chain of updates of one model."""

    model_bytes_fp32: int
    method: str
    budget: float
    updates: Sequence[Row]

    def to_json(self) -> str:
        """Return the report as a JSON document."""
        return json.dumps(asdict(self), indent=1) + "\n"


def from_json(text: str) -> Report:
    """Return the report of a JSON document, also of one that was written before margins were."""
    document = json.loads(text)
    return Report(**{**document, "updates": [Row(**update) for update in document["updates"]]})


def row(version: Json, candidate: Json, full: Json, reports: Sequence[Json], digests_equal: bool) -> Row:
    """Return an update's row from its version, its candidate, the full chain's candidate and the devices' reports."""
    parent = evaluation_of(candidate["evaluation"], "parent")
    published, reference = (evaluation_of(side["evaluation"], "candidate") for side in (candidate, full))
    new = candidate["domains"][-1]
    new_wers = [error_rate(side[new]) for side in (parent, reference, published)]
    probes = version["manifest"]["probes"]
    expected, measured = sum(probe["errors"] for probe in probes), [report["errors"] for report in reports]
    return Row(
        version=version["number"],
        domain=new,
        method=candidate["method"],
        payload_bytes=candidate["payload"]["length"],
        payload_share=candidate["payload_share"],
        changed_weights=candidate["changed_weights"],
        wer_parent=mean_error_rate(parent),
        wer_full=mean_error_rate(reference),
        wer_published=mean_error_rate(published),
        wer_parent_new=new_wers[0],
        wer_full_new=new_wers[1],
        wer_published_new=new_wers[2],
        recovered=recovered(*new_wers),
        drift=mean_error_rate(published) - mean_error_rate(reference),
        regression=_worst(parent, published, new),
        forced=version["forced"],
        probe_errors_server=expected,
        probe_errors_device=max(measured, key=lambda errors: abs(errors - expected)),
        probe_errors_devices=measured,
        wer_device=sum(report["error_rate_ppm"] for report in reports) / max(1, len(reports)) / 1e4,
        digest_match=digests_equal,
        seconds_train=candidate["seconds_train"],
        seconds_train_full=full["seconds_train"],
        seconds_apply=sum(report["seconds_apply"] for report in reports) / max(1, len(reports)),
        probe_bytes=version["to_fetch"]["probes"],
        metadata_bytes=version["to_fetch"]["metadata"],
        fetched_bytes=max(report["fetched_bytes"] for report in reports),
        margin_parent=margin(parent),
        margin_full=margin(reference),
        margin_published=margin(published),
    )


def margin(evaluation: Evaluation) -> float:
    """Return the points that a mean error rate may be off, either way: 95 %, binomial, by Agresti and Coull."""
    shares = [((errors.errors + 2) / (errors.total + 4), errors.total + 4) for errors in evaluation.values()]
    variance = sum(share * (1 - share) / count for share, count in shares)
    return 100 * 1.96 * math.sqrt(variance) / max(1, len(shares))


def _worst(parent: Evaluation, published: Evaluation, new: str) -> float:
    return max(points for domain, points in regressions(parent, published).items() if domain != new)
