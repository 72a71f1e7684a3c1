"""The trainings of one request: done one after another as `trial_search` says, each measured as devices compute it.

Whether drift can be told depends on the fully retrained model of the same update: it is taken from the catalogue where
it is there, and trained first where a bound on drift was asked for.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Engine

from diffclient.diff.streams import Diff
from diffclient.payload.decode import decode
from diffclient.payload.encode import payload_length
from diffclient.tensors.snapshot import Table, fp32_bytes
from diffserver import evaluation
from diffserver.catalog.candidate import NewCandidate
from diffserver.catalog.training_request import MethodName, TrainingSpec
from diffserver.evaluation import mean_error_rate
from diffserver.pipeline import trial_search
from diffserver.pipeline.build_candidate import measure
from diffserver.pipeline.diff_statistics import shape_of
from diffserver.pipeline.job_context import TRAINING_SHARE, Measured, Work
from diffserver.pipeline.parent_version import Parent, find_reference, load_parent
from diffserver.pipeline.train_version import learn_update
from diffserver.pipeline.trial_search import FULL, Asked, Next, Try
from diffserver.storage.tables import Candidate

AUTO: tuple[MethodName, ...] = ("sparse", "hashed")
"""What the method `auto` tries."""

ROOM = 8
"""How many empty payloads go into the smallest budget that is tried."""


@dataclass(frozen=True)
class Found:
    """All that was tried for a request, and what was trained for it, try by try."""

    asked: Asked
    tries: tuple[Try, ...]
    trained: tuple[tuple[Try, Measured], ...]
    known: Candidate | None
    """The fully retrained model that stood in the catalogue."""

    @property
    def chosen(self) -> Try:
        """The try that is kept."""
        return trial_search.choose(self.asked, self.tries)

    @property
    def kept(self) -> Measured:
        """What becomes the candidate."""
        return next(made for tried, made in self.trained if tried is self.chosen)

    @property
    def reference(self) -> Measured | None:
        """The fully retrained model, if it was trained beside what is kept."""
        full = (made for tried, made in self.trained if tried.method == FULL and tried is not self.chosen)
        return next(full, None)

    def tell(self, candidate: NewCandidate, reference: NewCandidate | None) -> NewCandidate:
        """Have a candidate tell what was tried, and what the search has to say against it."""
        refusal = trial_search.refusal(self.asked, self.tries, candidate.metric)
        return replace(
            candidate,
            refusals=[*candidate.refusals, *([refusal] if refusal else [])],
            notes=[*candidate.notes, *self._notes()],
            tried=[asdict(one) | {"chosen": one is self.chosen} for one in self.tries],
            reference=reference,
        )

    def _notes(self) -> list[str]:
        if self.known is None:
            return []
        return [f"drift is against candidate {self.known.id}, which was fully retrained on the same data before"]


def run(work: Work, engine: Engine, parent: Parent, domains: Sequence[str]) -> Found:
    """Do the trainings that a request takes; the last of the domains is new.

    Raises TaskError, MethodError, RangeError, Cancelled.
    """
    asked = asked_for(work.spec, parent.snapshot.table)
    known = None if work.spec.method == FULL else find_reference(work.spec, engine, domains)
    tries = [_known(known, parent.snapshot.table)] if known else []
    trained: list[tuple[Try, Measured]] = []
    while following := trial_search.next_training(asked, tries):
        turn = _turn(work, asked, following, len(trained))
        start = _start(work, turn, engine, parent)
        measured = measure(turn, start, learn_update(turn, start, domains), domains)
        tries.append(_tried(following, start, measured, tries))
        # What is done with it later is no longer part of its turn.
        trained.append((tries[-1], replace(measured, work=replace(turn, on_progress=work.on_progress))))
    return Found(asked, tuple(tries), tuple(trained), known)


def asked_for(spec: TrainingSpec, table: Table) -> Asked:
    """Return what a request looks for in a model of this table."""
    methods = AUTO if spec.method == "auto" else (spec.method,)
    empty = payload_length(Diff("sparse", (None,) * len(table)), table)
    least = min(spec.budget, ROOM * empty / fp32_bytes(table))
    return Asked(methods, spec.budget, spec.max_drift, spec.max_regression, least)


def _known(full: Candidate, table: Table) -> Try:
    mean = mean_error_rate(evaluation.from_json(full.evaluation, "candidate"))
    density = _share(full.changed_weights, table)
    return Try(FULL, None, mean, drift=0.0, density=density, seconds=full.seconds_train, trained=False)


def _share(weights: int, table: Table) -> float:
    return weights / max(1, sum(spec.size for spec in table))


def _turn(work: Work, asked: Asked, following: Next, before: int) -> Work:
    """One training's own work, after `before` others: what is asked of it, its folder, how it tells of progress."""
    spec = replace(work.spec, method=following.method, budget=following.budget or work.spec.budget)
    folder = work.folder / f"{before + 1}-{following.method}"
    folder.mkdir()
    if asked.trainings == 1:
        return replace(work, spec=spec, folder=folder)
    budget = "" if following.budget is None else f" at {following.budget:.2%}"
    name = f"training {before + 1} of at most {asked.trainings} ({following.method}{budget})"

    def tell(done: float, message: str) -> bool:
        return work.on_progress(min(TRAINING_SHARE, (before + done) / asked.trainings), f"{name}: {message}")

    return replace(work, spec=spec, folder=folder, on_progress=tell)


def _start(work: Work, turn: Work, engine: Engine, parent: Parent) -> Parent:
    """Diffs start from the latest version, the fully retrained model beside them from the full chain's last one."""
    beside = turn.spec.method == FULL != work.spec.method
    return load_parent(turn.spec, engine, turn.objects, turn.folder) if beside else parent


def _tried(following: Next, start: Parent, measured: Measured, before: Sequence[Try]) -> Try:
    """The figures of one training; its drift only if a fully retrained model came before it."""
    table, result, mean = start.snapshot.table, measured.result, mean_error_rate(measured.errors)
    known = (one.mean_error_rate for one in before if one.method == FULL)
    full = mean if following.method == FULL else next(known, None)
    shape = shape_of(decode(result.payload, table, start.digest), table) if result.payload else None
    return Try(
        method=following.method,
        budget=following.budget,
        mean_error_rate=mean,
        drift=None if full is None else mean - full,
        regression=max(evaluation.regressions(start.evaluation, measured.errors).values(), default=None),
        payload_bytes=len(result.payload) if result.payload else None,
        payload_share=len(result.payload or b"") / fp32_bytes(table),
        density=_share(result.changed, table),
        levels=None if shape is None else shape.levels,
        steps=None if shape is None else shape.steps,
        seconds=result.seconds,
    )
