"""The figures of a trial: error rates and drift, payload, density, levels and steps.

Decisions that follow from them are left to `trial_search`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffclient.diff.streams import Diff, Exact, Hashed, Sparse, numbers
from diffclient.payload.decode import decode
from diffclient.tensors.snapshot import Table, TensorSpec, fp32_bytes
from diffserver import evaluation
from diffserver.evaluation import mean_error_rate
from diffserver.pipeline.job_context import MeasuredVersion
from diffserver.pipeline.parent_version import Parent
from diffserver.pipeline.search.trial_search import NextTraining, Trial
from diffserver.storage.tables import Candidate


@dataclass(frozen=True)
class Shape:
    """Statistics of a diff's values."""

    levels: int
    """The number of different levels in all tensors together."""
    steps: tuple[float, float] | None
    """The least and the largest step of its tensors, as weights; None if it has no steps."""


def shape_of(diff: Diff, table: Table) -> Shape:
    """Describe a diff for the table's tensors."""
    touched = [(spec, stream) for spec, stream in zip(table, diff.streams, strict=True) if stream is not None]
    levels = {int(level) for _, stream in touched for level in np.unique(numbers(stream))}
    steps = [_step(spec, stream) for spec, stream in touched if not isinstance(stream, Exact)]
    return Shape(len(levels), (min(steps), max(steps)) if steps else None)


def _step(spec: TensorSpec, stream: Sparse | Hashed) -> float:
    """Return the step as a weight; an int8 tensor is its own grid."""
    exponent = stream.exponent if stream.exponent is not None else spec.grid or 0
    return math.ldexp(stream.step, -exponent)


def trial_of_reference(reference: Candidate, table: Table) -> Trial:
    """Return the trial of a reference of drift that stood in the catalogue."""
    return Trial(
        method=reference.method,
        budget=None,
        mean_error_rate=mean_error_rate(evaluation.from_json(reference.evaluation, "candidate")),
        drift=0.0,
        payload_bytes=reference.payload.length if reference.payload else None,
        payload_share=reference.payload_share,
        density=_density(reference.changed_weights, table),
        seconds=reference.seconds_train,
        trained=False,
    )


def trial_of(
    training: NextTraining, start: Parent, measured: MeasuredVersion, before: Sequence[Trial], reference: str
) -> Trial:
    """Return the trial of a training; its drift is known only with the reference (a method), itself or one `before`."""
    result, table, mean = measured.result, start.snapshot.table, mean_error_rate(measured.errors)
    payload, kind = result.version.payload, result.version.kind
    best = next((trial.mean_error_rate for trial in before if trial.method == reference), None)
    best = mean if training.method == reference else best
    shape = shape_of(decode(payload, table, start.digest), table) if payload and kind in ("sparse", "hashed") else None
    return Trial(
        method=training.method,
        budget=training.budget,
        mean_error_rate=mean,
        drift=None if best is None else mean - best,
        regression=max(evaluation.regressions(start.evaluation, measured.errors).values(), default=None),
        payload_bytes=len(payload) if payload else None,
        payload_share=len(payload or b"") / fp32_bytes(table),
        density=_density(result.changed, table),
        levels=None if shape is None else shape.levels,
        steps=None if shape is None else shape.steps,
        seconds=result.seconds,
    )


def _density(changed: int, table: Table) -> float:
    """Return the share of all weights that these are."""
    return changed / max(1, sum(spec.size for spec in table))
