"""Chains of updates by several methods, each held against the full chain of the same seed, as rows of figures."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from diffclient.errors import DiffClientError
from diffclient.tensors.snapshot import fp32_bytes
from diffserver.choices.methods import FULL
from diffserver.evaluation import mean_error_rate, recovered
from diffserver.experiment import statistics
from diffserver.experiment.cache import Version
from diffserver.experiment.plan import Entry
from diffserver.experiment.results import Failure, Row
from diffserver.experiment.version_bench import Bench, Order
from diffserver.methods.method import MethodError

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Chain:
    """The versions of one method at one budget, the base first, with masks of the weights that updates changed."""

    entry: Entry
    seed: int
    versions: list[Version]
    seconds: list[float]
    """The time of each version's training, its teacher's included."""
    masks: list[Mask]

    @staticmethod
    def begin(entry: Entry, seed: int, base: Version) -> Chain:
        """Return a chain before its first update."""
        return Chain(entry, seed, [base], [0.0], [])

    def add(self, version: Version, seconds: float) -> None:
        """Put a version at the end."""
        self.masks.append(statistics.changed(self.versions[-1].snapshot, version.snapshot))
        self.versions.append(version)
        self.seconds.append(seconds)


def run(bench: Bench) -> Iterator[Row | Failure]:
    """Make all versions of the plan, and yield a row as each is measured.

    A chain that cannot go on is a failure, and the others go on; without a full chain a seed has no others.
    """
    for seed in bench.plan.seeds:
        full = Chain.begin(Entry(FULL, bench.plan.full, 1.0), seed, bench.version(Order(bench.plan.base, seed)))
        failed = yield from _chain(bench, full, full)
        for entry in bench.plan.entries if not failed else ():
            yield from _chain(bench, Chain.begin(entry, seed, full.versions[0]), full)


def _chain(bench: Bench, chain: Chain, full: Chain) -> Generator[Row | Failure, None, bool]:
    """Yield the chain's rows; return whether it failed."""
    for number in range(1, bench.plan.updates + 1):
        try:
            _update(bench, chain, full, number)
        except (MethodError, DiffClientError) as error:
            yield Failure(chain.seed, chain.entry.label, chain.entry.budget, number, str(error))
            return True
        yield _row(bench, chain, full, number)
    return False


def _update(bench: Bench, chain: Chain, full: Chain, number: int) -> None:
    entry, parent, seconds = chain.entry, chain.versions[-1], 0.0
    teacher = full.versions[number] if entry.definition.teacher == "chain" else None
    if entry.definition.teacher == "own":
        teacher = bench.version(Order(bench.plan.full, chain.seed, number, parent))
    if teacher is not None:
        seconds = teacher.record.seconds
    version = bench.version(Order(entry.definition, chain.seed, number, parent, entry.budget, teacher))
    chain.add(version, seconds + version.record.seconds)


def _row(bench: Bench, chain: Chain, full: Chain, number: int) -> Row:
    domains = bench.plan.domains[: number + 1]
    version, reference = chain.versions[number], full.versions[number]
    after, errors_full = bench.errors(version, domains), bench.errors(reference, domains)
    new = domains[-1].name
    before = bench.errors(chain.versions[number - 1], domains[-1:])
    mean, mean_full = (mean_error_rate(statistics.totals(errors)) for errors in (after, errors_full))
    masks, table = chain.masks, version.snapshot.table
    return Row(
        data=bench.plan.data,
        seed=chain.seed,
        method=chain.entry.label,
        budget=chain.entry.budget,
        update=number,
        domain=new,
        payload_bytes=version.record.payload_bytes or version.snapshot.path.stat().st_size,
        payload_share=version.record.payload_bytes / fp32_bytes(table) or 1.0,
        density=float(masks[-1].mean()),
        overlap=statistics.overlap(masks[-2], masks[-1]) if number > 1 else None,
        wer_mean=mean,
        wer_full_mean=mean_full,
        drift_mean=mean - mean_full,
        drift_interval=statistics.drift_interval(after, errors_full, chain.seed),
        drift_by_set=statistics.drift_by_set(after, errors_full),
        recovered=recovered(before[new].error_rate, errors_full[new].error_rate, after[new].error_rate),
        utterances={name: errors.examples for name, errors in after.items()},
        seconds_train=chain.seconds[number],
        seconds_train_full=full.seconds[number],
    )
