"""The client against the reference that was written from docs/format.md alone, and against the vectors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffclient.payload.decode import decode
from diffclient.payload.encode import encode
from tests.fuzz import mutator
from tests.fuzz.two_clients import Parent, agree
from tests.reference import random_documents, vectors
from tests.reference.bases import BASES
from tests.reference.make_vectors import refused
from tests.reference.parents import weights
from tests.reference.samples import SAMPLES
from tests.reference.vectors import Vector
from tests.reference.writer import write

REFUSED = dict(vectors.refused())
SMALL = [name for name in vectors.sound_names() if "chunk" not in name]
BOTH = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def parent_of(vector: Vector, folder: Path) -> Parent:
    parent = Parent(vector.table, vector.weights, folder)
    assert parent.digest == vector.parent
    return parent


@pytest.mark.parametrize("name", vectors.sound_names())
def test_sound_vectors_make_the_promised_version_in_both_clients(name: str, tmp_path: Path) -> None:
    vector = vectors.sound(name)
    parent = parent_of(vector, tmp_path)
    result = parent.in_the_reference(vector.payload)
    assert not isinstance(result, str), result
    assert result.digest == vector.result
    assert parent.streamed(vector.payload) == result
    assert parent.at_once(vector.payload) == result


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_vectors_end_in_their_own_error_in_both_clients(name: str, tmp_path: Path) -> None:
    vector = REFUSED[name]
    parent = parent_of(vector, tmp_path)
    assert parent.in_the_reference(vector.payload) == vector.error
    assert parent.streamed(vector.payload) == vector.error
    assert parent.at_once(vector.payload) == vector.error


@pytest.mark.parametrize("name", ["sparse-blocks-of-3", "sparse-compressed", "sparse-narrow", "hashed", "exact"])
def test_a_payload_cut_anywhere_is_refused(name: str, tmp_path: Path) -> None:
    vector = vectors.sound(name)
    parent = parent_of(vector, tmp_path)
    for length in range(len(vector.payload)):
        assert parent.at_once(vector.payload[:length]) == "PayloadError"
        assert parent.in_the_reference(vector.payload[:length]) == "PayloadError"


@pytest.mark.parametrize("name", SMALL)
def test_what_this_encoder_makes_of_a_vector_is_the_same_to_the_reference(name: str, tmp_path: Path) -> None:
    vector = vectors.sound(name)
    parent = parent_of(vector, tmp_path)
    payload = encode(decode(vector.payload, parent.table, parent.digest), parent.table, parent.digest)
    result = parent.in_the_reference(payload)
    assert not isinstance(result, str), result
    assert result.digest == vector.result


@BOTH
@given(st.randoms(use_true_random=False), st.integers(0, 1000))
def test_payloads_of_another_writer_come_to_the_same(tmp_path: Path, chance: Random, seed: int) -> None:
    table = random_documents.table(chance)
    parent = Parent(table, weights(table, seed, {}), tmp_path)
    payload = write(random_documents.payload(chance, table, parent.digest))
    expected = parent.in_the_reference(payload)
    assert expected != "PayloadError"
    assert parent.streamed(payload) == parent.at_once(payload) == expected


@cache
def held(name: str, folder: Path) -> tuple[Parent, bytes]:
    vector = vectors.sound(name)
    return parent_of(vector, folder), vector.payload


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("altered")
    held.cache_clear()


@settings(BOTH, max_examples=600)
@given(name=st.sampled_from(SMALL), at=st.integers(0, 1 << 16), flip=st.integers(1, 255))
def test_an_altered_byte_means_the_same_to_both_clients(folder: Path, name: str, at: int, flip: int) -> None:
    parent, payload = held(name, folder)
    altered = bytearray(payload)
    altered[at % len(payload)] ^= flip
    assert agree(parent.streamed(bytes(altered)), parent.in_the_reference(bytes(altered)))


def flip_some(part: bytes, room: int, chance: Random) -> bytes:
    changed = bytearray(part)
    for _ in range(chance.randint(1, 3)):
        at = chance.randint(0, len(changed))
        changed[at : at + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 2))
    return bytes(changed)[:room]


@settings(BOTH, max_examples=300)
@given(name=st.sampled_from(SMALL), seed=st.integers(0, 1 << 32))
def test_a_part_changed_behind_a_sound_header_means_the_same_to_both_clients(
    folder: Path, name: str, seed: int
) -> None:
    parent, payload = held(name, folder)
    altered = mutator.mutate(payload, 1 << 16, seed, lambda part, room: flip_some(part, room, Random(seed)))
    assert agree(parent.streamed(altered), parent.in_the_reference(altered))


def test_the_vectors_are_what_the_writer_writes() -> None:
    for name, make in SAMPLES.items():
        assert write(make().document) == (vectors.FOLDER / f"{name}.ndiff").read_bytes()
    written = [payload for described in refused() for payload in described["payloads"]]
    assert [(name, vector.error, vector.payload.hex()) for name, vector in REFUSED.items()] == [*map(tuple, written)]
    assert {*SAMPLES, "sparse-compressed"} == set(vectors.sound_names())


def test_the_small_payloads_that_hostile_ones_are_made_from_are_sound(tmp_path: Path) -> None:
    for base in BASES.values():
        parent = Parent(base.table, base.weights(), tmp_path)
        assert not isinstance(parent.streamed(write(base.document)), str)
