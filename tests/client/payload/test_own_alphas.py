from __future__ import annotations

import pytest

from diffclient.errors import PayloadError
from diffclient.payload import leb128, own_alphas
from diffclient.payload.own_alphas import UNIT, WHOLE
from diffclient.tensors.arithmetic import ONE
from diffclient.tensors.tensor_table import Table, TensorSpec

TABLE: Table = (
    TensorSpec("free", (2,), "F32", None),
    TensorSpec("grid", (2,), "F32", 20),
    TensorSpec("int8", (2,), "I8", None),
    TensorSpec("untouched", (2,), "I8", None),
    TensorSpec("uint8", (2,), "U8", None),
)
TOUCHED = [True, True, True, False, True]


@pytest.mark.parametrize("sixteenths", range(WHOLE + 1))
def test_only_touched_integers_have_a_number(sixteenths: int) -> None:
    alpha = sixteenths * UNIT
    written = own_alphas.write(TABLE, [ONE, alpha, ONE, None, ONE])
    assert written == [sixteenths, WHOLE]
    numbers = leb128.Reader(leb128.write(written))
    assert own_alphas.read(numbers, TABLE, TOUCHED) == [ONE, alpha, ONE, ONE]
    numbers.finish()


def test_weights_are_not_made_larger() -> None:
    with pytest.raises(PayloadError, match="grid: alpha: 17"):
        own_alphas.read(leb128.Reader(leb128.write([WHOLE + 1, 0])), TABLE, TOUCHED)
