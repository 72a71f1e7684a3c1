from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from diffclient import rice

gap_lists = st.lists(st.integers(0, 3000), min_size=1, max_size=60).map(np.array)


@given(gap_lists, st.integers(0, 12))
def test_gaps_come_back(gaps: np.ndarray, r: int) -> None:
    unary, rest = rice.encode(gaps, r)
    low = rice.remainders(rest, len(gaps), r)
    assert np.array_equal((rice.quotients(unary) << r) + low, gaps)


@given(gap_lists)
def test_no_other_parameter_codes_shorter(gaps: np.ndarray) -> None:
    chosen, *others = (sum(map(len, rice.encode(gaps, r))) for r in (rice.parameter(gaps), *range(14)))
    assert chosen == min(others)
