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
from diffserver.catalog.training_request import TrainingSpec
from diffserver.choices.methods import AUTO, FULL, Use, method_names
from diffserver.evaluation import mean_error_rate
from diffserver.pipeline import trial_search
from diffserver.pipeline.build_candidate import measure
from diffserver.pipeline.diff_statistics import shape_of
from diffserver.pipeline.job_context import TRAINING_SHARE, MeasuredVersion, Work
from diffserver.pipeline.parent_version import Parent, find_reference, load_parent
from diffserver.pipeline.train_version import train_update
from diffserver.pipeline.trial_search import Goal, NextTraining, Trial
from diffserver.storage.tables import Candidate

ROOM = 8
"""How many empty payloads go into the smallest budget that is tried."""


@dataclass(frozen=True)
class TrialResults:
    """All trials of a request, and what was trained for it, trial by trial."""

    goal: Goal
    trials: tuple[Trial, ...]
    trained: tuple[tuple[Trial, MeasuredVersion], ...]
    known: Candidate | None
    """The fully retrained model that stood in the catalogue."""

    @property
    def chosen(self) -> Trial:
        """The trial that is kept."""
        return trial_search.choose(self.goal, self.trials)

    @property
    def kept(self) -> MeasuredVersion:
        """What becomes the candidate."""
        return next(measured for trial, measured in self.trained if trial is self.chosen)

    @property
    def reference(self) -> MeasuredVersion | None:
        """The fully retrained model, if it was trained beside what is kept."""
        full = (measured for trial, measured in self.trained if trial.method == FULL and trial is not self.chosen)
        return next(full, None)

    def annotate(self, candidate: NewCandidate, reference: NewCandidate | None) -> NewCandidate:
        """Return a candidate that tells of the trials, and of what the search has to say against it."""
        refusal = trial_search.refusal(self.goal, self.trials, candidate.metric)
        return replace(
            candidate,
            refusals=[*candidate.refusals, *([refusal] if refusal else [])],
            notes=[*candidate.notes, *self._notes()],
            tried=[asdict(trial) | {"chosen": trial is self.chosen} for trial in self.trials],
            reference=reference,
        )

    def _notes(self) -> list[str]:
        if self.known is None:
            return []
        return [f"drift is against candidate {self.known.id}, which was fully retrained on the same data before"]


def run(work: Work, engine: Engine, parent: Parent, domains: Sequence[str]) -> TrialResults:
    """Do the trainings that a request takes; the last of the domains is new.

    Raises TaskError, MethodError, RangeError, Cancelled.
    """
    goal = goal_of(work.spec, parent.snapshot.table)
    known = None if work.spec.method == FULL else find_reference(work.spec, engine, domains)
    trials = [_trial_of_known(known, parent.snapshot.table)] if known else []
    trained: list[tuple[Trial, MeasuredVersion]] = []
    while training := trial_search.next_training(goal, trials):
        own_work = _work_for(work, goal, training, len(trained))
        start = _parent_for(work, own_work, engine, parent)
        measured = measure(own_work, start, train_update(own_work, start, domains), domains)
        trials.append(_trial_of(training, start, measured, trials))
        # What is done with it later is no longer part of its own progress.
        trained.append((trials[-1], replace(measured, work=replace(own_work, on_progress=work.on_progress))))
    return TrialResults(goal, tuple(trials), tuple(trained), known)


def goal_of(spec: TrainingSpec, table: Table) -> Goal:
    """Return what a request looks for in a model of this table."""
    methods = method_names(Use.AUTO) if spec.method == AUTO else (spec.method,)
    empty = payload_length(Diff("sparse", (None,) * len(table)), table)
    least = min(spec.budget, ROOM * empty / fp32_bytes(table))
    return Goal(methods, spec.budget, spec.max_drift, spec.max_regression, least)


def _work_for(work: Work, goal: Goal, training: NextTraining, before: int) -> Work:
    """One training's own work, after `before` others: what is asked of it, its folder, how it tells of progress."""
    spec = replace(work.spec, method=training.method, budget=training.budget or work.spec.budget)
    folder = work.folder / f"{before + 1}-{training.method}"
    folder.mkdir()
    if goal.trainings == 1:
        return replace(work, spec=spec, folder=folder)
    budget = "" if training.budget is None else f" at {training.budget:.2%}"
    name = f"training {before + 1} of at most {goal.trainings} ({training.method}{budget})"

    def on_progress(done: float, message: str) -> bool:
        return work.on_progress(min(TRAINING_SHARE, (before + done) / goal.trainings), f"{name}: {message}")

    return replace(work, spec=spec, folder=folder, on_progress=on_progress)


def _parent_for(work: Work, own_work: Work, engine: Engine, parent: Parent) -> Parent:
    """Diffs start from the latest version, the fully retrained model beside them from the full chain's last one."""
    beside = own_work.spec.method == FULL != work.spec.method
    return load_parent(own_work.spec, engine, own_work.objects, own_work.folder) if beside else parent


def _trial_of_known(full: Candidate, table: Table) -> Trial:
    mean = mean_error_rate(evaluation.from_json(full.evaluation, "candidate"))
    density = _density(full.changed_weights, table)
    return Trial(FULL, None, mean, drift=0.0, density=density, seconds=full.seconds_train, trained=False)


def _trial_of(training: NextTraining, start: Parent, measured: MeasuredVersion, before: Sequence[Trial]) -> Trial:
    """The figures of one training; its drift only if a fully retrained model came before it."""
    result, table, mean = measured.result, start.snapshot.table, mean_error_rate(measured.errors)
    payload, kind = result.version.payload, result.version.kind
    full = next((trial.mean_error_rate for trial in before if trial.method == FULL), None)
    full = mean if training.method == FULL else full
    shape = shape_of(decode(payload, table, start.digest), table) if payload and kind != "snapshot" else None
    return Trial(
        method=training.method,
        budget=training.budget,
        mean_error_rate=mean,
        drift=None if full is None else mean - full,
        regression=max(evaluation.regressions(start.evaluation, measured.errors).values(), default=None),
        payload_bytes=len(payload) if payload else None,
        payload_share=len(payload or b"") / fp32_bytes(table),
        density=_density(result.changed, table),
        levels=None if shape is None else shape.levels,
        steps=None if shape is None else shape.steps,
        seconds=result.seconds,
    )


def _density(changed: int, table: Table) -> float:
    """The share of all weights that so many are."""
    return changed / max(1, sum(spec.size for spec in table))
