from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclient.diff.bucket_hash import BLOCK, POSITION_LIMIT, assign, spread


def slow_assign(seed: int, tensor: int, position: int, buckets: int) -> tuple[int, int]:
    """The hash as docs/format.md says it, in plain integers."""

    def mix(x: int) -> int:
        x ^= x >> 16
        x = x * 0x7FEB352D % 2**32
        x ^= x >> 15
        x = x * 0x846CA68B % 2**32
        return x ^ (x >> 16)

    h = mix(position ^ mix(mix((tensor + 0x9E3779B9) % 2**32) ^ seed))
    return (h >> 1) * buckets >> 31, -1 if h % 2 else 1


seeds = st.integers(0, 2**32 - 1)
starts = st.integers(0, POSITION_LIMIT - 100) | st.sampled_from([0, BLOCK - 3, POSITION_LIMIT - 100])
counts = st.integers(1, 2**20) | st.sampled_from([1, POSITION_LIMIT - 1, POSITION_LIMIT])


@given(seeds, st.integers(0, 5000), starts, st.integers(0, 100), counts)
def test_the_hash_is_the_documented_one(seed: int, tensor: int, start: int, size: int, buckets: int) -> None:
    bucket, sign = assign(seed, tensor, start, start + size, buckets)
    expected = [slow_assign(seed, tensor, position, buckets) for position in range(start, start + size)]
    assert list(zip(bucket.tolist(), sign.tolist(), strict=True)) == expected


def test_known_values_never_change() -> None:
    bucket, sign = assign(2021, 3, 0, 6, 100)
    assert bucket.tolist() == [78, 30, 83, 57, 90, 48]
    assert sign.tolist() == [1, 1, 1, 1, 1, 1]


def test_a_range_of_positions_is_cut_out_of_the_whole() -> None:
    (buckets, signs), (some, of_them) = assign(5, 1, 0, 3 * BLOCK + 7, 99), assign(5, 1, BLOCK - 5, 3 * BLOCK - 1, 99)
    assert np.array_equal(buckets[BLOCK - 5 : 3 * BLOCK - 1], some)
    assert np.array_equal(signs[BLOCK - 5 : 3 * BLOCK - 1], of_them)


@pytest.mark.parametrize(("dtype", "top"), [(np.int8, 127), (np.int16, 32767), (np.int32, 2**31 - 1)])
def test_every_position_gets_the_level_of_its_bucket_times_its_sign(dtype: type, top: int) -> None:
    levels = np.random.default_rng(1).integers(-top, top, 500, dtype, endpoint=True)
    bucket, sign = assign(9, 2, 11, 2 * BLOCK, len(levels))
    spreaded = spread(levels, 9, 2, 11, 2 * BLOCK)
    assert spreaded.dtype == dtype
    assert np.array_equal(spreaded.astype(np.int64), levels[bucket].astype(np.int64) * sign)


def test_buckets_and_signs_are_spread_evenly() -> None:
    bucket, sign = assign(7, 0, 0, 200_000, 50)
    counts = np.bincount(bucket, minlength=50)
    assert counts.min() > 3700
    assert counts.max() < 4300
    assert abs(int(sign.sum())) < 2000
