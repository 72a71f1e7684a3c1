from __future__ import annotations

import numpy as np
import pytest

from diffclient import floats
from diffclient.weights import DTYPES

EVERY_16_BITS = np.arange(1 << 16, dtype=np.uint16)


def test_every_fp16_is_finite_or_not_as_numpy_says() -> None:
    finite = np.isfinite(EVERY_16_BITS.view(np.float16))
    assert floats.all_finite(EVERY_16_BITS[finite], "F16")
    assert not any(floats.all_finite(EVERY_16_BITS[at : at + 1], "F16") for at in np.flatnonzero(~finite))


def test_every_bf16_is_finite_or_not_as_the_fp32_that_it_is_half_of() -> None:
    finite = np.isfinite((EVERY_16_BITS.astype(np.uint32) << 16).view(np.float32))
    assert floats.all_finite(EVERY_16_BITS[finite], "BF16")
    assert not any(floats.all_finite(EVERY_16_BITS[at : at + 1], "BF16") for at in np.flatnonzero(~finite))


@pytest.mark.parametrize("dtype", ["F16", "F32", "F64"])
def test_minus_zero_and_nothing_else_becomes_plus_zero(dtype: str) -> None:
    bits = floats.bits_of(np.array([-0.0, 0.0, -1.0, 1.0], DTYPES[dtype]))
    assert floats.any_minus_zero(bits)
    cleared = floats.plus_zero(bits)
    assert not floats.any_minus_zero(cleared)
    assert cleared[0] == 0
    assert np.array_equal(cleared[1:], bits[1:])
