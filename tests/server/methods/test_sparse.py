import torch
from hypothesis import given
from hypothesis import strategies as st

from diffserver.methods.sparse import _by_bisection

SIZES = st.lists(st.floats(0, 2.0**100, width=32), min_size=1, max_size=50)


@given(SIZES, st.data())
def test_bisection_finds_the_size_that_sorting_finds(sizes: list[float], data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(sizes)))
    found = _by_bisection(torch.tensor(sizes), place)
    assert found == torch.tensor(sizes).sort().values[place - 1]
