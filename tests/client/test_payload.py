from __future__ import annotations

import math
import struct
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from diffclient.arithmetic import LIMIT, ONE
from diffclient.diff import Diff, Hashed, Sparse
from diffclient.errors import DiffClientError, PayloadError, PayloadTooNew, WrongParent
from diffclient.payload import HEADER, decode, encode
from diffclient.weights import Table, TensorSpec
from tests.factories import hashed_diff, sparse_diff, sparse_stream

PARENT = "5a" * 32
TABLE: Table = (
    TensorSpec("a", (40, 30), "F32", 20),
    TensorSpec("b", (7,), "F32", 18),
    TensorSpec("c", (3,), "I64", None),
    TensorSpec("d", (), "F32", 20),
)


def same(first: Diff, second: Diff) -> bool:
    """Whether two diffs have equal fields and streams."""
    if (first.kind, first.alpha, first.beta, first.seed) != (
        second.kind,
        second.alpha,
        second.beta,
        second.seed,
    ):
        return False
    for a, b in zip(first.streams, second.streams, strict=True):
        if (a is None) != (b is None):
            return False
        if a is None or b is None:
            continue
        if a.step != b.step or not np.array_equal(a.levels, b.levels):
            return False
        if isinstance(a, Sparse) and not (isinstance(b, Sparse) and np.array_equal(a.positions, b.positions)):
            return False
    return True


factors = st.integers(-16 * ONE, 16 * ONE)


@given(st.integers(0, 10_000), st.floats(0, 1), st.sampled_from([3, 15, 255]), factors, factors)
def test_sparse_diffs_come_back(seed: int, density: float, levels: int, alpha: int, beta: int) -> None:
    rng = np.random.default_rng(seed)
    streams = tuple(sparse_stream(rng, spec.size, density, levels) if spec.grid else None for spec in TABLE)
    diff = Diff("sparse", streams, alpha, beta)
    assert same(decode(encode(diff, TABLE, PARENT), TABLE, PARENT), diff)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1))
def test_hashed_diffs_come_back(seed: int, share: float) -> None:
    diff = hashed_diff(TABLE, seed, share)
    assert same(decode(encode(diff, TABLE, PARENT), TABLE, PARENT), diff)


def test_an_empty_diff_is_a_header_and_little_more() -> None:
    diff = Diff("sparse", (None,) * len(TABLE))
    data = encode(diff, TABLE, PARENT)
    assert same(decode(data, TABLE, PARENT), diff)
    assert len(data) < HEADER.size + 20


@pytest.mark.parametrize("density", [0.005, 0.01, 0.07, 0.3])
def test_a_payload_is_within_five_per_cent_of_the_coding_limit(density: float) -> None:
    n = 1_000_000
    table = (TensorSpec("w", (n,), "F32", 20),)
    stream = sparse_stream(np.random.default_rng(3), n, density)
    assert stream is not None
    k = len(stream.levels)
    counts = np.unique(stream.levels, return_counts=True)[1] / k
    entropy = -float(np.sum(counts * np.log2(counts)))
    positions = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)
    assert len(encode(Diff("sparse", (stream,)), table, PARENT)) * 8 <= 1.05 * (positions + k * entropy)


def sparse(positions: list[int], levels: list[int], step: int = 1) -> Diff:
    stream = Sparse(np.array(positions), np.array(levels, np.int16), step)
    return Diff("sparse", (stream, None, None, None))


UNENCODABLE = {
    "position outside": sparse([1200], [1]),
    "negative position": sparse([-1], [1]),
    "positions fall": sparse([5, 4], [1, 1]),
    "position twice": sparse([5, 5], [1, 1]),
    "zero level": sparse([5], [0]),
    "too few levels": sparse([5, 6], [1]),
    "level too large": sparse([5], [129]),
    "step zero": sparse([5], [1], 0),
    "value too large": sparse([5], [3], LIMIT),
    "tensor off the grid": Diff("sparse", (None, None, sparse([1], [1]).streams[0], None)),
    "too few streams": Diff("sparse", (None,)),
    "stream of the other kind": Diff("hashed", sparse([1], [1]).streams),
    "hashed level too large": Diff("hashed", (Hashed(np.array([128], np.int16), 1), None, None, None)),
}


@pytest.mark.parametrize("diff", UNENCODABLE.values(), ids=UNENCODABLE.keys())
def test_what_does_not_fit_the_format_is_not_encoded(diff: Diff) -> None:
    with pytest.raises(PayloadError):
        encode(diff, TABLE, PARENT)


def with_header(data: bytes, **changes: object) -> bytes:
    names = "magic version kind parent alpha beta seed tensors records unary rest values".split()
    fields = dict(zip(names, HEADER.unpack_from(data), strict=True)) | changes
    return HEADER.pack(*fields.values()) + data[HEADER.size :]


def with_sections(data: bytes, *, kind: int = 1, **changes: bytes) -> bytes:
    names = ["records", "unary", "rest", "values"]
    lengths = HEADER.unpack_from(data)[-4:]
    sections, at = {}, HEADER.size
    for name, length in zip(names, lengths, strict=True):
        sections[name] = data[at : at + length]
        at += length
    sections |= changes
    sized = with_header(data, kind=kind, **{name: len(section) for name, section in sections.items()})
    return sized[: HEADER.size] + b"".join(sections.values())


