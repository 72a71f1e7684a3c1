"""int8: a diff that is trained in whole steps keeps what rounding back to int8 loses."""

from __future__ import annotations

import copy

import pytest

pytest.importorskip("torch", reason="training needs torch: pip install 'diffserver[train]'")

from benchmarks.int8 import nearest, rounded, train, trained
from diffserver.diffs import to_int8

TWO_PER_CENT = 0.005
"""Of the int8 file, as a share of the bytes in fp32."""


def test_at_two_per_cent_of_the_file_a_trained_diff_beats_rounding_back() -> None:
    start = train(0)
    base = to_int8(copy.deepcopy(start.parent))
    held = sum(tensor.nbytes for tensor in base.state_dict().values())
    lost, size = nearest(base, rounded(base, start.full), TWO_PER_CENT)
    kept, trained_size = trained(base, "sparse", TWO_PER_CENT)
    assert max(size, trained_size) <= 0.02 * held
    assert lost < 0.75 < 0.95 < kept
