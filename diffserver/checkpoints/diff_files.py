"""Diffs as files: a payload, and its description beside it; made, applied and inspected without a server.

`v1.ndiff` holds the payload alone, as devices fetch it; `v1.ndiff.json` holds the digests of both versions, the
payload's own, and how it was made. Needs no torch but for torch's own files; training a diff is left to
`diffserver.diffs`.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from diffclient.diff.apply import apply as apply_chain
from diffclient.diff.streams import Diff
from diffclient.errors import RangeError
from diffclient.payload import frame
from diffclient.payload.decode import open_payload
from diffclient.payload.encode import encode as encode_payload
from diffclient.tensors.snapshot import Snapshot, fp32_bytes, write_pieces
from diffserver.checkpoints import changes, nearest_sparse
from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.checkpoints.fit import fit
from diffserver.checkpoints.open_model import opened
from diffserver.checkpoints.tensors import entry
from diffserver.errors import Invalid

FORMAT = 1

FilePath = str | Path


class NotTrained(UserWarning):
    """A diff that only comes near to weights trained elsewhere loses more than one that is trained."""


@dataclass(frozen=True)
class About:
    """The facts of a payload: the versions that it leads from and to, and how it was made."""

    kind: str
    parent: str
    """The digest of the version that it starts from."""
    digest: str
    """The digest of the version that it leads to."""
    payload_bytes: int
    sha256: str
    budget: float | None
    """The share of the model's fp32 bytes that it had to keep to; None if there was none."""
    method: str
    """The method that trained it; `nearest` or `exact` if none did."""
    steps: int = 0
    format: int = FORMAT

    @staticmethod
    def of(payload: bytes, parent: str, digest: str, budget: float | None, method: str, steps: int = 0) -> About:
        """Describe a payload."""
        kind = frame.KINDS[payload[5]]
        sha256 = hashlib.sha256(payload).hexdigest()
        return About(kind, parent, digest, len(payload), sha256, budget, method, steps)


def beside(path: Path) -> Path:
    """Return the path of the description beside a payload."""
    return path.with_name(f"{path.name}.json")


def write(path: Path, payload: bytes, about: About) -> None:
    """Write a payload, and its description beside it."""
    path.write_bytes(payload)
    beside(path).write_text(json.dumps(asdict(about), indent=1) + "\n")


def read(path: Path) -> tuple[bytes, About | None]:
    """Return a payload and its description, if any; raises Invalid if they do not match, or there is no payload."""
    try:
        payload = path.read_bytes()
        values = json.loads(beside(path).read_text()) if beside(path).exists() else None
        about = None if values is None else About(**{field.name: values[field.name] for field in fields(About)})
    except OSError as error:
        raise Invalid(f"cannot read {error.filename}: {error.strerror}", "pass the path of a diff") from error
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid(f"{beside(path)} does not describe a diff", "save the diff again") from error
    if about and about.sha256 != hashlib.sha256(payload).hexdigest():
        raise Invalid(f"{path} and {beside(path).name} are not of one diff", "copy both files again")
    return payload, about


def snapshot(checkpoint: FilePath, out: FilePath, constants: Collection[str] = ()) -> str:
    """Write a checkpoint as version 0 of a line, its weights on grids; return the version's digest.

    It may be what `open_model` takes. Tensors that are `constants`, which no one trains, may hold infinities and NaN.
    Raises CheckpointError, Invalid, SnapshotError.
    """
    with _weights(checkpoint) as source:
        if unknown := set(constants) - {spec.name for spec in source.table}:
            raise Invalid(f"{checkpoint} has no tensor {min(unknown)}", "name tensors as the file does")
        try:
            entries = [entry.enter(source, spec, (), constants) for spec in source.table]
        except RangeError as error:
            raise Invalid(str(error), "if no one trains it, name it as a constant: --constant TENSOR") from error
        table = tuple(entered.spec for entered in entries)
        return write_pieces(_new(Path(out)), table, (entered.pieces() for entered in entries))


