"""Checkpoints of networks that hold more than fp32: bf16, masks with infinities, truth values, tables, counters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'diffserver[train]'")

from torch import Tensor  # noqa: E402

from diffclient.diff.apply import apply  # noqa: E402
from diffclient.errors import RangeError  # noqa: E402
from diffclient.payload.decode import open_payload  # noqa: E402
from diffclient.tensors.snapshot import Snapshot  # noqa: E402
from diffserver.errors import CheckpointError  # noqa: E402
from tests.server.pipeline.home import Home  # noqa: E402
from tests.server.pipeline.mixed import Mixed, State, home_with_data, publish, run, snapshot_of  # noqa: E402


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_with_data(tmp_path)


def bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes() if tensor.dim() else tensor.numpy().tobytes()


OFF_GRID = (
    "causal", "inv_freq", "lone", "mask", "narrow.bias", "narrow.weight", "norm.num_batches_tracked",
    "norm.running_mean", "norm.running_var", "steps",
)  # fmt: skip


def test_a_base_of_every_kind_of_tensor_enters(home: Home, tmp_path: Path) -> None:
    state = Mixed().state_dict()
    base = run(home, tmp_path, state, "base")
    snapshot = snapshot_of(home, base, tmp_path / "0")
    dtypes = {spec.name: spec.dtype for spec in snapshot.table}
    assert (dtypes["narrow.weight"], dtypes["causal"], dtypes["norm.num_batches_tracked"]) == ("BF16", "BOOL", "I64")
    assert tuple(spec.name for spec in snapshot.table if spec.grid is None) == OFF_GRID
    for name in OFF_GRID:
        assert snapshot.read(name).tobytes() == bits(state[name]), name
    assert [note.rpartition(" ")[2] for note in base.notes if "stays off the grid" in note] == ["inv_freq", "mask"]


def learned(state: State) -> State:
    """The state after training: every weight moved, statistics far from where they began."""
    torch.manual_seed(5)
    moved = {name: tensor.clone() for name, tensor in state.items()}
    for name in ("head.weight", "head.bias", "narrow.weight", "narrow.bias", "norm.weight"):
        moved[name] += (0.01 * torch.randn(moved[name].shape)).to(moved[name].dtype)
    moved["norm.running_var"] = 30 * torch.rand(30) + 1
    moved["norm.num_batches_tracked"] += 1000
    moved["counter"] += 123_457
    moved["causal"][0] = True
    moved["mask"][0] = 0
    moved["mask"][4] = -torch.inf
    return moved


def test_a_successive_release_travels_as_exact_and_then_as_sparse(home: Home, tmp_path: Path) -> None:
    state = Mixed().state_dict()
    publish(home, run(home, tmp_path, state, "base"))
    expected = learned(state)
    first = run(home, tmp_path, expected, "update")
    publish(home, first)
    version = snapshot_of(home, first, tmp_path / "1")
    for spec in version.table:
        if spec.grid is None:
            assert version.read(spec.name).tobytes() == bits(expected[spec.name]), spec.name
        else:
            assert np.abs(version.read(spec.name) - expected[spec.name].numpy()).max() <= 2.0 ** (-spec.grid - 1)
    assert version.read("counter") == 123_457
    expected["head.weight"] = expected["head.weight"] + 0.05
    expected["narrow.weight"] = expected["narrow.weight"] + 0.5
    expected["lone"], expected["steps"] = expected["lone"] + 1, expected["steps"] - 1
    second = run(home, tmp_path, expected, "update", "sparse")
    assert [note.rpartition(" ")[2] for note in second.notes if "counted as 1/128" in note] == ["lone"]
    publish(home, second)
    base = snapshot_of(home, run(home, tmp_path, state, "base"), tmp_path / "0")
    table, chain = base.table, []
    for candidate, parent in ((first, base.digest()), (second, first.digest)):
        chain.append(open_payload(candidate.payload or b"", table, parent))
        table = chain[-1].table_after
    assert apply(base, chain, tmp_path / "whole") == second.digest
    assert np.abs(Snapshot(tmp_path / "whole").read("head.weight") - expected["head.weight"].numpy()).max() < 0.01


@pytest.mark.parametrize("name", ["head.weight", "narrow.bias"])
@pytest.mark.parametrize("bad", [torch.nan, -torch.inf])
def test_trained_weights_must_be_finite(home: Home, tmp_path: Path, name: str, bad: float) -> None:
    state = Mixed().state_dict()
    publish(home, run(home, tmp_path, state, "base"))
    broken = {key: tensor.clone() for key, tensor in state.items()}
    broken[name].view(-1)[2] = bad
    with pytest.raises(CheckpointError, match=f"{name} holds a number that is not finite"):
        run(home, tmp_path, broken, "update")
    with pytest.raises(RangeError, match=f"{name}: the tensor holds a weight that is not finite"):
        run(home, tmp_path, broken, "base")
