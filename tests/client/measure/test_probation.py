"""Probation: what is measured, and what of it is let through."""

from __future__ import annotations

import itertools
import math
import platform
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffclient.errors import InferenceError, ProbationFailed, ProbeError, UpdateFailed
from diffclient.measure import probation
from diffclient.measure.error_count import COUNT_LIMIT, Errors
from diffclient.release.manifest import Blob, Manifest, Probe
from diffclient.release.metric import Metric
from diffclient.store.store import Store
from diffclient.tensors.snapshot import Snapshot
from tests.client.conftest import enrolled
from tests.client.lineage import DRIFT_BOUND, Lineage, felt_diff
from tests.client.scripted_server import ScriptedServer
from tests.client.speech import SPEECH

BIRDS = Metric("mistakes", "birds")
BLOBS = [Blob(f"{number:064x}", 1) for number in range(3)]


def manifest(expected: Sequence[tuple[int, int]], before: int = 0, max_drift_ppm: int = 1_000_000) -> Manifest:
    probes = tuple(
        Probe(f"domain {number}", BLOBS[number], total, errors) for number, (errors, total) in enumerate(expected)
    )
    return Manifest(
        "m", "snapshot", None, None, "a" * 64, 0, BLOBS[2], BLOBS[2], probes, BIRDS, 0, before, max_drift_ppm
    )  # fmt: skip


def errors(pairs: Sequence[tuple[int, int]]) -> list[Errors]:
    return [Errors(*pair) for pair in pairs]


@settings(deadline=None)
@given(st.integers(0, 12), st.fractions(0, 1, max_denominator=50))
def test_the_chance_to_pass_is_that_of_at_most_one_error(known: int, share: Fraction) -> None:
    """Counted over every way in which the items can go wrong, in exact arithmetic."""
    chances = [
        math.prod(share if wrong else 1 - share for wrong in items)
        for items in itertools.product((False, True), repeat=known)
        if sum(items) <= probation.TOLERANCE
    ]
    assert probation.chance_to_pass(known, float(share)) == pytest.approx(float(sum(chances)))


def test_who_errs_on_a_tenth_of_sixty_four_hardly_passes() -> None:
    assert probation.chance_to_pass(64, 0.1) == pytest.approx(0.9**64 + 64 * 0.1 * 0.9**63)
    assert round(probation.chance_to_pass(64, 0.1), 4) == 0.0096


@pytest.mark.parametrize(
    ("expected", "measured", "passes"),
    [
        ([(10, 100), (5, 50)], [(10, 100), (5, 50)], True),
        ([(10, 100), (5, 50)], [(11, 100), (5, 50)], True),
        ([(10, 100), (5, 50)], [(10, 100), (4, 50)], True),
        ([(10, 100), (5, 50)], [(11, 100), (4, 50)], False),  # one, not one a part
        ([(10, 100), (5, 50)], [(8, 100), (5, 50)], False),
        ([(10, 100)], [(10, 99)], False),
        ([(10, 100), (5, 50)], [(10, 100)], False),
        ([], [], True),
    ],
)
def test_one_error_more_or_less(expected: list[tuple[int, int]], measured: list[tuple[int, int]], passes: bool) -> None:
    if passes:
        probation.check(manifest(expected), errors(measured))
    else:
        with pytest.raises(ProbationFailed):
            probation.check(manifest(expected), errors(measured))


@pytest.mark.parametrize(
    ("before", "drift"),
    [(10, 0), (6, 40_000), (5, 50_000), (12, -20_000), (4, None), (2**53 - 1, 100_000 - COUNT_LIMIT)],
)
def test_drift_against_version_0(before: int, drift: int | None) -> None:
    found, measured = manifest([(10, 100)], before, max_drift_ppm=50_000), errors([(10, 100)])
    if drift is None:
        with pytest.raises(ProbationFailed, match=r"drift .* 6\.00 points .* allows 5\.00"):
            probation.check(found, measured)
    else:
        assert probation.check(found, measured) == drift


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        ([(8, 100)], r"another mistakes than its manifest says: errors on domain 0 8 \(not 5\) of 100 birds"),
        ([(5, 99)], "does not have the birds that the manifest counts"),
    ],
)
def test_a_failure_is_told_in_the_metrics_words(measured: list[tuple[int, int]], told: str) -> None:
    with pytest.raises(ProbationFailed, match=told):
        probation.check(manifest([(5, 100)]), errors(measured))
    with pytest.raises(ProbationFailed, match=r"6\.00 points of mistakes"):
        probation.check(manifest([(6, 100)], max_drift_ppm=50_000), errors([(6, 100)]))


