"""Measures of a chain: errors example by example, drift with its interval, and the overlap of masks.

Pure but for `errors_of_each`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from diffclient.measure import error_count
from diffclient.tensors.snapshot import Snapshot
from diffserver.evaluation import Evaluation, error_rate
from diffserver.tasks import Example, Session, Task

Counts = npt.NDArray[np.int64]

RESAMPLES = 10_000
"""The number of resamples for an interval."""

_DRAWN_TOGETHER = 1000


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors on a test set: int64 `[examples]` each, in the set's order."""

    errors: Counts
    total: Counts

    @property
    def sum(self) -> error_count.Errors:
        """The errors of all examples together."""
        return error_count.Errors(int(self.errors.sum()), int(self.total.sum()))

    @property
    def error_rate(self) -> float:
        """The share of errors, in percent."""
        return error_rate(self.sum)

    @property
    def examples(self) -> int:
        """The number of examples."""
        return len(self.total)


BySet = Mapping[str, Errors]
"""Errors on each domain's test set."""


def errors_of_each(
    task: Task, session: Session, examples: Sequence[Example], on_example: Callable[[int], None]
) -> Errors:
    """Return the errors of the device's code on each example; `on_example` is called with the number measured."""
    items = []
    for count, example in enumerate(examples, start=1):
        items.append(task.measure(session, [example]))
        on_example(count)
    return Errors(np.array([item.errors for item in items]), np.array([item.total for item in items]))


def totals(by_set: BySet) -> Evaluation:
    """Return the errors on each test set as one pair of numbers."""
    return {name: errors.sum for name, errors in by_set.items()}


def drift_by_set(version: BySet, full: BySet) -> dict[str, float]:
    """Return the error rate minus the full chain's, in points, on each test set."""
    return {name: version[name].error_rate - full[name].error_rate for name in full}


def drift_interval(version: BySet, full: BySet, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the drift, in points: a paired bootstrap over the examples of each test set.

    Both models are measured on the same examples, so an example is drawn with its errors by both. Test sets are
    drawn from one by one, and weigh the same.
    """
    rng = np.random.default_rng(seed)
    drifts = np.mean([_redrawn(version[name], full[name], rng) for name in full], axis=0)
    low, high = np.percentile(drifts, [2.5, 97.5])
    return float(low), float(high)


def _redrawn(version: Errors, full: Errors, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return the set's drift in every resample, float64 `[RESAMPLES]`."""
    more, total = version.errors - full.errors, full.total
    sums = np.empty((RESAMPLES, 2))
    for start in range(0, RESAMPLES, _DRAWN_TOGETHER):
        rows = rng.integers(len(total), size=(_DRAWN_TOGETHER, len(total)))
        sums[start : start + _DRAWN_TOGETHER] = np.stack([more[rows].sum(axis=1), total[rows].sum(axis=1)], axis=1)
    return np.asarray(100 * sums[:, 0] / np.maximum(1, sums[:, 1]))


def changed(before: Snapshot, after: Snapshot) -> npt.NDArray[np.bool_]:
    """Return a mask of the weights that differ, all tensors one after another."""
    return np.concatenate([(before.read(spec.name) != after.read(spec.name)).ravel() for spec in before.table])


def overlap(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """Return the Jaccard index of two masks: the share of what either changes that both change."""
    either = int(np.count_nonzero(first | second))
    return int(np.count_nonzero(first & second)) / either if either else 1.0
