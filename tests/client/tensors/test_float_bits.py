from __future__ import annotations

import numpy as np
import pytest

from diffclient.tensors import float_bits
from diffclient.tensors.snapshot import DTYPES

EVERY_16_BITS = np.arange(1 << 16, dtype=np.uint16)


def test_every_fp16_is_finite_or_not_as_numpy_says() -> None:
    finite = np.isfinite(EVERY_16_BITS.view(np.float16))
    assert float_bits.all_finite(EVERY_16_BITS[finite], "F16")
    assert not any(float_bits.all_finite(EVERY_16_BITS[at : at + 1], "F16") for at in np.flatnonzero(~finite))


def test_every_bf16_is_finite_or_not_as_the_fp32_that_it_is_half_of() -> None:
    finite = np.isfinite((EVERY_16_BITS.astype(np.uint32) << 16).view(np.float32))
    assert float_bits.all_finite(EVERY_16_BITS[finite], "BF16")
    assert not any(float_bits.all_finite(EVERY_16_BITS[at : at + 1], "BF16") for at in np.flatnonzero(~finite))


@pytest.mark.parametrize("dtype", ["F16", "F32", "F64"])
def test_minus_zero_and_nothing_else_becomes_plus_zero(dtype: str) -> None:
    bits = float_bits.bits_of(np.array([-0.0, 0.0, -1.0, 1.0], DTYPES[dtype]))
    assert float_bits.any_minus_zero(bits)
    cleared = float_bits.plus_zero(bits)
    assert not float_bits.any_minus_zero(cleared)
    assert cleared[0] == 0
    assert np.array_equal(cleared[1:], bits[1:])


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_every_half_comes_back_from_fp32_and_numbers_between_go_to_the_even_one(dtype: str) -> None:
    for bits in (half[: float_bits.EXPONENTS[dtype]] for half in np.split(EVERY_16_BITS, 2)):
        wide = float_bits.widen(bits.view(DTYPES[dtype]), dtype)
        assert np.array_equal(float_bits.narrow(wide, dtype), bits)
        between = wide[:-1] + (wide[1:] - wide[:-1]) / np.float32(2)
        assert np.array_equal(float_bits.narrow(between, dtype), bits[:-1] + bits[:-1] % 2)
