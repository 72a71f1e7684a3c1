"""int8 layers: what they compute, and diffs of them in whole int8 steps, as devices hold them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from diffclient.tensors.snapshot import Snapshot
from diffserver.diffs import Int8Linear, LoopError, TrainedDiff, apply, hashed, snapshot, sparse, to_int8
from tests.server.diffs.loops import NEW, OLD, batches, errors_on, improve, knowing, teach, weights

METHODS = {"sparse": sparse, "hashed": hashed}
STEPS = 120

every_method = pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
Make = Callable[..., TrainedDiff]


def quantised(per_channel: bool = True, headroom: float = 2.0) -> nn.Module:
    """The network that knows the old classes, in int8."""
    return to_int8(knowing(), per_channel=per_channel, headroom=headroom)


def layers(network: nn.Module) -> dict[str, Int8Linear]:
    return {name: module for name, module in network.named_modules() if isinstance(module, Int8Linear)}


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("headroom", [1.0, 2.0])
def test_weights_move_by_half_a_step_at_most(per_channel: bool, headroom: float) -> None:
    before = dict(knowing().named_parameters())
    for name, layer in layers(quantised(per_channel=per_channel, headroom=headroom)).items():
        fp32 = before[f"{name}.weight"]
        assert layer.weight.dtype == torch.int8
        assert bool(((layer.weight * layer.weight_scale - fp32).abs() <= 0.5001 * layer.weight_scale).all())
        assert abs(int(layer.weight.abs().max()) - 127 / headroom) <= 0.5
        assert layer.weight_scale.numel() == (len(fp32) if per_channel else 1)
        assert layer.bias is not None
        assert torch.equal(layer.bias, before[f"{name}.bias"])


def test_layers_that_share_a_matrix_stay_as_they_are() -> None:
    network = nn.Sequential(nn.Embedding(6, 4), nn.Linear(4, 4), nn.Linear(4, 6))
    network[2].weight = network[0].weight
    assert [type(layer) for layer in to_int8(network)] == [nn.Embedding, Int8Linear, nn.Linear]


def test_a_row_of_zeros_has_a_scale() -> None:
    layer = nn.Linear(3, 2)
    nn.init.zeros_(layer.weight)
    assert not to_int8(nn.Sequential(layer))(torch.ones(1, 3)).isnan().any()


@every_method
@pytest.mark.parametrize("per_channel", [False, True])
def test_a_diff_in_int8_teaches_what_a_device_gets(make: Make, per_channel: bool, tmp_path: Path) -> None:
    model = quantised(per_channel=per_channel)
    before, first = errors_on(model, NEW), snapshot(model, tmp_path / "0")
    diff = make(model, 0.1, STEPS)
    teach(diff)
    about = diff.save(tmp_path / "1.ndiff")
    assert about.parent == first
    assert apply(tmp_path / "0", tmp_path / "1.ndiff", tmp_path / "1") == about.digest
    parent, device = Snapshot(tmp_path / "0"), Snapshot(tmp_path / "1")
    matrices = [spec.name for spec in parent.table if spec.dtype == "I8"]
    assert matrices
    for name in matrices:
        assert not np.array_equal(parent.read(name), device.read(name))
    diff.finish()
    assert all(np.array_equal(device.read(name), array) for name, array in weights(model).items())
    assert {array.dtype for name, array in weights(model).items() if name in matrices} == {np.dtype(np.int8)}
    assert errors_on(model, NEW) < 0.2 < before
    assert errors_on(model, OLD) < 0.2


@every_method
def test_while_values_are_quantised_a_forward_pass_has_whole_numbers_within_int8(make: Make) -> None:
    model = quantised(headroom=1.0)
    diff = make(model, 0.1, STEPS)
    layer = next(iter(layers(model).values()))
    assert torch.equal(layer.weight, layer.weight.round())
    teach(diff, optimiser=torch.optim.Adam(diff.parameters(), 0.1))
    made = layer.weight.detach()
    assert bool(((made == made.round()) & (made >= -128) & (made <= 127)).all())


@every_method
def test_gradients_reach_values_as_those_of_weights(make: Make) -> None:
    model, twin = quantised(), knowing()
    vectors, labels = next(batches(OLD, 1, seed=4))
    with torch.no_grad():
        for name, layer in layers(model).items():
            twin.get_submodule(name).weight.copy_(layer.weight * layer.weight_scale)  # type: ignore[operator]
    nn.functional.cross_entropy(twin(vectors), labels).backward()  # type: ignore[no-untyped-call]
    diff = make(model, 0.1, STEPS)
    nn.functional.cross_entropy(model(vectors), labels).backward()  # type: ignore[no-untyped-call]
    for name, parameter in twin.named_parameters():
        gradient = diff.method.parts[name].values.grad
        assert gradient is not None
        assert parameter.grad is not None
        if make is sparse:
            assert torch.allclose(gradient, parameter.grad, rtol=1e-4, atol=1e-6)
        assert bool(gradient.any())


@every_method
@pytest.mark.parametrize("stopped", [45, 110])
def test_training_goes_on_from_a_saved_state_to_the_same_bits(make: Make, stopped: int, tmp_path: Path) -> None:
    straight = make(quantised(), 0.1, STEPS)
    teach(straight)
    first = make(quantised(), 0.1, STEPS)
    optimiser = torch.optim.Adam(first.parameters(), 0.02)
    for vectors, labels in list(batches(range(8), STEPS, seed=2))[:stopped]:
        improve(first.network, optimiser, vectors, labels)
        first.step()
    torch.save({"diff": first.state_dict(), "optimiser": optimiser.state_dict()}, tmp_path / "state")
    again, state = make(quantised(), 0.1, STEPS), torch.load(tmp_path / "state")
    again.load_state_dict(state["diff"])
    optimiser = torch.optim.Adam(again.parameters(), 0.02)
    optimiser.load_state_dict(state["optimiser"])
    teach(again, optimiser=optimiser)
    assert again.digest == straight.digest


def test_scales_may_be_told_or_found_and_name_what_is_trained() -> None:
    model = quantised(per_channel=False)
    scales = {f"{name}.weight": float(layer.weight_scale) for name, layer in layers(model).items()}
    found = sparse(model, 0.1, STEPS)
    assert found.method.parts.keys() >= scales.keys()
    teach(found)
    digest = found.digest
    found.remove()
    told = sparse(model, 0.1, STEPS, scales=scales)
    teach(told)
    assert told.digest == digest
    told.remove()
    assert not sparse(model, 0.1, STEPS, scales={}).method.parts.keys() & scales.keys()


@pytest.mark.parametrize(
    ("scales", "named"),
    [
        ({"0.bias": 0.1}, r"no int8 tensor 0\.bias"),
        ({"0.weight": -0.1}, r"scale of 0\.weight"),
        ({"0.weight": torch.ones(5)}, r"scale of 0\.weight"),
    ],
)
def test_scales_that_do_not_fit_are_refused(scales: dict[str, float], named: str) -> None:
    with pytest.raises(LoopError, match=named):
        sparse(quantised(), 0.1, STEPS, scales=scales)


def test_a_diff_is_taken_out_and_int8_is_as_it_was() -> None:
    model = quantised()
    diff = sparse(model, 0.1, STEPS)
    before = {name: layer.weight.detach() for name, layer in layers(model).items()}
    teach(diff)
    diff.remove()
    for name, layer in layers(model).items():
        assert layer.weight.dtype == torch.int8
        assert torch.equal(layer.weight, before[name])
    assert not [name for name in model.state_dict() if "parametrizations" in name]
