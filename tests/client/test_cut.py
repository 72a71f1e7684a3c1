from __future__ import annotations

import numpy as np
import pytest

from diffclient.cut import cut
from diffclient.diff import CHUNK, Exact, Sparse


def sparse(positions: list[int], levels: list[int]) -> Sparse:
    return Sparse(np.array(positions, np.int64), np.array(levels, np.int32), 1)


def test_gaps_lead_from_change_to_change() -> None:
    (found,) = cut(sparse([0, 1, 5], [1, -2, 3]), 100, block=1)
    assert found.gaps.tolist() == [0, 0, 3]
    assert [run.tolist() for run in found.values] == [[1, -2, 3]]


def test_patterns_and_contexts_say_what_changes_in_a_block() -> None:
    (found,) = cut(sparse([1, 2, 4, 15], [-1, -2, 3, 4]), 20, block=5)
    assert (found.count, found.gaps.tolist(), found.patterns.tolist()) == (2, [0, 2], [0b10110, 0b00001])
    first, adjacent, apart = (run.tolist() for run in found.values)
    assert (first, adjacent, apart) == ([-1, 4], [2], [-3])


def test_every_chunk_is_cut_by_itself() -> None:
    found = list(cut(sparse([3, CHUNK + 4], [1, 2]), 2 * CHUNK + 10, block=1))
    assert [each.count for each in found] == [1, 1, 0]
    assert [each.gaps.tolist() for each in found] == [[3], [4], []]


@pytest.mark.parametrize("block", [1, 3])
def test_a_chunk_in_which_all_blocks_change_has_no_gaps(block: int) -> None:
    (found,) = cut(sparse([0, 1, 2, 3], [1, 2, 3, 4]), 4, block)
    assert found.gaps.size == 0
    assert found.count == -(-4 // block)


def test_where_most_weights_change_each_has_a_value() -> None:
    (found,) = cut(Exact(np.array([0, 2, 3]), np.array([5, -6, 7])), 5, block=1)
    assert (found.count, found.gaps.size) == (5, 0)
    assert found.values[0].tolist() == [5, 0, -6, 7, 0]
