"""What fits a model although its names differ: tied weights, and positions that are counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from diffclient.tensors.snapshot import Array, enter_grid
from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.checkpoints.fit import NAMED, Hints, fit, is_another_model, table_changes
from diffserver.errors import CheckpointError
from tests.server.checkpoint_files import save

WEIGHT = np.arange(6, dtype="f4").reshape(2, 3)
POSITIONS = np.arange(4)


class Parent:
    """Weights that a checkpoint may leave out."""

    def read(self, name: str) -> Array:
        assert name == "bert.position_ids"
        return POSITIONS


def checkpoint(tmp_path: Path, **tensors: Array) -> Checkpoint:
    return Checkpoint(save(tmp_path / "c", {name.replace("_dot_", "."): array for name, array in tensors.items()}))


def test_a_tied_tensor_that_comes_twice_is_one(tmp_path: Path) -> None:
    table, _ = enter_grid({"embed": WEIGHT})
    fitted = fit(checkpoint(tmp_path, embed=WEIGHT, head=WEIGHT), table)
    assert fitted.read("embed").tolist() == WEIGHT.tolist()
    assert fitted.notes == ("head has the very weights of embed, and comes once",)


def test_a_tied_tensor_comes_under_its_other_name(tmp_path: Path) -> None:
    table, _ = enter_grid({"embed": WEIGHT})
    assert fit(checkpoint(tmp_path, head=WEIGHT), table, Hints({"head": "embed"})).read("embed").tolist()


def test_two_names_with_different_weights_are_two_tensors(tmp_path: Path) -> None:
    table, _ = enter_grid({"embed": WEIGHT})
    with pytest.raises(CheckpointError, match="has tensors that the model has not: head"):
        fit(checkpoint(tmp_path, embed=WEIGHT, head=WEIGHT + 1), table, Hints({"head": "embed"}))


def test_positions_may_be_missing(tmp_path: Path) -> None:
    table, _ = enter_grid({"embed": WEIGHT, "bert.position_ids": POSITIONS})
    fitted = fit(checkpoint(tmp_path, embed=WEIGHT), table, Hints(weights=Parent()))
    assert fitted.read("bert.position_ids").tolist() == POSITIONS.tolist()
    with pytest.raises(CheckpointError, match="lacks embed"):
        fit(checkpoint(tmp_path, bert_dot_position_ids=POSITIONS), table, Hints(weights=Parent()))


def test_positions_may_be_too_many(tmp_path: Path) -> None:
    table, _ = enter_grid({"embed": WEIGHT})
    fitted = fit(checkpoint(tmp_path, embed=WEIGHT, bert_dot_position_ids=POSITIONS), table)
    assert fitted.notes == ("bert.position_ids is left out: the model has none",)


def test_the_changes_of_a_table_are_told_by_name() -> None:
    many = {f"layer{number}": WEIGHT for number in range(NAMED + 2)}
    before, _ = enter_grid({"embed": WEIGHT, "kept": POSITIONS, "old": WEIGHT})
    after, _ = enter_grid({"embed": np.arange(9, dtype="f2").reshape(3, 3), "kept": POSITIONS} | many)
    assert list(table_changes(before, after)) == [
        "new tensors: layer0, layer1, layer2, layer3, layer4 and 2 more",
        "tensors that are gone: old",
        "other shapes: embed (F32 [2, 3] to F16 [3, 3])",
    ]
    assert list(table_changes(before, before)) == []
    assert not is_another_model(before, after)
    assert is_another_model(before, enter_grid(many)[0])
