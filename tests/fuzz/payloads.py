"""Coverage-guided fuzzing of payloads: python -m tests.fuzz.payloads [libFuzzer's options] [corpus]

An input is the number of a small parent (a byte) and a payload for it. Opening, reading and applying it may end in one
of four errors and in nothing else, in little time and memory; and what is applied must come out as in the reference,
bit by bit. The corpus begins with the vectors.
"""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["diffclient"]):
    import diffclient.diff.apply_chunk
    import diffclient.payload.decode  # noqa: F401

from tests.fuzz import mutator
from tests.fuzz.two_clients import Parent, agree
from tests.reference import random_documents, vectors
from tests.reference.vectors import Vector
from tests.reference.writer import write

SECONDS, MEGABYTES = 1.0, 48
"""The most processor time of an input, and the most that it may add to the peak memory."""
SELDOM = 16
"""One payload in so many is also applied through the disk, and checked with the reference even if refused."""
BUILD = Path("build") / "fuzz"
OPTIONS = ("-max_len=8192", "-timeout=20", "-rss_limit_mb=1024", "-print_final_stats=1", f"-artifact_prefix={BUILD}/")


class Fuzzer:
    """The parents, and the check of an input."""

    def __init__(self, folder: Path) -> None:
        self.seeds = list(seeds())
        self._parents = [Parent(seed.table, seed.weights, folder) for seed in self.seeds]

    def check(self, data: bytes) -> None:
        """Apply an input; any exception is a finding."""
        if not data:
            return
        parent, payload = self._parents[data[0] % len(self._parents)], data[1:]
        begin, memory = time.process_time(), peak()
        outcome = parent.in_memory(payload)
        took, more = time.process_time() - begin, peak() - memory
        if took > SECONDS or more > MEGABYTES:
            raise AssertionError(f"{took:.1f} seconds, {more:.0f} MB more")
        chosen = sum(payload) % SELDOM == 0
        if chosen and not (parent.streamed(payload) == outcome and agree(outcome, parent.at_once(payload))):
            raise AssertionError(f"by way of the disk, or decoded at once, something else than {outcome!r}")
        if chosen or not isinstance(outcome, str) or outcome == "RangeError":
            expected = parent.in_the_reference(payload)
            if not agree(outcome, expected):
                raise AssertionError(f"reference: {expected!r}, client: {outcome!r}")

    def mutate(self, data: bytes, room: int, seed: int) -> bytes:
        """Return a mutation, mostly for the same parent; now and then a new sound payload."""
        if len(data) < 2 or seed % 50 == 0:
            return bytes(atheris.Mutate(data, room))
        if seed % 50 < 3:
            parent = self._parents[data[0] % len(self._parents)]
            fresh = write(random_documents.payload(Random(seed), parent.tensors, parent.digest))
            return (data[:1] + fresh)[:room]
        return data[:1] + mutator.mutate(data[1:], room - 1, seed, lambda part, most: bytes(atheris.Mutate(part, most)))


def seeds() -> list[Vector]:
    """Return the vectors of small models."""
    small = (vectors.sound(name) for name in vectors.sound_names() if "chunk" not in name and "4096" not in name)
    first = {vector.parent: vector for _, vector in vectors.refused() if sum(map(len, vector.weights)) > 100}
    return [*small, *first.values()]


def write_corpus(fuzzer: Fuzzer, folder: Path) -> None:
    """Every vector for a parent of the fuzzer's."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    numbers = {seed.parent: number for number, seed in enumerate(fuzzer.seeds)}
    sound = ((name, vectors.sound(name)) for name in vectors.sound_names())
    for number, (_, vector) in enumerate((*sound, *vectors.refused())):
        if vector.parent in numbers:
            (folder / str(number)).write_bytes(bytes([numbers[vector.parent]]) + vector.payload)


def peak() -> float:
    """Return this process's peak memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: Sequence[str]) -> None:
    """Fuzz until a limit of libFuzzer's options."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        fuzzer = Fuzzer(Path(folder))
        write_corpus(fuzzer, BUILD / "seeds")
        corpus = BUILD / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        corpora = [] if any(not argument.startswith("-") for argument in arguments[1:]) else [corpus, BUILD / "seeds"]
        atheris.Setup([*arguments, *OPTIONS, *map(str, corpora)], fuzzer.check, custom_mutator=fuzzer.mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
