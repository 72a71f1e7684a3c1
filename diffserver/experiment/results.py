"""The figures of an experiment: rows, one an update of a chain, and their file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import mean
from typing import Any

from diffclient.durable import write_file
from diffserver.errors import Invalid


@dataclass(frozen=True)
class Row:
    """One update of a chain: error rates in percent, drift in points, budget and shares as fractions.

    Means are over the test sets of the base and of all updates so far. The names are those of files that were written
    when speech was the only task.
    """

    data: str
    seed: int
    method: str
    budget: float
    update: int
    domain: str
    payload_bytes: int
    payload_share: float
    """The share of the fp32 bytes; 1 for the full chain, which ships everything."""
    density: float
    """The share of all weights that the update changed."""
    overlap: float | None
    """The share of the weights changed by this update or the one before that both changed; None for the first."""
    wer_mean: float
    wer_full_mean: float
    """The full chain's."""
    drift_mean: float
    drift_interval: tuple[float, float]
    """95 %, by a paired bootstrap over the examples."""
    drift_by_set: Mapping[str, float]
    recovered: float
    """The share of full retraining's gain on the new domain that the update has."""
    utterances: Mapping[str, int]
    """The number of examples of each test set."""
    seconds_train: float
    """The seconds of training, its teacher's included."""
    seconds_train_full: float

    def __str__(self) -> str:
        figures = f"error rate {self.wer_mean:.2f}, full {self.wer_full_mean:.2f}, drift {self.drift_mean:+.2f}"
        return f"seed {self.seed}, {self.method} at {self.budget:.2%}, update {self.update}: {figures}"

    @property
    def chain(self) -> tuple[str, str, float]:
        """The data, method and budget, which rows of one curve share."""
        return self.data, self.method, self.budget


@dataclass(frozen=True)
class Failure:
    """A chain that could not go on."""

    seed: int
    method: str
    budget: float
    update: int
    reason: str

    def __str__(self) -> str:
        return f"failed: seed {self.seed}, {self.method} at {self.budget:.2%}, update {self.update}: {self.reason}"


@dataclass(frozen=True)
class Results:
    """All rows so far."""

    runs: Sequence[Row] = ()
    failures: Sequence[Failure] = ()

    def plus(self, result: Row | Failure) -> Results:
        """Return the results with one more."""
        if isinstance(result, Row):
            return Results((*self.runs, result), self.failures)
        return Results(self.runs, (*self.failures, result))

    def write(self, path: Path) -> None:
        """Write them as JSON, whole or not at all; raises StoreFailed, NoSpace if the file cannot be written."""
        write_file(path, (json.dumps(asdict(self), indent=1) + "\n").encode())


def read(path: Path) -> Results:
    """Read a file of `Results.write`; raises Invalid if it is something else."""
    try:
        value = json.loads(path.read_text())
        return Results(tuple(map(_row, value["runs"])), tuple(Failure(**failure) for failure in value["failures"]))
    except OSError as error:
        raise Invalid(f"cannot read {path}: {error.strerror}", "give a file that `experiment chain` wrote") from error
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid(f"{path} holds no results ({error})", "give a file that `experiment chain` wrote") from error


def join(parts: Sequence[Results]) -> Results:
    """Return the rows of several runs together, sorted; of rows that say the same twice, the last.

    Rows of the same method must be of different seeds, budgets or data.
    """
    rows = {(row.chain, row.seed, row.update): row for part in parts for row in part.runs}
    failures = [failure for part in parts for failure in part.failures]
    return Results(tuple(rows[key] for key in sorted(rows)), tuple(failures))


def by_chain(rows: Sequence[Row]) -> dict[tuple[str, str, float], dict[int, list[Row]]]:
    """Return rows by chain and update: those of all seeds together."""
    chains: dict[tuple[str, str, float], dict[int, list[Row]]] = {}
    for row in rows:
        chains.setdefault(row.chain, {}).setdefault(row.update, []).append(row)
    return chains


def average(rows: Sequence[Row], name: str) -> float | None:
    """Return the mean of a figure over seeds; None where there is none."""
    values = [value for row in rows if (value := getattr(row, name)) is not None]
    return mean(values) if values else None


def _row(value: Mapping[str, Any]) -> Row:
    values = {field.name: value[field.name] for field in fields(Row)}
    return Row(**{**values, "drift_interval": tuple(values["drift_interval"])})


def spread(rows: Sequence[Row]) -> tuple[float, float]:
    """Return the interval of one seed's drift; of several seeds, the least and the largest drift."""
    if len(rows) == 1:
        return rows[0].drift_interval
    return min(row.drift_mean for row in rows), max(row.drift_mean for row in rows)
