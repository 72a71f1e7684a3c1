"""Coverage-guided fuzzing of texts from outside: python -m tests.fuzz.texts [libFuzzer's options] [corpus]

An input is a byte that says what it is and its text: a snapshot, the answer to a poll, a manifest, custom fields of
signed metadata, a name of a target, a root of trust, a file of the store. Snapshots get their length in front and what
their tensors ask for behind, up to a limit. Nothing but this package's errors may come of it, and what is read of the
store must come back when it is written again.
"""

from __future__ import annotations

import contextlib
import json
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import atheris
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root

with atheris.instrument_imports(include=["diffclient"]):
    from diffclient.errors import DiffClientError
    from diffclient.measure.error_count import Errors
    from diffclient.network import messages
    from diffclient.network.report import Report
    from diffclient.release import manifest, target_custom, target_names
    from diffclient.store import policy, state
    from diffclient.tensors import tensor_table
    from diffclient.tensors.snapshot import Snapshot
    from diffclient.trust import verified_metadata

from tests.fuzz import json_mutator
from tests.fuzz.two_clients import table_of
from tests.reference.models import EVERY_DTYPE, MIXED, NARROW
from tests.reference.records import Tensor

SNAPSHOT = 0
LARGEST = 1 << 12
"""The most bytes of weights that are appended to a header."""
BUILD = Path("build") / "fuzz"
OPTIONS = ("-max_len=4096", "-timeout=10", "-rss_limit_mb=512", "-print_final_stats=1", f"-artifact_prefix={BUILD}/")
DIGEST = "5a" * 32
BLOB = {"sha256": DIGEST, "length": 9}
STEP = {
    "model": "m", "kind": "sparse", "from_digest": DIGEST, "from_version": 1, "to_digest": DIGEST, "to_version": 2,
    "payload": BLOB, "graph": BLOB, "probes": [{"domain": "d", "blob": BLOB, "total": 10, "errors": 1}],
    "metric": {"name": "error rate", "counts": "examples"},
    "error_rate_ppm": 5, "version_0_errors": 2, "max_drift_ppm": 100,
}  # fmt: skip
WHOLE, DIFF, BACK = "m/v0/2.snapshot", "m/v0/2.from.1", "m/v0/2.downgrade"
UPDATE = {"action": "update", "version": 2, "digest": DIGEST, "steps": [DIFF], "poll_seconds": 60, "notice": None}
MANIFEST = manifest.from_json(STEP)
INSTALLED = state.Installed(MANIFEST, Errors(1, 10), 5)
STATE = state.State(
    INSTALLED, INSTALLED, DIGEST, state.Failure("poll", "why", DIGEST, "2026-01-01T00:00:00+00:00", "server"),
    (Report("failed", None, DIGEST, "poll", "why", "server", 1, 10, 5, -5, 9, 0.5, 1.5, "0" * 32, 5),),
    (state.Unfit(DIGEST, DIGEST, "why"),),
)  # fmt: skip
ENROLMENT = {"server": "http://s", "device_id": "1", "token": "t", "model": "m", "channel": "stable", "name": "n"}


def read_manifest(text: bytes) -> None:
    """A manifest as a store keeps it; it must come back."""
    parsed = manifest.from_json(loaded(text))
    assert manifest.from_json(json.loads(json.dumps(parsed.to_json()))) == parsed


def read_facts(text: bytes) -> None:
    """A version's facts, joined with objects of the names that they give."""
    facts = target_custom.read_facts(WHOLE, loaded(text))
    objects = {name: manifest.Blob((target_names.parse(name).prefix or "").ljust(64, "0"), 1) for name in facts.objects}
    target_custom.join(WHOLE, manifest.Blob(DIGEST, 9), None, facts, objects)


def read_state(text: bytes) -> None:
    """What a device remembers; it must come back."""
    parsed = state.read_state(text)
    assert state.read_state(json.dumps(parsed.to_json()).encode()) == parsed


def read_name(text: bytes) -> None:
    """A target's name."""
    target_names.parse(text.decode("utf-8", "surrogateescape"))


def loaded(text: bytes) -> object:
    """What python-tuf would hand on of custom fields: any JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


READERS: tuple[tuple[Callable[[bytes], object], object], ...] = (
    (messages.read_answer, UPDATE),
    (read_manifest, STEP),
    (read_facts, target_custom.facts(MANIFEST)),
    (lambda text: target_custom.read_step(DIFF, loaded(text)), target_custom.step(MANIFEST)),
    (
        lambda text: target_custom.read_downgrade(BACK, loaded(text)),
        target_custom.downgrade(target_custom.Downgrade(DIGEST, 2, 5)),
    ),
    (read_state, STATE.to_json()),
    (state.read_kept_enrolment, ENROLMENT),
    (policy.read_policy, policy.Policy("never", 5, ("http://m",)).to_json()),
    (verified_metadata.check_root, {"signed": {"_type": "root"}, "signatures": []}),
    (read_name, DIFF),
)
"""Readers of inputs whose first byte is 1 or more, each with a sound example."""


class Fuzzer:
    """A folder for the files."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "snapshot"

    def check(self, data: bytes) -> None:
        """Read an input; any exception is a finding."""
        with contextlib.suppress(DiffClientError):
            if data[:1] == bytes([SNAPSHOT]):
                self._snapshot(data[1:])
            elif data and data[0] <= len(READERS):
                READERS[data[0] - 1][0](data[1:])

    def mutate(self, data: bytes, room: int, seed: int) -> bytes:
        """Another input from this one, of the same kind: mostly JSON again."""
        fresh = json_mutator.mutate(data[1:], Random(seed)) if seed % 4 else None
        return bytes(atheris.Mutate(data, room)) if fresh is None else (data[:1] + fresh)[:room]

    def _snapshot(self, text: bytes) -> None:
        text += b" " * (-len(text) % 8)
        self._path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(asked_for(text)))
        read = Snapshot(self._path)
        assert sum(spec.nbytes for spec in read.table) <= LARGEST, "a file that is shorter than its tensors"
        read.digest()


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
        yield bytes([SNAPSHOT]) + tensor_table.header_of(table_of(model))[8:]
    for number, (_, sound) in enumerate(READERS, 1):
        yield bytes([number]) + (sound.encode() if isinstance(sound, str) else json.dumps(sound).encode())
    yield bytes([1]) + json.dumps(UPDATE | {"action": "none", "steps": []}).encode()
    root = Metadata(Root(consistent_snapshot=True))
    signer = CryptoSigner.generate_ed25519()
    root.signed.add_key(signer.public_key, Root.type)
    root.sign(signer)
    yield bytes([len(READERS) - 1]) + root.to_bytes()


def main(arguments: Sequence[str]) -> None:
    """Fuzz until a limit of libFuzzer's options."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = BUILD / "texts"
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            (corpus / f"seed-{number}").write_bytes(seed)
        fuzzer = Fuzzer(Path(folder))
        corpora = [] if any(not argument.startswith("-") for argument in arguments[1:]) else [str(corpus)]
        atheris.Setup([*arguments, *OPTIONS, *corpora], fuzzer.check, custom_mutator=fuzzer.mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
