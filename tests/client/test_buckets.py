from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from diffclient.buckets import assign


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


@given(st.integers(0, 2**32 - 1), st.integers(0, 5000), st.integers(1, 100), st.integers(1, 2**20))
def test_the_hash_is_the_documented_one(seed: int, tensor: int, positions: int, buckets: int) -> None:
    bucket, sign = assign(seed, tensor, positions, buckets)
    expected = [slow_assign(seed, tensor, position, buckets) for position in range(positions)]
    assert list(zip(bucket.tolist(), sign.tolist(), strict=True)) == expected


def test_known_values_never_change() -> None:
    bucket, sign = assign(2021, 3, 6, 100)
    assert bucket.tolist() == [78, 30, 83, 57, 90, 48]
    assert sign.tolist() == [1, 1, 1, 1, 1, 1]


def test_buckets_and_signs_are_spread_evenly() -> None:
    bucket, sign = assign(7, 0, 200_000, 50)
    counts = np.bincount(bucket, minlength=50)
    assert counts.min() > 3700
    assert counts.max() < 4300
    assert abs(int(sign.sum())) < 2000
