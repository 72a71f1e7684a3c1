from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffclient.diff.streams import Diff, Piece, Sparse
from diffclient.errors import DiffClientError, PayloadError
from diffclient.payload import frame
from diffclient.payload.decode import decode, open_payload
from diffclient.payload.encode import check, encode
from diffclient.tensors.snapshot import Table, TensorSpec
from tests.factories import hashed_diff, sparse_stream

PARENT = "5a" * 32
TABLE: Table = (
    TensorSpec("conv", (20, 12, 5), "F32", 20),
    TensorSpec("free", (3,), "I64", None),
    TensorSpec("head", (70,), "F32", 18),
    TensorSpec("rest", (0, 4), "F32", 18),
)


def sparse_diff() -> Diff:
    rng = np.random.default_rng(1)
    conv, head = sparse_stream(rng, 1200, 0.1), sparse_stream(rng, 70, 0.9)
    return Diff("sparse", (conv, None, head, None))


GOOD = {"sparse": encode(sparse_diff(), TABLE, PARENT), "hashed": encode(hashed_diff(TABLE[:3]), TABLE[:3], PARENT)}
TABLES = {"sparse": TABLE, "hashed": TABLE[:3]}

kinds = pytest.mark.parametrize("kind", GOOD)


@kinds
def test_pieces_are_those_of_the_whole_diff(kind: str) -> None:
    opened, whole = open_payload(GOOD[kind], TABLES[kind], PARENT), decode(GOOD[kind], TABLES[kind], PARENT)
    for _ in range(2):  # a payload can be read again
        for actual, expected in zip(opened.pieces(TABLES[kind]), whole.pieces(TABLES[kind]), strict=True):
            assert (actual is None) == (expected is None)
            if actual is not None and expected is not None:
                assert _changes(actual) == _changes(expected)
    assert [opened.touches(index) for index in range(len(TABLES[kind]))] == [
        stream is not None for stream in whole.streams
    ]


def _changes(piece: Piece) -> dict[int, int]:
    where = np.arange(len(piece.values)) if piece.positions is None else piece.positions
    return {int(at): int(value) for at, value in zip(where, piece.values, strict=True) if value}


@kinds
def test_truncated_payloads_are_refused_at_every_length(kind: str) -> None:
    for length in range(len(GOOD[kind])):
        with pytest.raises(PayloadError):
            decode(GOOD[kind][:length], TABLES[kind], PARENT)


@kinds
@settings(max_examples=300)
@given(at=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_an_altered_byte_is_refused_or_still_a_diff_of_this_table(kind: str, at: float, flip: int) -> None:
    altered = bytearray(GOOD[kind])
    altered[int(at * len(altered))] ^= flip
    try:
        diff = decode(bytes(altered), TABLES[kind], PARENT)
    except DiffClientError:
        return
    check(diff, TABLES[kind])


@given(st.binary(max_size=300), st.sampled_from([1, 2, 3]))
def test_noise_behind_a_sound_header_raises_only_our_errors(noise: bytes, code: int) -> None:
    header = frame.HEADER.pack(
        b"NDIF", 2, code, bytes.fromhex(PARENT)[:8], 65536, 65536, 0, len(TABLE), 1, len(noise), 0, 0
    )
    with pytest.raises(DiffClientError):
        decode(header + noise, TABLE, PARENT)


def test_what_is_decoded_has_the_dtypes_of_a_diff() -> None:
    stream = decode(GOOD["sparse"], TABLE, PARENT).streams[0]
    assert isinstance(stream, Sparse)
    assert [stream.positions.dtype, stream.levels.dtype] == [np.dtype(np.int64), np.dtype(np.int32)]
