"""Diffs that were trained elsewhere: applied to the version that they start from, or refused with the cause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'diffserver[train]'")

from torch import nn  # noqa: E402

from diffclient.diff.apply import apply  # noqa: E402
from diffclient.diff.streams import Diff  # noqa: E402
from diffclient.measure.error_count import Errors  # noqa: E402
from diffclient.payload.encode import encode  # noqa: E402
from diffclient.tensors.snapshot import Snapshot  # noqa: E402
from diffserver.catalog.candidate import NewCandidate  # noqa: E402
from diffserver.catalog.training_request import TrainingSpec, require_sense  # noqa: E402
from diffserver.errors import Invalid  # noqa: E402
from diffserver.tasks import Task, TaskError  # noqa: E402
from tests.factories import sparse_diff  # noqa: E402
from tests.server.pipeline.home import Home  # noqa: E402
from tests.server.pipeline.mixed import Mixed, MixedTask, home_with_data, publish, run, snapshot_of  # noqa: E402

MEASURED = {"street": Errors(3, 400)}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_with_data(tmp_path)


@pytest.fixture
def parent(home: Home, tmp_path: Path) -> Snapshot:
    """Version 0."""
    base = run(home, tmp_path, Mixed().state_dict(), "base")
    publish(home, base)
    return snapshot_of(home, base, tmp_path / "0")


Take = Callable[..., NewCandidate]


@pytest.fixture
def take(home: Home, parent: Snapshot, tmp_path: Path) -> Take:
    """What a worker makes of a payload."""

    def candidate(payload: bytes, task: Task | None = None) -> NewCandidate:
        sha256 = home.objects.put(payload).sha256
        data = str(tmp_path / "data")
        spec = TrainingSpec(
            "update", "m", data, "mixed", method="given", budget=1.0, checkpoint=sha256, measured=MEASURED
        )
        return home.run(spec, find=lambda name: task or MixedTask())

    return candidate


def test_it_becomes_the_version_that_devices_compute(take: Take, parent: Snapshot, tmp_path: Path) -> None:
    diff = sparse_diff(parent.table)
    payload = whole(parent)
    candidate = take(payload)
    assert (candidate.payload, candidate.method) == (payload, "given")
    assert candidate.manifest["kind"] == "sparse"
    assert candidate.digest == apply(parent, [diff], tmp_path / "1")
    origin, measured = candidate.notes
    assert origin.endswith("trained elsewhere")
    assert measured == "measured by its maker, not by this server: street 0.75 % (3 of 400)"


def whole(parent: Snapshot) -> bytes:
    return encode(sparse_diff(parent.table), parent.table, parent.digest())


def of_nothing(parent: Snapshot) -> bytes:
    return encode(Diff("sparse", (None,) * len(parent.table)), parent.table, parent.digest())


def of_another_version(parent: Snapshot) -> bytes:
    return encode(sparse_diff(parent.table), parent.table, "0" * 64)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (of_another_version, "does not start from version 0"),
        (lambda parent: whole(parent)[:-1], "no diff for this model"),
        (lambda parent: b"NDIF", "no diff for this model"),
        (of_nothing, "leaves version 0 as it is"),
    ],
    ids=["of another version", "cut off", "of four bytes", "of nothing"],
)
def test_what_cannot_be_applied_is_refused(
    take: Take, parent: Snapshot, payload: Callable[[Snapshot], bytes], reason: str
) -> None:
    with pytest.raises(Invalid, match=reason):
        take(payload(parent))


class OneLayer(MixedTask):
    """A task whose network has changed since the base was made; with it nothing can be measured."""

    def network(self, seed: int) -> nn.Module:
        return nn.Linear(40, 30)

    def measure(self, session: object, examples: Sequence[object]) -> Errors:
        raise AssertionError("the diff was measured")


def test_a_task_of_another_network_is_refused_before_the_diff_is_measured(take: Take, parent: Snapshot) -> None:
    with pytest.raises(
        TaskError, match=r"network of the task points is not the published one: bias \(float32 \[30\], in"
    ):
        take(whole(parent), OneLayer())


def test_figures_of_ones_own_come_with_a_diff_of_ones_own() -> None:
    with pytest.raises(Invalid, match="a diff of one's own"):
        require_sense(TrainingSpec("update", "m", "/data", measured=MEASURED))