def encode(old: FilePath, new: FilePath, out: FilePath, budget: float | None = None) -> About:
    """Write the diff from the snapshot `old` to the weights of `new`: a snapshot, or what `open_model` takes.

    With a budget it is the nearest sparse diff of so many bytes, with a warning: it is not trained, and one that is
    keeps far more. Without, it is exact. Raises CheckpointError, Invalid, SnapshotError, and what encoding raises.
    """
    parent, path = Snapshot(Path(old)), Path(out)
    digest = parent.digest()
    with _weights(new) as weights:
        moved = list(changes.find_changes(fit(weights, parent.table), parent))
        diff = changes.exact(moved) if budget is None else _nearest(moved, int(budget * fp32_bytes(parent.table)))
        payload = encode_payload(diff, parent.table, digest)
    after = _applied(parent, payload, digest, path.with_name(f".{path.name}.applied"), keep=False)
    about = About.of(payload, digest, after, budget, "exact" if budget is None else "nearest")
    write(path, payload, about)
    return about


@contextmanager
def _weights(path: FilePath) -> Iterator[Checkpoint]:
    with tempfile.TemporaryDirectory() as scratch, opened(Path(path), Path(scratch)) as model:
        yield Checkpoint(model.weights)


def _nearest(moved: list[changes.Change], limit: int) -> Diff:
    warnings.warn(
        "this diff is not trained, only the nearest to the new weights: train it in your own loop to keep their gain",
        NotTrained,
        stacklevel=3,
    )
    return nearest_sparse.sparse(moved, limit)


def apply(old: FilePath, diff: FilePath, out: FilePath) -> str:
    """Write the snapshot that a diff makes of the snapshot `old`, by the device's code; return its digest.

    Raises Invalid if the description names another digest, WrongParent, and as the client's `apply` does.
    """
    payload, about = read(Path(diff))
    parent, path = Snapshot(Path(old)), Path(out)
    digest = _applied(parent, payload, parent.digest(), _new(path), keep=True)
    if about and about.digest != digest:
        path.unlink()
        raise Invalid(f"{diff} leads to {digest[:12]}, not to {about.digest[:12]}", "save the diff again")
    return digest


def inspect(diff: FilePath, old: FilePath | None = None) -> Mapping[str, Any]:
    """Return the facts of a diff as plain JSON values; with its parent's snapshot, also its changes.

    Raises Invalid, SnapshotError, PayloadError, WrongParent.
    """
    payload, about = read(Path(diff))
    if len(payload) < frame.HEADER.size or not frame.begins(payload) or payload[5] not in frame.KINDS:
        raise Invalid(f"{diff} is not a payload", "pass the path of a diff")
    _, version, code, parent, alpha, beta, seed, tensors, _, *lengths = frame.HEADER.unpack_from(payload)
    facts: dict[str, Any] = {
        "kind": frame.KINDS[code], "format": version, "parent": parent.hex(), "bytes": len(payload),
        "tensors": tensors, "seed": seed, "alpha": alpha, "beta": beta,
        "sections": dict(zip(("records", "symbols", "extra_bits"), lengths, strict=True)),
        "about": about and asdict(about),
    }  # fmt: skip
    return {**facts, **(_changed(payload, Snapshot(Path(old))) if old else {})}


def _changed(payload: bytes, parent: Snapshot) -> Mapping[str, Any]:
    table = parent.table
    diff = open_payload(payload, table, parent.digest()).diff()
    touched = [spec.name for spec, stream in zip(table, diff.streams, strict=True) if stream is not None]
    weights = sum(spec.size for spec in table)
    share = len(payload) / fp32_bytes(table)
    return {"share": share, "carried": diff.carried, "weights": weights, "changed_tensors": touched}


def _applied(parent: Snapshot, payload: bytes, parent_digest: str, out: Path, *, keep: bool) -> str:
    complete = False
    try:
        digest = apply_chain(parent, [open_payload(payload, parent.table, parent_digest)], out)
        complete = keep
    finally:
        if not complete:
            out.unlink(missing_ok=True)
    return digest


def _new(path: Path) -> Path:
    if path.exists():
        raise Invalid(f"{path} is there already", "name a new file, or remove it")
    return path
