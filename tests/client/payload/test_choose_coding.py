from __future__ import annotations

import numpy as np
import pytest

from diffclient.diff.streams import Exact, Hashed, Sparse, Stream
from diffclient.payload import choose_coding
from diffclient.tensors.snapshot import TensorSpec

CONV = TensorSpec("conv", (60, 40, 5), "F32", 20)
RNG = np.random.default_rng(2)
KERNELS = np.sort(RNG.choice(2400, 700, replace=False))


def sparse(positions: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Sparse:
    return Sparse(positions, np.ones(len(positions), np.int32), 1)


def test_kernels_that_change_together_are_coded_together() -> None:
    whole_kernels = (KERNELS[:, None] * 5 + np.arange(5)).reshape(-1)
    (plan,) = choose_coding.choose([(CONV, sparse(whole_kernels))]).plans
    assert (plan.block, plan.classes) == (5, None)
    assert plan.roles == ("gaps", "patterns of 5", "values", "values", "values")


def test_scattered_changes_are_coded_one_by_one() -> None:
    (plan,) = choose_coding.choose([(TensorSpec("flat", (12_000,), "F32", 20), sparse(KERNELS * 5))]).plans
    assert (plan.block, plan.roles) == (1, ("gaps", "values"))


def test_rows_of_their_own_density_are_classes() -> None:
    dense = np.arange(60) < 20
    chosen = np.flatnonzero(RNG.random((60, 200)) < np.where(dense, 0.5, 0.03)[:, None])
    (plan,) = choose_coding.choose([(TensorSpec("w", (60, 200), "F32", 20), sparse(chosen))]).plans
    assert plan.classes is not None
    assert plan.classes.rows[dense].min() > plan.classes.rows[~dense].max()


@pytest.mark.parametrize(
    "stream",
    [Hashed(np.arange(-3, 4, dtype=np.int32), 1), Exact(np.array([3, 4]), np.array([-(2**40), 2**40]))],
    ids=["hashed", "exact"],
)
def test_every_run_comes_with_a_codebook_that_holds_it(stream: Stream) -> None:
    coding = choose_coding.choose([(TensorSpec("w", (10,), "I64", None), stream)])
    for book, run in coding.runs():
        assert book.low <= run.min() <= run.max() < book.end
        assert book.flaw is None


def test_nothing_takes_no_codebooks() -> None:
    assert choose_coding.choose([]).books == ()
