"""The cost of a step: kinds take turns, a schedule costs only those that have one, and figures replace earlier ones."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch: pip install 'diffserver[train]'")

import torch
from torch import Tensor, nn

from benchmarks.step_cost import KINDS, Case, seconds, write


def loss(network: nn.Module, device: str) -> Tensor:
    found: Tensor = network(torch.randn(4, 16, device=device)).square().mean()
    return found


def test_every_kind_is_timed_and_only_a_diff_has_a_schedule() -> None:
    found = seconds(Case("points", 10, 5, partial(nn.Linear, 16, 16), loss, {}), "cpu")
    assert found["seconds"].keys() == set(KINDS)
    assert all(found["seconds"][kind] > found["seconds_of_schedule"][kind] for kind in KINDS)
    assert found["seconds_of_schedule"]["full"] < min(
        found["seconds_of_schedule"][kind] for kind in ("sparse", "hashed")
    )


def test_a_case_replaces_its_earlier_figures_alone(tmp_path: Path) -> None:
    path = tmp_path / "step_cost.json"
    for device, steps in (("cpu", 1), ("cuda", 2), ("cpu", 3)):
        write(path, {"case": "points", "device": device, "steps": steps})
    assert [(case["device"], case["steps"]) for case in json.loads(path.read_text())["cases"]] == [
        ("cuda", 2),
        ("cpu", 3),
    ]
