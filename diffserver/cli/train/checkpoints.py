"""What becomes of a checkpoint on the command line: it is uploaded, made two candidates, and one is chosen."""

import hashlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
from rich.console import Group
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.cli.output import line, listing, progress
from diffserver.cli.remote import Remote
from diffserver.cli.wait import follow
from diffserver.errors import Conflict, Invalid
from diffserver.evaluation import from_json, mean_wer, wer

KINDS = ("exact", "sparse")
NONE = "none"
PIECE = 1 << 20


@dataclass
class Made:
    """What the two trainings came to: a candidate each, or why there is none."""

    candidates: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def upload(remote: Remote, path: Path) -> str:
    """Bring a checkpoint to the server unless it is there; return its SHA-256. Raises CheckpointError, RemoteError."""
    Checkpoint(path)  # before its bytes travel
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if not remote.exists(f"/v1/blobs/{sha256}"):
        with progress(DownloadColumn(), TransferSpeedColumn()) as bars:
            remote.put(f"/v1/checkpoints/{sha256}", _pieces(path, bars), path.stat().st_size)
    return sha256


def make(remote: Remote, spec: Mapping[str, Any], budget: float) -> Made:
    """Have both candidates made of an uploaded checkpoint; raises Conflict if neither could be."""
    # An exact payload is as large as it is; the budget is what the sparse one has to keep to.
    budgets = {"exact": 1.0, "sparse": budget}
    queued = {kind: remote.post("/v1/trainings", {**spec, "method": kind, "budget": budgets[kind]}) for kind in KINDS}
    made = Made()
    for kind, training in queued.items():
        try:
            done = follow(remote, training)
            made.candidates[kind] = remote.get(f"/v1/candidates/{done['candidate_id']}")
        except Conflict as error:
            made.failures[kind] = error.detail
    if not made.candidates:
        raise Conflict("; ".join(dict.fromkeys(made.failures.values())), "see the worker's log")
    return made


def compare(made: Made) -> Group:
    """Return both candidates side by side, and what is worth knowing of them."""
    found = made.candidates
    rows: list[list[object]] = [
        ["candidate", None, *(one["id"] for one in found.values())],
        ["payload bytes", None, *(f"{one['payload']['length']:,}" for one in found.values())],
        ["share of fp32", None, *(f"{one['payload_share']:.2%}" for one in found.values())],
        ["weights changed", None, *(f"{one['changed_weights']:,}" for one in found.values())],
        *_accuracy(found),
        ["refusals", None, *(len(one["refusals"]) or "none" for one in found.values())],
    ]
    said = [line(f"{kind}: {what}") for kind, one in found.items() for what in (*one["notes"], *one["refusals"])]
    failed = [line(f"no {kind} candidate: {why}") for kind, why in made.failures.items()]
    table = listing("What the checkpoint would become; WER in %", ["", "parent", *found], rows)
    return Group(table, *said, *failed)


def choose(made: Made, kind: str | None, yes: bool, force: bool) -> Any | None:
    """Return the candidate to publish: the one named, the one that the rule of --yes picks, or what a person says.

    The rule: the smallest payload of those that nothing speaks against (with `force`, of all). None if the person
    wants neither. Raises Conflict where there is none.
    """
    if kind is None and not yes:
        kind = _ask(made)
    if kind == NONE:
        return None
    if kind is not None:
        if kind not in made.candidates:
            raise Conflict(f"there is no {kind} candidate", "see above")
        return made.candidates[kind]
    allowed = [one for one in made.candidates.values() if force or not one["refusals"]]
    if not allowed:
        refusals = "; ".join(line for one in made.candidates.values() for line in one["refusals"])
        raise Conflict(f"something speaks against every candidate: {refusals}", "see above, or pass --force")
    return min(allowed, key=lambda one: one["payload"]["length"])


def _ask(made: Made) -> str:
    while True:
        said: str = typer.prompt(f"Publish {', '.join(made.candidates)} or {NONE}?", default=NONE)
        if said in (*made.candidates, NONE):
            return said


def require_choice(kind: str | None, yes: bool, as_json: bool) -> None:
    """Raise Invalid, before anything is done, if no one could choose in the end."""
    if kind is not None and kind not in KINDS:
        raise Invalid(f"a checkpoint does not become a {kind} diff", f"choose {' or '.join(KINDS)}")
    if kind is None and not yes and (as_json or not sys.stdin.isatty()):
        raise Invalid("there is no one to ask which candidate to publish", "pass --kind exact, --kind sparse or --yes")


def _accuracy(found: Mapping[str, Any]) -> Iterator[list[object]]:
    """WER by test set and on average: the parent's, and each candidate's with what it gains or loses."""
    first = next(iter(found.values()))
    parent = from_json(first["evaluation"], "parent")
    after = [from_json(one["evaluation"], "candidate") for one in found.values()]
    for domain in after[0]:
        before = wer(parent[domain])
        yield [domain, f"{before:.2f}", *(_changed(before, wer(one[domain])) for one in after)]
    yield ["mean", f"{mean_wer(parent):.2f}", *(_changed(mean_wer(parent), mean_wer(one)) for one in after)]


def _changed(before: float, after: float) -> str:
    return f"{after:.2f} ({after - before:+.2f})"


def _pieces(path: Path, progress: Progress) -> Iterator[bytes]:
    bar = progress.add_task("uploads the checkpoint", total=path.stat().st_size)
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
            progress.advance(bar, len(piece))
