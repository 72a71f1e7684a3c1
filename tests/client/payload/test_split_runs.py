from __future__ import annotations

import numpy as np
import pytest

from diffclient.diff.streams import CHUNK, Exact, Sparse
from diffclient.payload.block_classes import Classes
from diffclient.payload.split_runs import changed_blocks, cut


def sparse(positions: list[int], levels: list[int]) -> Sparse:
    return Sparse(np.array(positions, np.int64), np.array(levels, np.int32), 1)


def runs(stream: Sparse | Exact, size: int, block: int, classes: Classes | None = None) -> list[list[list[int]]]:
    """The runs of each class of the only chunk."""
    (chunk,) = cut(stream, size, block, classes)
    return [[run.tolist() for run in piece.runs] for piece in chunk]


def test_gaps_lead_from_change_to_change() -> None:
    assert runs(sparse([0, 1, 5], [1, -2, 3]), 100, block=1) == [[[0, 0, 3], [1, -2, 3]]]


def test_patterns_and_contexts_say_what_changes_in_a_block() -> None:
    ((gaps, patterns, first, adjacent, apart),) = runs(sparse([1, 2, 4, 15], [-1, -2, 3, 4]), 20, block=5)
    assert (gaps, patterns) == ([0, 2], [0b10110, 0b00001])
    assert (first, adjacent, apart) == ([-1, 4], [2], [-3])


def test_classes_are_cut_as_if_they_were_alone() -> None:
    of_four_rows = Classes(np.array([0, 1, 0, 1], np.uint8), np.zeros(2, np.uint8))
    assert runs(sparse([1, 3, 4], [5, 6, 7]), 8, 1, of_four_rows) == [[[1, 0], [5, 7]], [[1], [6]]]


def test_every_chunk_is_cut_by_itself() -> None:
    cuts = [chunk for (chunk,) in cut(sparse([3, CHUNK + 4], [1, 2]), 2 * CHUNK + 10, block=1)]
    assert [each.count for each in cuts] == [1, 1, 0]
    assert [each.runs[0].tolist() for each in cuts] == [[3], [4], []]


@pytest.mark.parametrize("block", [1, 3])
def test_changed_blocks_are_numbered_from_the_tensors_beginning(block: int) -> None:
    positions = [0, 1, 7, CHUNK - 1, CHUNK, CHUNK + 8]
    parts = changed_blocks(sparse(positions, [1] * 6), 2 * CHUNK, block)
    assert [*np.concatenate([*parts])] == sorted({position // block for position in positions})


@pytest.mark.parametrize("block", [1, 3])
def test_a_chunk_in_which_all_blocks_change_has_no_gaps(block: int) -> None:
    ((coded,),) = cut(sparse([0, 1, 2, 3], [1, 2, 3, 4]), 4, block)
    assert coded.runs[0].size == 0
    assert coded.count == -(-4 // block)


def test_where_most_weights_change_each_has_a_value() -> None:
    ((gaps, values),) = runs(Exact(np.array([0, 2, 3]), np.array([5, -6, 7])), 5, block=1)
    assert (gaps, values) == ([], [5, 0, -6, 7, 0])
