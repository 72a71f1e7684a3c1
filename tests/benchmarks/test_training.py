"""The benchmark of training on points: every method is trained to its end, and ratios are of the same round."""

from __future__ import annotations

import pytest

from benchmarks.training import METHODS, Costs, measure
from diffserver.training.batches import Lesson
from tests.server.points import CLASSES, PointsTask


def test_every_method_is_trained_in_every_round() -> None:
    task = PointsTask()
    costs = measure(task, Lesson(task.domain(range(CLASSES), 200, seed=1)), rounds=2, shorter=20)
    assert [set(seconds) for seconds in costs.rounds] == [set(METHODS)] * 2
    assert costs.ratio("full") == 1


def test_a_round_is_compared_with_itself() -> None:
    costs = Costs([{"full": 1, "sparse": 1.25}, {"full": 4, "sparse": 6}, {"full": 2, "sparse": 2}])
    assert costs.ratio("sparse") == pytest.approx(1.25)
