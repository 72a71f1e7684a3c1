"""Publish a checkpoint from the command line: upload it, make two candidates of it, choose one."""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
from rich.console import Group

from diffclient import durable
from diffserver.choices.delivery import DELIVERY
from diffserver.choices.methods import DEFAULT, SNAPSHOT, Use, method_names
from diffserver.cli.output import line, listing, share, tried_table
from diffserver.cli.progress import Bars, bars
from diffserver.cli.remote import Remote
from diffserver.cli.wait import watch, why_none
from diffserver.errors import Conflict, Invalid
from diffserver.evaluation import error_rate, from_json, mean_error_rate

NONE = "none"
KINDS = (*method_names(Use.CHECKPOINT), *method_names(Use.WHOLE))
"""The kinds that a checkpoint's version may have."""

PIECE = 1 << 20
NOT_MEASURED = "not measured: this model has no test sets"


@dataclass
class Outcomes:
    """The outcomes of the two trainings: a candidate each, or the reason for its failure."""

    candidates: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def upload(remote: Remote, path: Path, task: str, published: bytes | None = None) -> dict[str, str]:
    """Bring a checkpoint, and the graph that it has inside, to the server unless they are there.

    The graph travels if the model has no task, whose network decides, and if the checkpoint is delivered whole; else
    `published` is that of the version to be updated. Returns the SHA-256s as fields of a request. Raises
    CheckpointError, RemoteError.
    """
    # Imported late: numpy, which no other command needs.
    from diffserver.checkpoints.open_model import opened

    with tempfile.TemporaryDirectory() as scratch, opened(path, Path(scratch), published) as model:
        fields = {"checkpoint": send(remote, "checkpoints", model.weights)}
        if model.graph is not None and published is None and task == DELIVERY:
            fields["graph"] = send(remote, "checkpoints/graphs", model.graph)
    return fields


def send(remote: Remote, kind: str, path: Path) -> str:
    """Bring a file of a kind to the server unless it is there; return its SHA-256. Raises RemoteError."""
    sha256 = durable.sha256(path)
    if not remote.exists(f"/v1/blobs/{sha256}"):
        with bars() as shown:
            remote.put(f"/v1/{kind}/{sha256}", _pieces(path, shown), path.stat().st_size)
    return sha256


def make(remote: Remote, spec: Mapping[str, Any], kind: str | None, **bounds: float | None) -> Outcomes:
    """Make the candidates of an uploaded checkpoint: a snapshot if that is the kind, else all diffs.

    `bounds` are those of sparse alone; what arrives at the checkpoint has the size that it needs. Raises Conflict if
    every one fails.
    """
    kinds = (SNAPSHOT,) if kind == SNAPSHOT else method_names(Use.CHECKPOINT)
    requests = {name: {"method": name, **(bounds if name == DEFAULT else {"budget": 1.0})} for name in kinds}
    queued = {kind: remote.post("/v1/trainings", {**spec, **request}) for kind, request in requests.items()}
    outcomes = Outcomes()
    for kind, training in queued.items():
        ended = watch(remote, training)
        if ended["state"] == "done":
            outcomes.candidates[kind] = remote.get(f"/v1/candidates/{ended['candidate_id']}")
        else:
            outcomes.failures[kind] = why_none(ended)
    if not outcomes.candidates:
        reasons = "; ".join(dict.fromkeys(outcomes.failures.values()))
        raise Conflict(f"there is no candidate: {reasons}", "see the worker's log")
    return outcomes


def compare(outcomes: Outcomes) -> Group:
    """Return a table of the candidates side by side, with their trials, notes and refusals."""
    candidates = outcomes.candidates
    measured = all(candidate["evaluation"] for candidate in candidates.values())
    rows: list[list[object]] = [
        ["candidate", None, *(candidate["id"] for candidate in candidates.values())],
        ["payload bytes", None, *(f"{_length(candidate):,}" for candidate in candidates.values())],
        ["share of fp32", None, *(share(candidate) for candidate in candidates.values())],
        ["bytes to fetch", None, *(f"{candidate['to_fetch']['total']:,}" for candidate in candidates.values())],
        ["weights changed", None, *(f"{candidate['changed_weights']:,}" for candidate in candidates.values())],
        *(_accuracy(candidates) if measured else ()),
        ["refusals", None, *(len(candidate["refusals"]) or "none" for candidate in candidates.values())],
    ]
    remarks = [
        line(f"{kind}: {remark}")
        for kind, candidate in candidates.items()
        for remark in (*candidate["notes"], *candidate["refusals"])
    ]
    failures = [line(f"no {kind} candidate: {why}") for kind, why in outcomes.failures.items()]
    metric = next(iter(candidates.values()))["metric"]
    searched = [candidate for candidate in candidates.values() if candidate["tried"]]
    tried = [tried_table(candidate["tried"], metric, candidate["to_fetch"]) for candidate in searched]
    figures = f"{metric['name']} in %" if measured else NOT_MEASURED
    table = listing(f"What the checkpoint would become; {figures}", ["", "parent", *candidates], rows)
    return Group(*tried, table, *remarks, *failures)


