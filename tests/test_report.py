"""The report's arithmetic and its forms, on the answers of an imagined chain."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from diffclient.wer import Errors
from diffserver import report
from diffserver.evaluate import Bounds, mean_wer, refusals, regressions

BLOB = {"sha256": "ab" * 32, "length": 900}


def evaluation(**figures: tuple[int | None, int]) -> dict[str, Any]:
    """Errors of parent and candidate on a hundred words each, by domain."""

    def side(errors: int | None) -> dict[str, int] | None:
        return None if errors is None else {"errors": errors, "words": 100}

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
    "manifest": {"probes": [{"blob": BLOB, "words": 60, "errors": 5}, {"blob": BLOB, "words": 20, "errors": 2}]},
}
REPORTS = [
    {"errors": 7, "wer_ppm": 87_500, "seconds_apply": 0.5},
    {"errors": 8, "wer_ppm": 100_000, "seconds_apply": 1.5},
]


@pytest.fixture
def made() -> report.Report:
    row = report.row(VERSION, CANDIDATE, FULL, REPORTS, digests_equal=True)
    return report.Report(10_000, "sparse", 0.02, [row])


def test_a_row_holds_means_drift_regression_and_recovery(made: report.Report) -> None:
    row = made.updates[0]
    assert (row.wer_parent, row.wer_full, row.wer_published) == (43.0, 8.5, 12.0)
    assert (row.wer_parent_new, row.wer_full_new, row.wer_published_new) == (80.0, 10.0, 16.0)
    assert row.drift == 3.5
    assert row.regression == 2.0
    assert row.recovered == pytest.approx(64 / 70)
    assert (row.probe_errors_server, row.probe_errors_device, row.probe_errors_devices) == (7, 8, [7, 8])
    assert row.wer_device == 9.375


@pytest.mark.parametrize(("parent", "full", "published", "share"), [(80, 8, 44, 0.5), (5, 5, 9, 1.0), (5, 8, 9, 1.0)])
def test_recovery_is_whole_where_full_retraining_gains_nothing(
    parent: float, full: float, published: float, share: float
) -> None:
    assert report.recovered(parent, full, published) == share


def test_the_report_is_written_as_json_page_and_plot(made: report.Report, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install 'diffserver[demo]'")
    report.write(made, tmp_path / "out")
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert document["model_bytes_fp32"] == 10_000
    assert document["updates"][0]["payload_bytes"] == 200
    assert (tmp_path / "out" / "report.png").read_bytes().startswith(b"\x89PNG")
    assert "<td>+3.50</td>" in (tmp_path / "out" / "report.html").read_text()


def test_the_tables_fit_a_terminal_of_eighty_columns(made: report.Report) -> None:
    console = Console(width=80, record=True, file=StringIO())
    console.print(report.tables(made))
    shown = console.export_text()
    assert "…" not in shown
    assert "+3.50" in shown


def test_every_domain_weighs_the_same_in_the_mean() -> None:
    assert mean_wer({"small": Errors(1, 10), "large": Errors(0, 1000)}) == 5.0


def test_a_candidate_is_refused_for_each_bound_that_it_breaks() -> None:
    earlier = regressions({"a": Errors(1, 100), "b": Errors(5, 100)}, {"a": Errors(4, 100), "b": Errors(5, 100)})
    bounds = Bounds(budget=0.02, max_regression=2.0, max_drift_ppm=100_000)
    assert refusals(bounds, 0.02, {"b": earlier["b"]}, 100_000) == []
    found = refusals(bounds, 0.021, earlier, 100_001)
    assert [line.split()[0] for line in found] == ["payload", "a", "WER"]
    assert refusals(Bounds(0.02, None, 0), 0.01, {"a": 99.0}, 0) == []
