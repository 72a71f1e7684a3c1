"""The integer hash that assigns every position of a tensor to a bucket and a sign.

It is fully specified here and in docs/format.md, since a framework's random generator may change.
The mixer is lowbias32 (Chris Wellons, "Prospecting for Hash Functions", 2018). A tensor has many positions,
so they are hashed in blocks that stay in the processor's cache, in memory that is used again.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

POSITION_LIMIT = 1 << 31
"""The most positions a hashed tensor may have."""

BLOCK = 1 << 16
"""Positions that are hashed at once: a power of two, 2^16 at most (see `_blocks`)."""

Words = npt.NDArray[np.uint32]


def mix(words: Words) -> Words:
    """Return lowbias32 of every 32-bit word; arithmetic is modulo 2^32."""
    mixed = words ^ (words >> np.uint32(16))
    _mix_folded(mixed, np.empty_like(mixed))
    return mixed


def key(seed: int, tensor: int) -> np.uint32:
    """Return the key of one tensor: mix(seed ^ mix(tensor + 0x9E3779B9))."""
    inner = mix(np.array([(tensor + 0x9E3779B9) & 0xFFFFFFFF], np.uint32))
    return np.uint32(mix(inner ^ np.uint32(seed))[0])


def assign(
    seed: int, tensor: int, start: int, stop: int, buckets: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int8]]:
    """Return the bucket (int64, 0 <= b < buckets) and the sign (int8, -1 or +1) of positions start … stop - 1.

    With h = mix(position ^ key): sign is -1 where h is odd, bucket is ((h >> 1) × buckets) >> 31.
    """
    bucket, sign = np.empty(stop - start, np.int64), np.empty(stop - start, np.int8)
    for part, block_buckets, odd in _blocks(seed, tensor, start, stop, buckets):
        bucket[part] = block_buckets
        sign[part] = 1 - 2 * odd.astype(np.int8)
    return bucket, sign


def spread(
    levels: npt.NDArray[np.signedinteger], seed: int, tensor: int, start: int, stop: int
) -> npt.NDArray[np.signedinteger]:
    """Return, in the levels' dtype, the signed level of each of the positions start … stop - 1 of a tensor.

    `levels`: one a bucket. In a narrow dtype they fit into the cache, and then this takes half the time.
    """
    values = np.empty(stop - start, levels.dtype)
    for part, block_buckets, odd in _blocks(seed, tensor, start, stop, len(levels)):
        signed, negative = values[part], -odd.astype(levels.dtype)
        # Every bucket exists, so nothing is clipped; numpy would check, and copy, if it were not told to clip.
        np.take(levels, block_buckets, out=signed, mode="clip")
        # x -> -x is x -> (x ^ -1) - (-1).
        signed ^= negative
        signed -= negative
    return values


def _blocks(
    seed: int, tensor: int, start: int, stop: int, buckets: int
) -> Iterator[tuple[slice, npt.NDArray[np.int64], Words]]:
    """Yield for each block its slice counted from `start`, the buckets, and 1 where the hash is odd.

    The next block overwrites the arrays.
    """
    low, salt = np.arange(BLOCK, dtype=np.uint32), key(seed, tensor)
    all_words, all_spare, all_wide = np.empty_like(low), np.empty_like(low), np.empty(BLOCK, np.int64)
    for base in range(start - start % BLOCK, stop, BLOCK):
        first, last = max(start, base), min(stop, base + BLOCK)
        words, spare, wide = all_words[: last - first], all_spare[: last - first], all_wide[: last - first]
        # The upper halves are the same in all of an aligned block, so the mixer's first fold is a constant.
        upper = np.uint32(base) ^ salt
        np.bitwise_xor(low[first - base : last - base], upper ^ (upper >> np.uint32(16)), out=words)
        _mix_folded(words, spare)
        np.copyto(wide, np.right_shift(words, np.uint32(1), out=spare))
        # Below 2^62, since there are at most 2^31 buckets.
        np.multiply(wide, buckets, out=wide)
        np.right_shift(wide, 31, out=wide)
        yield slice(first - start, last - start), wide, np.bitwise_and(words, np.uint32(1), out=words)


def _mix_folded(words: Words, spare: Words) -> None:
    """Finish `mix` in place after its first fold; `spare` is a buffer of the same size."""
    np.multiply(words, np.uint32(0x7FEB352D), out=words)
    _fold(words, 15, spare)
    np.multiply(words, np.uint32(0x846CA68B), out=words)
    _fold(words, 16, spare)


def _fold(words: Words, shift: int, spare: Words) -> None:
    """Compute words ^= words >> shift in place; `spare` is a buffer of the same size."""
    np.right_shift(words, np.uint32(shift), out=spare)
    np.bitwise_xor(words, spare, out=words)
