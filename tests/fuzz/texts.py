"""Coverage-guided fuzzing of JSON from outside: python -m tests.fuzz.texts [libFuzzer's options] [corpus]

An input is a byte that says what it is, a snapshot or the answer to a poll, and its text. Snapshots get their length in
front and what their tensors ask for behind, up to a limit. Nothing but this package's errors may come of it.
"""

from __future__ import annotations

import contextlib
import json
import struct
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["diffclient"]):
    from diffclient import table, weights, wire
    from diffclient.errors import DiffClientError

from tests.fuzz.two_clients import table_of
from tests.reference.models import EVERY_DTYPE, MIXED, NARROW
from tests.reference.records import Tensor

SNAPSHOT, ANSWER = 0, 1
LARGEST = 1 << 12
"""Bytes of weights that are put behind a header."""
BUILD = Path("build") / "fuzz"
OPTIONS = ("-max_len=4096", "-timeout=10", "-rss_limit_mb=512", "-print_final_stats=1", f"-artifact_prefix={BUILD}/")
DIGEST = "5a" * 32
BLOB = {"sha256": DIGEST, "length": 9}
STEP = {
    "model": "m", "kind": "sparse", "from_digest": DIGEST, "from_version": 1, "to_digest": DIGEST, "to_version": 2,
    "payload": BLOB, "graph": BLOB, "probes": [{"domain": "d", "blob": BLOB, "words": 10, "errors": 1}],
    "wer_ppm": 5, "version_0_errors": 2, "max_drift_ppm": 100,
}  # fmt: skip
UPDATE = {"action": "update", "version": 2, "digest": DIGEST, "steps": [STEP], "poll_seconds": 60}


class Fuzzer:
    """A folder for the files."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "snapshot"

    def one(self, data: bytes) -> None:
        """Read an input; what is raised is a finding."""
        with contextlib.suppress(DiffClientError):
            if data[:1] == bytes([SNAPSHOT]):
                self._snapshot(data[1:])
            elif data:
                wire.read_answer(data[1:])

    def _snapshot(self, text: bytes) -> None:
        text += b" " * (-len(text) % 8)
        self._path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(asked_for(text)))
        snapshot = weights.Snapshot(self._path)
        assert sum(spec.nbytes for spec in snapshot.table) <= LARGEST, "a file that is shorter than its tensors"
        snapshot.digest()


def asked_for(text: bytes) -> int:
    """The end of the last tensor that a header names; 0 if it is not sensible."""
    try:
        *_, last = json.loads(text).values()
        end = int(last["data_offsets"][1])
        return end if 0 <= end <= LARGEST else 0
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError):
        return 0


def seeds() -> Iterator[bytes]:
    """Sound texts, and one whose tensors have 2^64 bytes together."""
    endless = [Tensor(name, (1 << 39, 1 << 23), "U8", None) for name in "abcd"]
    for model in (MIXED, NARROW, EVERY_DTYPE, (), endless):
        yield bytes([SNAPSHOT]) + table.header_of(table_of(model))[8:]
    for answer in (UPDATE, UPDATE | {"action": "none", "steps": []}):
        yield bytes([ANSWER]) + json.dumps(answer).encode()


def main(arguments: Sequence[str]) -> None:
    """Fuzz until libFuzzer's options say that it is enough."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = BUILD / "texts"
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            (corpus / f"seed-{number}").write_bytes(seed)
        corpora = [] if any(not argument.startswith("-") for argument in arguments[1:]) else [str(corpus)]
        atheris.Setup([*arguments, *OPTIONS, *corpora], Fuzzer(Path(folder)).one)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