def test_without_a_probe_set_there_is_no_drift() -> None:
    assert probation.check(manifest([]), []) is None


@pytest.mark.parametrize("name", ["nothing", "no.such.module:score", "json:no_such_function", ":", ""])
def test_a_scorer_that_does_not_exist(name: str) -> None:
    with pytest.raises(ProbationFailed, match="module:function"):
        probation.load_score(name)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    """Versions 0 to 2 of a recogniser."""
    line = Lineage(tmp_path_factory.mktemp("spoken"), SPEECH)
    for seed in (1, 2):
        line.extend(felt_diff(line.versions[-1].table, seed))
    return line


def test_a_recogniser_measures_itself_on_the_device(spoken: Lineage, tmp_path: Path) -> None:
    server = ScriptedServer(spoken)
    device = enrolled(Store(tmp_path), server, probation.score_speech)
    for server.target in (0, 2):
        outcome = device.update()
        assert (outcome.errors, outcome.total) == (
            spoken.expected(server.target).errors,
            spoken.expected(server.target).total,
        )
        assert outcome.drift_ppm is not None
        assert outcome.drift_ppm <= DRIFT_BOUND
    assert spoken.expected(2).errors > spoken.expected(0).errors > 0
    server.close()


def test_a_recogniser_with_altered_weights_is_found_out(spoken: Lineage, tmp_path: Path) -> None:
    """Every digest is honest; only what is heard differs from what the true weights' manifest expects."""
    altered = Lineage(tmp_path / "altered", SPEECH)
    altered.extend(felt_diff(altered.versions[0].table, seed=8))
    honest = spoken.snapshots[1]
    server = ScriptedServer(spoken)
    device = enrolled(Store(tmp_path / "store"), server, probation.score_speech)
    device.update()
    server.lineage, server.target = altered, 1
    forged = replace(altered.diffs[0], probes=honest.probes, error_rate_ppm=honest.error_rate_ppm)
    altered.blobs |= spoken.blobs
    server.repository.cover([forged], {1: altered.snapshots[1].payload})
    with pytest.raises(UpdateFailed) as failed:
        device.update()
    assert isinstance(failed.value.cause, ProbationFailed)
    measured = server.reports[-1]["errors"]
    assert abs(measured - spoken.expected(1).errors) > probation.TOLERANCE
    assert device.digest() == spoken.digest(0)
    server.close()


@pytest.mark.parametrize(
    ("graph", "part", "error"),
    [(b"not a graph", None, InferenceError), (None, b"not a zip", ProbeError)],
)
def test_what_cannot_be_measured(
    spoken: Lineage, tmp_path: Path, graph: bytes | None, part: bytes | None, error: type[Exception]
) -> None:
    files = {"graph": graph or SPEECH.graph, "part": part or spoken.blobs[spoken.snapshots[0].probes[0].blob.sha256]}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    weights = Snapshot(spoken.versions[0].snapshot.path)
    with pytest.raises(error):
        probation.run(probation.score_speech, tmp_path / "graph", weights, [tmp_path / "part"])


@pytest.mark.parametrize(
    "counted",
    [
        [(-1, 10)],
        [(1, -10)],
        [(2**31, 10)],
        [(1, 2**30), (1, 2**30)],
        [(np.int64(1), 10.0)],
        [("1", 10)],
        None,
    ],
    ids=str,
)
def test_a_scorer_that_counts_what_no_report_can_tell(lineage: Lineage, counted: Any) -> None:
    def score(graph: Path, weights: Snapshot, parts: Sequence[Path]) -> list[Errors]:
        return errors(counted)

    weights = lineage.versions[0].snapshot
    with pytest.raises(ProbationFailed):
        probation.run(score, Path("graph"), weights, [])
    assert probation.run(lambda *_: [Errors(np.int64(1), 10)], Path("graph"), weights, []) == (Errors(1, 10),)  # type: ignore[arg-type]


def test_the_basis_of_a_verdict(lineage: Lineage, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the verdict depends on, and nothing of the way that led to the version."""
    step, whole = lineage.diffs[0], lineage.snapshots[1]
    found = probation.basis(step, probation.score_speech)
    assert found == probation.basis(whole, probation.score_speech)
    others = [
        probation.basis(replace(step, max_drift_ppm=1), probation.score_speech),
        probation.basis(replace(step, graph=step.payload), probation.score_speech),
        probation.basis(replace(step, probes=()), probation.score_speech),
        probation.basis(step, lineage.kind.score),
    ]
    monkeypatch.setattr(platform, "machine", lambda: "another")
    others.append(probation.basis(step, probation.score_speech))
    assert len({found, *others}) == 6