def choose(outcomes: Outcomes, kind: str | None, yes: bool, force: bool) -> Any | None:
    """Return the candidate to publish: of the kind given, by the rule of --yes, or by a prompt; None for neither.

    The rule: the smallest payload among the candidates without refusals (with `force`, among all). Raises Conflict if
    there is none.
    """
    if kind is None and not yes:
        kind = _ask(outcomes)
    if kind == NONE:
        return None
    if kind is not None:
        if kind not in outcomes.candidates:
            raise Conflict(f"there is no {kind} candidate: {outcomes.failures[kind]}", "pass another --kind, or --yes")
        return outcomes.candidates[kind]
    allowed = [candidate for candidate in outcomes.candidates.values() if force or not candidate["refusals"]]
    if not allowed:
        refusals = "; ".join(text for candidate in outcomes.candidates.values() for text in candidate["refusals"])
        raise Conflict(f"something speaks against every candidate: {refusals}", "see above, or pass --force")
    return min(allowed, key=_length)


def _length(candidate: Mapping[str, Any]) -> int:
    """Return the bytes that travel: of the diff, or of the snapshot of what is delivered whole."""
    length: int = (candidate["payload"] or candidate["snapshot"])["length"]
    return length


def _ask(outcomes: Outcomes) -> str:
    while True:
        choice: str = typer.prompt(f"Publish {', '.join(outcomes.candidates)} or {NONE}?", default=NONE)
        if choice in (*outcomes.candidates, NONE):
            return choice


def require_choice(kind: str | None, yes: bool, as_json: bool) -> None:
    """Raise Invalid if neither an option nor a person at a terminal can choose the candidate."""
    if kind is not None and kind not in KINDS:
        raise Invalid(f"a checkpoint does not become a {kind} diff", f"choose {', '.join(KINDS)}")
    if kind is None and not yes and (as_json or not sys.stdin.isatty()):
        ways = ", ".join(f"--kind {name}" for name in method_names(Use.CHECKPOINT))
        raise Invalid("there is no one to ask which candidate to publish", f"pass {ways} or --yes")


def require_bound(max_drift: float | None, kind: str | None, task: str) -> None:
    """Raise Invalid if nothing can be within so many points of the checkpoint, before its bytes travel."""
    if max_drift is not None and kind not in (None, DEFAULT):
        raise Invalid(f"--max-drift looks for a budget of {DEFAULT}, and {kind} has none", "leave it out")
    if max_drift is not None and task == DELIVERY:
        raise Invalid("--max-drift needs test sets, and the model is delivered without a task", "pass --budget")


def _accuracy(candidates: Mapping[str, Any]) -> Iterator[list[object]]:
    """Yield rows of error rates by test set and on average: the parent's, and each candidate's with its change."""
    first = next(iter(candidates.values()))
    parent = from_json(first["evaluation"], "parent")
    after = [from_json(candidate["evaluation"], "candidate") for candidate in candidates.values()]
    for domain in after[0]:
        yield _changes(domain, error_rate(parent[domain]), [error_rate(evaluation[domain]) for evaluation in after])
    yield _changes("mean", mean_error_rate(parent), [mean_error_rate(evaluation) for evaluation in after])


def _changes(name: str, before: float, after: Sequence[float]) -> list[object]:
    return [name, f"{before:.2f}", *(f"{rate:.2f} ({rate - before:+.2f})" for rate in after)]


def _pieces(path: Path, shown: Bars) -> Iterator[bytes]:
    bar = shown.add(f"uploads {path.name}", path.stat().st_size, "bytes")
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
            bar.advance(len(piece))
