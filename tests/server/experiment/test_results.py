"""Rows: their file, tables and plots."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from rich.console import Console

from diffclient.errors import StoreFailed
from diffserver.errors import Invalid
from diffserver.experiment import plots, results, show
from diffserver.experiment.results import Failure, Results, Row


def a_row(**changed: object) -> Row:
    row = Row(
        "synthetic", 0, "sparse:learning_rate=0.004", 0.02, 1, "1-athletes", 91_414, 0.0198, 0.095, None, 5.94, 4.61,
        1.33, (0.71, 1.92), {"0-base": 1.0, "1-athletes": 1.66}, 0.956, {"0-base": 400, "1-athletes": 400}, 105.9, 139.6
    )  # fmt: skip
    return replace(row, **changed)  # type: ignore[arg-type]


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = Results((a_row(), a_row(update=2, overlap=0.3)), (Failure(0, "topk", 0.02, 1, "why"),))
    written.write(tmp_path / "chain.json")
    assert results.read(tmp_path / "chain.json") == written
    runs = json.loads((tmp_path / "chain.json").read_text())["runs"]
    assert {"data", "seed", "method", "budget", "update", "payload_share", "density", "wer_mean", "wer_full_mean",
            "drift_mean", "drift_by_set", "recovered", "seconds_train", "seconds_train_full", "overlap",
            "drift_interval", "utterances"} <= set(runs[0])  # fmt: skip


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"runs": [{"data": 1}], "failures": []}'])
def test_what_is_no_results_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(Invalid, match=r"x\.json holds no results"):
        results.read(tmp_path / "x.json")
    with pytest.raises(Invalid, match="cannot read"):
        results.read(tmp_path / "y.json")


def test_results_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="nowhere"):
        Results().write(tmp_path / "nowhere" / "chain.json")


def test_joined_results_hold_every_row_once() -> None:
    first = Results((a_row(), a_row(seed=1)))
    second = Results((a_row(wer_mean=5.0), a_row(budget=0.01)))
    joined = results.join([first, second])
    assert [(row.budget, row.seed, row.wer_mean) for row in joined.runs] == [
        (0.01, 0, 5.94),
        (0.02, 0, 5.0),
        (0.02, 1, 5.94),
    ]


def test_the_tables_fit_120_columns_and_averages_seeds() -> None:
    rows = [a_row(update=update, seed=seed, drift_mean=1.0 + seed) for update in (1, 20) for seed in (0, 1)]
    text = io.StringIO()
    Console(width=120, file=text).print(show.tables(Results((*rows, a_row(method="full", seconds_train=12345.6)))))
    shown = text.getvalue()
    assert max(map(len, shown.splitlines())) <= 120
    assert "…" not in shown
    assert shown.count("sparse:learning_rate=0.004") == 2
    assert shown.count("+1.50") == 3
    assert "+1.00 +2.00" in shown
    assert "+0.71 +1.92" in shown


def test_plots_are_drawn_where_there_is_something_to_compare(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    assert plots.plots(Results((a_row(method="full"),)), tmp_path / "chain") == []
    rows = (a_row(), a_row(update=2), a_row(update=2, budget=0.01, payload_share=0.0099), a_row(method="full"))
    drawn = plots.plots(Results(rows), tmp_path / "chain")
    assert [path.name for path in drawn] == ["chain-drift.png", "chain-bytes.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_asdict_of_results_is_the_documented_form() -> None:
    assert set(asdict(Results())) == {"runs", "failures"}