GOOD = encode(sparse([3, 700, 1199], [1, -2, 7], 5), TABLE, PARENT)
EMPTY_VALUES = zstandard.compress(b"")
BOMB = zstandard.compress(b"\0" * 50_000_000)
HOSTILE: dict[str, tuple[bytes, type[DiffClientError]]] = {
    "empty": (b"", PayloadError),
    "other magic": (with_header(GOOD, magic=b"NDIX"), PayloadError),
    "next version": (with_header(GOOD, version=2), PayloadTooNew),
    "unknown kind": (with_header(GOOD, kind=9), PayloadTooNew),
    "other parent": (with_header(GOOD, parent=b"12345678"), WrongParent),
    "other model": (with_header(GOOD, tensors=5), PayloadError),
    "huge alpha": (with_header(GOOD, alpha=2**31 - 1), PayloadError),
    "huge beta": (with_header(GOOD, beta=-(2**31)), PayloadError),
    "section longer than the file": (with_header(GOOD, values=2**32 - 1), PayloadError),
    "trailing byte": (GOOD + b"\0", PayloadError),
    "records cut": (with_sections(GOOD, records=b"\x03"), PayloadError),
    "records too long": (with_sections(GOOD, records=b"\x03\x08\x05\0\0\0\0"), PayloadError),
    "more values than weights": (with_sections(GOOD, records=b"\xb1\x09\x08\x05\0\0\0"), PayloadError),
    "values off the grid": (with_sections(GOOD, records=b"\0\0\x03\x08\x05\0"), PayloadError),
    "endless number": (with_sections(GOOD, records=b"\xff" * 12), PayloadError),
    "number in a long spelling": (with_sections(GOOD, records=b"\x83\x00\x08\x05\0\0\0"), PayloadError),
    "Rice parameter too large": (with_sections(GOOD, records=b"\x03\x29\x05\0\0\0"), PayloadError),
    "step zero": (with_sections(GOOD, records=b"\x03\x08\x00\0\0\0"), PayloadError),
    "step too large": (with_sections(GOOD, records=b"\x03\x08\x81\x80\x80\x08\0\0\0"), PayloadError),
    "value too large": (with_sections(GOOD, records=b"\x03\x08\x80\x80\x80\x08\0\0\0"), PayloadError),
    "unary too long": (with_sections(GOOD, unary=b"\0" * 50_000_000 + b"\1"), PayloadError),
    "unary without ones": (with_sections(GOOD, unary=b"\0"), PayloadError),
    "unary with more ones": (with_sections(GOOD, unary=b"\xff"), PayloadError),
    "a gap past the end": (with_sections(GOOD, unary=b"\x03\x01"), PayloadError),
    "remainders cut": (with_sections(GOOD, rest=b"\0"), PayloadError),
    "remainders padded with ones": (with_sections(GOOD, rest=b"\xff" * 4), PayloadError),
    "values are a bomb": (with_sections(GOOD, values=BOMB), PayloadError),
    "values missing": (with_sections(GOOD, values=b""), PayloadError),
    "values of another length": (with_sections(GOOD, values=EMPTY_VALUES), PayloadError),
    "bytes after the values": (
        with_sections(GOOD, values=zstandard.compress(b"\0\1\2") + b"x"),
        PayloadError,
    ),
    "hashed with positions": (with_header(GOOD, kind=2), PayloadError),
}


@pytest.mark.parametrize(("data", "error"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_payloads_end_in_their_own_error(data: bytes, error: type[DiffClientError]) -> None:
    with pytest.raises(error):
        decode(data, TABLE, PARENT)


@pytest.mark.parametrize("length", range(0, len(GOOD)))
def test_truncated_payloads_are_refused_at_every_length(length: int) -> None:
    with pytest.raises(PayloadError):
        decode(GOOD[:length], TABLE, PARENT)


@settings(max_examples=400)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_an_altered_byte_is_refused_or_still_a_diff_of_this_table(at: int, flip: int) -> None:
    altered = GOOD[:at] + bytes([GOOD[at] ^ flip]) + GOOD[at + 1 :]
    try:
        diff = decode(altered, TABLE, PARENT)
    except DiffClientError:
        return
    assert same(decode(encode(diff, TABLE, PARENT), TABLE, PARENT), diff)


@given(st.binary(max_size=300))
def test_noise_behind_a_sound_header_raises_only_our_errors(noise: bytes) -> None:
    with pytest.raises(DiffClientError):
        decode(GOOD[: HEADER.size - 16] + struct.pack("<4I", len(noise), 0, 0, 0) + noise, TABLE, PARENT)


def test_distinct_diffs_have_distinct_payloads(tmp_path: Path) -> None:
    base = sparse_diff(TABLE)
    variants = [base, replace(base, alpha=2 * ONE), replace(base, beta=-ONE), sparse_diff(TABLE, seed=2)]
    for first, second in combinations((encode(diff, TABLE, PARENT) for diff in variants), 2):
        assert first != second
