"""The integer hash that assigns every position of a tensor to a bucket and a sign.

Fully specified here and in docs/format.md: a framework's random generator may change, this may not.
The mixer is lowbias32 (Chris Wellons, "Prospecting for Hash Functions", 2018).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

POSITION_LIMIT = 1 << 31
"""The most positions a hashed tensor may have."""


def mix(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Return lowbias32 of every 32-bit word; arithmetic is modulo 2^32."""
    words = words ^ (words >> np.uint32(16))
    words = words * np.uint32(0x7FEB352D)
    words = words ^ (words >> np.uint32(15))
    words = words * np.uint32(0x846CA68B)
    return words ^ (words >> np.uint32(16))


def key(seed: int, tensor: int) -> np.uint32:
    """Return the key of one tensor: mix(seed ^ mix(tensor + 0x9E3779B9))."""
    inner = mix(np.array([(tensor + 0x9E3779B9) & 0xFFFFFFFF], np.uint32))
    return np.uint32(mix(inner ^ np.uint32(seed))[0])


def assign(seed: int, tensor: int, positions: int, buckets: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int8]]:
    """Return each position's bucket (int64, 0 <= b < buckets) and sign (int8, -1 or +1).

    With h = mix(position ^ key): sign is -1 where h is odd, bucket is ((h >> 1) × buckets) >> 31.
    """
    hashed = mix(np.arange(positions, dtype=np.uint32) ^ key(seed, tensor))
    bucket = ((hashed >> np.uint32(1)).astype(np.uint64) * np.uint64(buckets)) >> np.uint64(31)
    sign = 1 - 2 * (hashed & np.uint32(1)).astype(np.int8)
    return bucket.astype(np.int64), sign
