from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from diffclient.apply import apply
from diffclient.arithmetic import LIMIT, ONE
from diffclient.diff import Diff, Sparse, values
from diffclient.errors import RangeError
from diffclient.weights import Snapshot
from tests.factories import SHAPES, hashed_diff, sparse_diff, write_version

KINDS = [sparse_diff, hashed_diff]


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize(("alpha", "beta"), [(ONE, ONE), (ONE * 3 // 4, -ONE // 2), (0, ONE), (ONE + 1, 7)])
def test_weights_become_the_linear_combination_to_the_bit(tmp_path: Path, make: object, alpha: int, beta: int) -> None:
    version = write_version(tmp_path / "0")
    diff = replace(make(version.table), alpha=alpha, beta=beta)  # type: ignore[operator]
    digest = apply(version.snapshot, [diff], tmp_path / "1")
    after = Snapshot(tmp_path / "1")
    assert after.digest() == digest
    for index, spec in enumerate(version.table):
        assert spec.grid is not None
        change = values(diff, index, spec.size)
        before, result = version.snapshot.read(spec.name).reshape(-1), after.read(spec.name).reshape(-1)
        if change is None:
            assert np.array_equal(before, result)
            continue
        unit = Fraction(2) ** -spec.grid
        for w, d, out in zip(before.tolist(), change.tolist(), result.tolist(), strict=True):
            assert Fraction(out) == round((alpha * Fraction(w) / unit + beta * d) / ONE) * unit


def test_a_chain_in_one_pass_gives_the_same_bytes_as_step_by_step(tmp_path: Path) -> None:
    version = write_version(tmp_path / "0")
    chain = [KINDS[seed % 2](version.table, seed) for seed in range(5)]
    at_once = apply(version.snapshot, chain, tmp_path / "once")
    for seed, diff in enumerate(chain):
        stepwise = apply(Snapshot(tmp_path / str(seed)), [diff], tmp_path / str(seed + 1))
    assert stepwise == at_once
    assert (tmp_path / "once").read_bytes() == (tmp_path / "5").read_bytes()


def test_untouched_weights_keep_their_bits_and_an_empty_chain_copies(tmp_path: Path) -> None:
    version = write_version(tmp_path / "0")
    assert apply(version.snapshot, [], tmp_path / "1") == version.digest
    assert (tmp_path / "1").read_bytes() == version.snapshot.path.read_bytes()


def test_a_diff_that_leaves_the_grid_is_refused(tmp_path: Path) -> None:
    version = write_version(tmp_path / "0")
    push = Sparse(np.array([0]), np.array([2], np.int16), LIMIT)
    diff = Diff("sparse", (push,) + (None,) * (len(SHAPES) - 1))
    with pytest.raises(RangeError, match="new snapshot"):
        apply(version.snapshot, [diff], tmp_path / "1")
