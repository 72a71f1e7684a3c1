"""A diff in a loop of one's own: what it learns, that it is what devices get, how it goes on, and what traps say."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from diffclient.tensors.snapshot import Snapshot
from diffserver.diffs import LoopError, MethodError, TrainedDiff, apply, hashed, snapshot, sparse
from tests.server.diffs.loops import NEW, OLD, batches, errors_on, improve, knowing, teach, weights
from tests.server.points import Counting

METHODS = {"sparse": sparse, "hashed": hashed}
STEPS = 120

every_method = pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
Make = Callable[..., TrainedDiff]


@pytest.fixture
def model() -> nn.Module:
    return knowing()


@every_method
def test_a_plain_loop_trains_what_a_device_gets(model: nn.Module, make: Make, tmp_path: Path) -> None:
    first = snapshot(model, tmp_path / "0")
    before = errors_on(model, NEW)
    diff = make(model, 0.1, STEPS)
    teach(diff)
    about = diff.save(tmp_path / "1.ndiff")
    size = 4 * sum(array.size for array in weights(diff.finish()).values())
    assert (about.parent, about.digest, about.payload_bytes) == (first, diff.digest, diff.bytes)
    assert 0.85 * 0.1 * size < diff.bytes <= 0.1 * size
    assert apply(tmp_path / "0", tmp_path / "1.ndiff", tmp_path / "1") == diff.digest
    device = Snapshot(tmp_path / "1").read_all()
    assert all(np.array_equal(device[name], array) for name, array in weights(model).items())
    assert errors_on(model, NEW) < 0.15 < before
    assert errors_on(model, OLD) < 0.15
    assert 0 < diff.density <= 1


def test_a_line_goes_on_from_the_version_that_devices_have(model: nn.Module, tmp_path: Path) -> None:
    snapshot(model, tmp_path / "0")
    for number in (1, 2):
        diff = sparse(model, 0.05, 40, parent=tmp_path / str(number - 1))
        teach(diff)
        diff.save(tmp_path / f"{number}.ndiff")
        diff.finish()
        assert apply(tmp_path / str(number - 1), tmp_path / f"{number}.ndiff", tmp_path / str(number)) == diff.digest
    with pytest.raises(LoopError, match=r"differ in 0\.bias"):
        sparse(nn.Linear(3, 3), parent=tmp_path / "0")


@every_method
@pytest.mark.parametrize("stopped", [45, 110])
def test_training_goes_on_from_a_saved_state_to_the_same_bits(make: Make, stopped: int, tmp_path: Path) -> None:
    straight = make(knowing(), 0.1, STEPS)
    teach(straight)
    first, parts = make(knowing(), 0.1, STEPS), []
    optimiser = torch.optim.Adam(first.parameters(), 0.02)
    for vectors, labels in list(batches(range(8), STEPS, seed=2))[:stopped]:
        improve(first.network, optimiser, vectors, labels)
        first.step()
    torch.save({"diff": first.state_dict(), "optimiser": optimiser.state_dict()}, tmp_path / "state")
    parts.append(first)
    again = make(knowing(), 0.1, STEPS)
    state = torch.load(tmp_path / "state")
    optimiser = torch.optim.Adam(again.parameters(), 0.02)
    again.load_state_dict(state["diff"])
    optimiser.load_state_dict(state["optimiser"])
    teach(again, optimiser=optimiser)
    assert again.digest == straight.digest
    assert again.bytes == straight.bytes


def test_a_state_of_another_diff_is_refused() -> None:
    state = sparse(knowing(), 0.1, 20).state_dict()
    for other, named in (
        (sparse(knowing(), 0.1, 30), "another steps"),
        (sparse(knowing(seed=1), 0.1, 20), "another parent"),
        (hashed(knowing(), 0.2, 20), "another kind, budget"),
    ):
        with pytest.raises(LoopError, match=named):
            other.load_state_dict(state)


@pytest.mark.parametrize(
    "optimiser",
    [
        lambda values: torch.optim.SGD(values, 0.5, momentum=0.9),
        lambda values: torch.optim.AdamW(values, 0.02, weight_decay=0.01),
        lambda values: torch.optim.RMSprop(values, 0.005),
    ],
    ids=["sgd", "adamw", "rmsprop"],
)
def test_any_optimiser_will_do(model: nn.Module, optimiser: Callable[[Any], torch.optim.Optimizer]) -> None:
    diff = sparse(model, 0.15, STEPS)
    teach(diff, optimiser=optimiser(diff.parameters()))
    assert errors_on(diff.finish(), NEW) < 0.2


def test_autocast_gathering_and_clipping(model: nn.Module) -> None:
    diff = sparse(model, 0.15, STEPS)
    optimiser, scaler = torch.optim.Adam(diff.parameters(), 0.02), torch.amp.GradScaler("cpu", enabled=True)
    for number, (vectors, labels) in enumerate(batches(range(8), 2 * STEPS, seed=2), start=1):
        with torch.autocast("cpu", torch.bfloat16):
            loss = nn.functional.cross_entropy(model(vectors), labels) / 2
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if number % 2 == 0:
            scaler.unscale_(optimiser)
            nn.utils.clip_grad_norm_(diff.parameters(), 1.0)
            scaler.step(optimiser)
            scaler.update()
            diff.step()
            optimiser.zero_grad()
    assert errors_on(diff.finish(), NEW) < 0.2


@every_method
def test_a_compiled_model_is_compiled_a_few_times_and_learns_the_same(make: Make) -> None:
    torch._dynamo.reset()
    graphs = 0

    def count(graph: torch.fx.GraphModule, _: object) -> Callable[..., Any]:
        nonlocal graphs
        graphs += 1
        return graph.forward

    plain, compiled = make(knowing(), 0.1, 60), make(knowing(), 0.1, 60)
    teach(plain)
    teach(compiled, network=torch.compile(compiled.network, backend=count))  # type: ignore[arg-type]
    assert graphs <= 4, "one for each way that values are used"
    assert compiled.digest == plain.digest


@every_method
def test_frozen_parts_and_other_dtypes_stay(make: Make, tmp_path: Path) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = knowing()
            self.narrow = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
            self.register_buffer("steps", torch.arange(3))
            self.register_buffer("scale", torch.full((2,), 0.3))

        def forward(self, vectors: torch.Tensor) -> Any:
            return self.body(vectors) + 0 * self.narrow.sum().float()

    model = Mixed()
    model.body[0].weight.requires_grad_(False)  # type: ignore[index]
    snapshot(model, tmp_path / "0")
    before = copy.deepcopy(model.state_dict())
    diff = make(model, 0.2, 40)
    teach(diff)
    diff.save(tmp_path / "1.ndiff")
    after = diff.finish().state_dict()
    apply(tmp_path / "0", tmp_path / "1.ndiff", tmp_path / "1")
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert changed == {"body.0.bias", "body.2.weight", "body.2.bias"}
    assert model.narrow.requires_grad


def test_numbers_are_heard_at_every_step(model: nn.Module) -> None:
    heard: list[tuple[int, Mapping[str, float]]] = []
    teach(sparse(model, 0.1, 50, on_step=lambda step, numbers: heard.append((step, dict(numbers)))))
    assert [step for step, _ in heard] == list(range(1, 51))
    assert set(heard[-1][1]) == {"progress", "density", "threshold", "temperature", "payload_bytes"}
    assert heard[-1][1]["progress"] == 1


def test_remove_gives_the_parent_back(model: nn.Module) -> None:
    diff = sparse(model, 0.1, 30)
    before = {name: array.copy() for name, array in diff.parent.weights.items()}
    teach(diff)
    diff.remove()
    assert all(np.array_equal(before[name], array) for name, array in weights(model).items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_it_says_what_rounding_took(model: nn.Module) -> None:
    (note,) = sparse(model).notes
    assert "weights were rounded to their grids: the most in" in note


@every_method
def test_running_statistics_stay_whatever_mode_the_loop_asks_for(make: Make, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 8))
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for vectors, labels in batches(OLD, 60, seed=1):
        improve(model, optimiser, vectors, labels)
    snapshot(model, tmp_path / "0")
    before, device = weights(model), copy.deepcopy(model)
    diff = make(model, 0.1, STEPS, parent=tmp_path / "0")
    assert "running statistics: 1.running_mean, 1.running_var" in diff.notes[-1]
    model.train()
    teach(diff)
    diff.save(tmp_path / "1.ndiff")
    diff.finish()
    assert all(np.array_equal(weights(model)[name], before[name]) for name in before if name.startswith("1.running"))
    assert model.train()[1].training, "the layer obeys again"
    apply(tmp_path / "0", tmp_path / "1.ndiff", tmp_path / "1")
    device.load_state_dict({name: torch.tensor(array) for name, array in Snapshot(tmp_path / "1").read_all().items()})
    assert errors_on(device.eval(), NEW) < 0.15


def replaced(diff: TrainedDiff) -> None:
    """As `model.to` does where a device asks for new parameters."""
    diff.parameters()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        diff.network.to(torch.float64).to(torch.float32)
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)
    diff.step()


def overwritten(diff: TrainedDiff) -> None:
    with torch.no_grad():
        diff.network[0].parametrizations.weight.original.add_(1)  # type: ignore[index]
    diff.step()


def counted(_: TrainedDiff) -> None:
    teach(sparse(Counting(), 0.9, 10))


def cast(diff: TrainedDiff) -> None:
    diff.network.half()
    diff.step()


def one_more(diff: TrainedDiff) -> None:
    teach(diff)
    diff.step()


def not_trained(diff: TrainedDiff) -> None:
    for _ in range(diff.steps):
        diff.step()


TRAPS: dict[str, tuple[Callable[[TrainedDiff], object], str]] = {
    "saved early": (lambda diff: diff.save("never"), r"at step 0 of 10: .*train on to its end"),
    "asked early": (lambda diff: diff.bytes, "at step 0 of 10"),
    "finished early": (lambda diff: diff.finish(), "at step 0 of 10"),
    "no training": (not_trained, r"no value .* in 5 steps: make the optimiser from"),
    "optimiser before to": (replaced, r"which was moved since: make the optimiser .* after model\.to"),
    "cast": (cast, r"cast to another dtype .* under torch\.autocast"),
    "weights changed": (overwritten, r"0\.weight is not what it was"),
    "a buffer moved": (counted, r"training changed calls, which no sparse diff carries: keep it as it is"),
    "a step too many": (one_more, "all 10 steps"),
}


@pytest.mark.parametrize(("trap", "said"), TRAPS.values(), ids=TRAPS)
def test_traps_say_the_way_out(model: nn.Module, trap: Callable[[TrainedDiff], object], said: str) -> None:
    diff = sparse(model, 0.1, 10)
    with pytest.raises(LoopError, match=said):
        trap(diff)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: sparse(knowing(), budget=0), "budget of 0"),
        (lambda: sparse(knowing(), steps=0), "0 steps train nothing"),
        (lambda: sparse(knowing().half()), "no tensor can be trained"),
        (lambda: sparse(knowing().requires_grad_(False)), "no tensor can be trained"),
    ],
    ids=["budget", "steps", "half", "frozen"],
)
def test_what_cannot_be_trained_is_refused(make: Callable[[], TrainedDiff], said: str) -> None:
    with pytest.raises(MethodError, match=said):
        make()
