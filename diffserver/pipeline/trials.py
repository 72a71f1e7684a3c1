"""The trainings of one request: run one after another as `trial_search` decides, each measured with the device's code.

Drift needs the fully retrained model of the same update, or the checkpoint that the request brings: it is taken from
the catalogue if that has it, and made first if the request has a bound on drift. The figures of a trial are left to
`trial_figures`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Engine

from diffclient.diff.streams import Diff
from diffclient.payload.encode import payload_length
from diffclient.tensors.snapshot import Table, fp32_bytes
from diffserver.catalog.candidate import NewCandidate
from diffserver.catalog.training_request import TrainingSpec
from diffserver.choices.methods import AUTO, EXACT, FULL, Use, method_names
from diffserver.pipeline import from_checkpoint
from diffserver.pipeline.build_candidate import measure
from diffserver.pipeline.job_context import TRAINING_SHARE, MeasuredVersion, Result, Work
from diffserver.pipeline.parent_version import Parent, find_reference, load_parent
from diffserver.pipeline.search import trial_search
from diffserver.pipeline.search.trial_search import Goal, NextTraining, Trial
from diffserver.pipeline.train_version import require_recipes, train_update
from diffserver.pipeline.trial_figures import trial_of, trial_of_reference
from diffserver.storage.tables import Candidate

ROOM = 8
"""The smallest budget of a trial, in bytes of an empty payload."""


@dataclass(frozen=True)
class TrialResults:
    """All trials of a request, and the versions that were trained for it."""

    goal: Goal
    trials: tuple[Trial, ...]
    versions: tuple[tuple[Trial, MeasuredVersion], ...]
    catalogued: Candidate | None
    """The reference of drift, if it stood in the catalogue."""

    @property
    def chosen_trial(self) -> Trial:
        """The trial that is kept."""
        return trial_search.choose(self.goal, self.trials)

    @property
    def chosen_version(self) -> MeasuredVersion:
        """The version that becomes the candidate."""
        return next(version for trial, version in self.versions if trial is self.chosen_trial)

    @property
    def reference(self) -> MeasuredVersion | None:
        """The reference of drift, if it was made beside the kept version."""
        others = ((trial, version) for trial, version in self.versions if trial is not self.chosen_trial)
        return next((version for trial, version in others if trial.method == self.goal.reference), None)

    def annotate(self, candidate: NewCandidate, reference: NewCandidate | None) -> NewCandidate:
        """Return a candidate with the trials, and with the refusal of the search, if any."""
        refusal = trial_search.refusal(self.goal, self.trials, candidate.metric)
        return replace(
            candidate,
            refusals=[*candidate.refusals, *([refusal] if refusal else [])],
            notes=[*candidate.notes, *self._notes()],
            tried=[asdict(trial) | {"chosen": trial is self.chosen_trial} for trial in self.trials],
            reference=reference,
        )

    def _notes(self) -> list[str]:
        if self.catalogued is None:
            return []
        what = "which was fully retrained on the same data before" if self.goal.reference == FULL else "the checkpoint"
        return [f"drift is against candidate {self.catalogued.id}, {what}"]


def run(work: Work, engine: Engine, parent: Parent, domains: Sequence[str]) -> TrialResults:
    """Run the trainings that a request takes; the last of the domains is new, where anything is trained.

    Raises TaskError, MethodError, CheckpointError, Invalid, RangeError, Cancelled.
    """
    goal = goal_of(work.spec, parent.snapshot.table)
    if not work.spec.checkpoint:
        require_recipes(work, goal.methods)
    catalogued = None if work.spec.method == FULL else find_reference(work.spec, engine, domains)
    trials = [trial_of_reference(catalogued, parent.snapshot.table)] if catalogued else []
    versions: list[tuple[Trial, MeasuredVersion]] = []
    while training := trial_search.next_training(goal, trials):
        own_work = _work_for(work, goal, training, len(versions))
        start = _parent_for(work, own_work, engine, parent)
        measured = measure(own_work, start, _make(own_work, start, domains), domains)
        trials.append(trial_of(training, start, measured, trials, goal.reference))
        # Later work on it counts in the progress of the request, not in that of its training.
        versions.append((trials[-1], replace(measured, work=replace(own_work, on_progress=work.on_progress))))
    return TrialResults(goal, tuple(trials), tuple(versions), catalogued)


def goal_of(spec: TrainingSpec, table: Table) -> Goal:
    """Return the goal of a request for a model of this table."""
    methods = method_names(Use.AUTO) if spec.method == AUTO else (spec.method,)
    empty = payload_length(Diff("sparse", (None,) * len(table)), table)
    least = min(spec.budget, ROOM * empty / fp32_bytes(table))
    reference = EXACT if spec.checkpoint else FULL
    return Goal(methods, spec.budget, spec.max_drift, spec.max_regression, least, reference)


def _make(work: Work, parent: Parent, domains: Sequence[str]) -> Result:
    return from_checkpoint.update(work, parent) if work.spec.checkpoint else train_update(work, parent, domains)


def _work_for(work: Work, goal: Goal, training: NextTraining, before: int) -> Work:
    """Return the work of one training, after `before` others: its own request, folder and share of the progress."""
    # No budget binds the reference.
    spec = replace(work.spec, method=training.method, budget=training.budget or 1.0)
    if _is_beside(training.method, work):
        spec = replace(spec, parameters={})  # what was asked for is of the diffs, not of what they are held against
    folder = work.folder / f"{before + 1}-{training.method}"
    folder.mkdir()
    work = replace(work, part=folder.name)
    if goal.trainings == 1:
        return replace(work, spec=spec, folder=folder)
    budget = "" if training.budget is None else f" at {training.budget:.2%}"
    what = "trial" if spec.checkpoint else "training"
    name = f"{what} {before + 1} of at most {goal.trainings} ({training.method}{budget})"

    def on_progress(progress: float, message: str) -> bool:
        return work.on_progress(min(TRAINING_SHARE, (before + progress) / goal.trainings), f"{name}: {message}")

    return replace(work, spec=spec, folder=folder, on_progress=on_progress)


def _parent_for(work: Work, own_work: Work, engine: Engine, parent: Parent) -> Parent:
    """Return the parent of a training: the latest version, or the full chain's last for a reference beside diffs."""
    beside = _is_beside(own_work.spec.method, work)
    return load_parent(own_work.spec, engine, own_work.objects, own_work.folder) if beside else parent


def _is_beside(method: str, work: Work) -> bool:
    """Tell whether a training is of the reference, beside the diffs that were asked for."""
    return method == FULL != work.spec.method
