"""Chains of several methods over a toy task: every figure of every row."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from diffclient.payload.decode import decode
from diffclient.tensors.snapshot import Snapshot, fp32_bytes
from diffserver.experiment.cache import PAYLOAD, WEIGHTS
from diffserver.experiment.results import Results
from tests.server.experiment.toy_experiments import METHODS, planned, run, write_domains


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_domains(tmp_path_factory.mktemp("points"))


@pytest.fixture(scope="module")
def results_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def results(data: Path, results_folder: Path) -> Results:
    """Two updates by every method."""
    return run(planned(data, *METHODS), results_folder)


def test_every_method_has_a_row_for_every_update(results: Results) -> None:
    assert not results.failures
    assert [(row.method, row.update) for row in results.runs] == [
        (method, update) for method in ("full", *METHODS) for update in (1, 2)
    ]


def test_rows_say_what_was_measured(results: Results) -> None:
    for row in results.runs:
        assert row.data == "points"
        assert list(row.drift_by_set) == [f"{number}-classes" for number in range(row.update + 1)]
        assert row.utterances == dict.fromkeys(row.drift_by_set, 60)
        assert row.drift_mean == pytest.approx(row.wer_mean - row.wer_full_mean)
        assert row.drift_mean == pytest.approx(np.mean(list(row.drift_by_set.values())))
        assert row.drift_interval[0] <= row.drift_mean <= row.drift_interval[1]
        assert (row.overlap is None) == (row.update == 1)
        assert 0 < row.density <= 1
        assert row.seconds_train > 0 < row.seconds_train_full


def test_methods_keep_to_their_budget_and_the_full_chain_is_the_reference(results: Results) -> None:
    for row in results.runs:
        if row.method == "full":
            assert (row.payload_share, row.drift_mean, row.recovered) == (1.0, 0.0, 1.0)
            assert row.wer_mean == row.wer_full_mean < 15
        else:
            assert row.payload_share <= row.budget == 0.15
            assert row.payload_bytes < 0.2 * results.runs[0].payload_bytes


def test_a_sparse_chain_follows_the_full_chain(results: Results) -> None:
    rows = [row for row in results.runs if row.method.startswith("sparse")]
    assert all(row.drift_mean < 10 and row.recovered > 0.8 and row.density < 1 for row in rows)


def test_a_teachers_training_counts(results: Results) -> None:
    for row in results.runs:
        if row.method in ("topk-tuned", "bitdelta"):
            assert row.seconds_train > row.seconds_train_full / 4
        if row.method == "pruned":
            assert row.seconds_train > row.seconds_train_full


def test_versions_are_what_a_device_makes_of_their_payload(results: Results, results_folder: Path) -> None:
    checked = 0
    versions = {
        json.loads(path.read_text())["record"]["digest"]: path.parent for path in results_folder.rglob("record.json")
    }
    for folder in versions.values():
        record = json.loads((folder / "record.json").read_text())
        data, parent = (folder / PAYLOAD).read_bytes(), record["about"]["parent"]
        assert Snapshot(folder / WEIGHTS).digest() == record["record"]["digest"]
        assert len(data) == record["record"]["payload_bytes"]
        if data[:4] == b"NDIF":
            assert parent in versions
            decode(data, Snapshot(folder / WEIGHTS).table, parent)
            checked += 1
    assert checked >= 8


def test_a_second_run_makes_nothing_anew(results: Results, data: Path, results_folder: Path) -> None:
    heard: list[str] = []
    assert run(planned(data, *METHODS), results_folder, heard) == results
    assert heard == []


def test_a_chain_that_fails_does_not_stop_the_others(data: Path, tmp_path: Path) -> None:
    results = run(planned(data, "bitdelta@0.001", "topk", updates=1), tmp_path)
    assert [row.method for row in results.runs] == ["full", "topk"]
    assert [(failure.method, failure.update) for failure in results.failures] == [("bitdelta", 1)]
    assert "raise it" in str(results.failures[0])


def test_the_full_chain_has_the_bytes_of_its_snapshot(results: Results, results_folder: Path) -> None:
    sizes = {path.stat().st_size for path in results_folder.rglob(WEIGHTS)}
    table = Snapshot(next(results_folder.rglob(WEIGHTS))).table
    assert {row.payload_bytes for row in results.runs if row.method == "full"} <= sizes
    assert min(sizes) > fp32_bytes(table)
