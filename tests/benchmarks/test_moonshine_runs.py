"""The file of Moonshine's figures: what is still to be done, and what a run that ends adds to it."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.moonshine_runs import Figures, Job, Run, jobs

FULL = Job("sentences", "fp32", "full", None)
SPARSE = Job("sentences", "fp32", "sparse", 0.02)


def run(job: Job, wer: float) -> Run:
    """Figures of a run, of which only what was learned matters."""
    return Run(
        **asdict(job), payload_bytes=None, payload_share=None, wer_before=0.4, wer_full=None, wer_diff=wer,
        wer_forgetting_before=0.1, wer_forgetting_after=0.1, wer_unlike_before=0.0, learning_rate=job.rate,
        device="cpu", seconds=1.0, peak_mb=1.0,
    )  # fmt: skip


def test_what_is_in_the_file_is_not_done_again(tmp_path: Path) -> None:
    path = tmp_path / "moonshine.json"
    assert Figures.read(path).missing() == list(jobs())
    Figures.read(path).with_run(run(SPARSE, 0.3)).write(path)
    assert Figures.read(path).missing() == [job for job in jobs() if job != SPARSE]


def test_a_run_on_another_device_stands_beside_the_first() -> None:
    first = run(SPARSE, 0.3)
    both = Figures({"cuda": {}}, ()).with_run(first).with_run(replace(first, device="cuda"))
    assert [one.device for one in both.runs] == ["cpu", "cuda"]
    assert both.machines.keys() == {"cpu", "cuda"}


def test_every_run_is_told_what_full_retraining_reaches() -> None:
    figures = Figures({}, ()).with_run(run(SPARSE, 0.3)).with_run(run(FULL, 0.28))
    assert [one.wer_full for one in figures.runs] == [0.28, 0.28]


def test_a_start_is_measured_once_for_the_same_words_in_the_same_form() -> None:
    figures = Figures({}, ()).with_run(run(SPARSE, 0.3))
    found = figures.like(Job("sentences", "fp32", "hashed", 0.01))
    assert found is not None
    assert found.job == SPARSE
    assert figures.like(Job("wake-words", "fp32", "sparse", 0.02)) is None
    assert figures.like(Job("sentences", "int8", "sparse", 0.02)) is None
