"""Fit a checkpoint to a model's tensors: the same names, shapes and dtypes, but for tensors that libraries add or omit.

Two names of the very same weights are one tensor, which comes once, under either name. `position_ids`, which are
counted and not trained, may be missing or too many. Comparing weights is left to `changes`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import numpy as np

from diffclient.tensors.snapshot import Array
from diffclient.tensors.tensor_table import Table, TensorSpec
from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.errors import CheckpointError

NAMED = 5
"""The most tensors that a message names."""

COUNTED = "position_ids"
"""The last part of the name of tensors that libraries sometimes save and sometimes do not."""

SAME_MODEL = "save the state dict of the very model that was published"

SAME_LINE = f"{SAME_MODEL}; if the model itself has changed, pass --kind snapshot: every device then fetches it whole"
"""The remedy for an update: another model is a mistake, and the same model may have other tensors from now on."""


class Weights(Protocol):
    """Tensors that can be read by name."""

    def read(self, name: str) -> Array:
        """Return one tensor in its shape."""


@dataclass(frozen=True, eq=False)
class Hints:
    """The facts of a model beside its table that help to fit a checkpoint."""

    names: Mapping[str, str] = field(default_factory=dict)
    """Other names of its tensors, each with the name in the table."""
    weights: Weights | None = None
    """The source of tensors that a checkpoint may leave out."""
    remedy: str = SAME_MODEL
    """The remedy in the error if a checkpoint does not fit."""


NO_HINTS = Hints(MappingProxyType({}))


@dataclass(frozen=True, eq=False)
class Fitted:
    """A checkpoint's tensors under a table's names."""

    sources: Mapping[str, tuple[Weights, str]]
    notes: tuple[str, ...]
    """A line for each tensor that was left out or added."""

    def read(self, name: str) -> Array:
        """Return one tensor in its shape (bf16 as uint16); raises CheckpointError as the checkpoint does."""
        source, own_name = self.sources[name]
        return source.read(own_name)


def fit(checkpoint: Checkpoint, table: Table, hints: Hints = NO_HINTS) -> Fitted:
    """Return the checkpoint's tensors under the table's names; raises CheckpointError naming those that do not fit."""
    own_names = {spec.name: _own_name(checkpoint, spec, hints) for spec in table}
    extra = [name for name in checkpoint.entries if name not in own_names.values()]
    twins = {name: twin for name in extra if (twin := _twin(checkpoint, name, own_names, hints))}
    left_out = [spec.name for spec in table if own_names[spec.name] is None]
    if problems := _problems(checkpoint, table, hints, own_names, [name for name in extra if name not in twins]):
        raise CheckpointError(f"the checkpoint {'; it '.join(problems)}", hints.remedy)
    sources: dict[str, tuple[Weights, str]] = {}
    for name, own in own_names.items():
        absent = hints.weights if own is None else None
        sources[name] = (absent, name) if absent else (checkpoint, own or name)
    notes = [
        *(f"{name} has the very weights of {twin}, and comes once" for name, twin in twins.items()),
        *(f"{name} is left out: the model has none" for name in extra if name not in twins),
        *(f"{name} is not in the checkpoint, and stays as it was" for name in left_out),
    ]
    return Fitted(sources, tuple(notes))


def table_changes(before: Table, after: Table) -> Iterator[str]:
    """Yield a line each on tensors that come, go, and change in shape or dtype."""
    old, new = ({spec.name: spec for spec in table} for table in (before, after))
    yield from _phrase("new tensors:", [name for name in new if name not in old])
    yield from _phrase("tensors that are gone:", [name for name in old if name not in new])
    both = [(name, _layout(old[name]), _layout(new[name])) for name in new if name in old]
    yield from _phrase("other shapes:", [f"{name} ({was} to {now})" for name, was, now in both if was != now])


def is_another_model(before: Table, after: Table) -> bool:
    """Tell whether two tables share no tensor's name, as those of two models do."""
    return {spec.name for spec in before}.isdisjoint(spec.name for spec in after)


def _problems(
    checkpoint: Checkpoint, table: Table, hints: Hints, own_names: Mapping[str, str | None], extra: Sequence[str]
) -> list[str]:
    """Return a phrase for each reason why the checkpoint does not fit; `extra` are its tensors beyond the table's."""
    lacking = [name for name, own in own_names.items() if own is None]
    return [
        *_phrase("lacks", [name for name in lacking if hints.weights is None or not _is_counted(name)]),
        *_phrase("has tensors that the model has not:", [name for name in extra if not _is_counted(name)]),
        *_phrase("differs in", [_difference(checkpoint, spec, own_names[spec.name]) for spec in table]),
    ]


def _own_name(checkpoint: Checkpoint, spec: TensorSpec, hints: Hints) -> str | None:
    """Return the name under which the checkpoint has a tensor; None if it lacks it."""
    other_names = [other_name for other_name, name in hints.names.items() if name == spec.name]
    return next((name for name in (spec.name, *other_names) if name in checkpoint.entries), None)


def _twin(checkpoint: Checkpoint, name: str, own_names: Mapping[str, str | None], hints: Hints) -> str | None:
    """Return the table's name of a tensor with the same weights as one that is too many; None if there is none."""
    entry = checkpoint.entries[name]
    likely = [hints.names[name]] if name in hints.names else list(own_names)
    for candidate in likely:
        own = checkpoint.entries.get(own_names.get(candidate) or "")
        same = own is not None and (own.shape, own.dtype) == (entry.shape, entry.dtype) and entry.size > 0
        if own and same and np.array_equal(_bytes(checkpoint, own.name), _bytes(checkpoint, name)):
            return candidate
    return None


def _bytes(checkpoint: Checkpoint, name: str) -> Array:
    return checkpoint.read(name).reshape(-1).view(np.uint8)


def _is_counted(name: str) -> bool:
    return name.rpartition(".")[2] == COUNTED


def _difference(checkpoint: Checkpoint, spec: TensorSpec, own_name: str | None) -> str:
    entry = checkpoint.entries.get(own_name or "")
    if entry is None or (entry.shape, entry.dtype) == (spec.shape, spec.dtype):
        return ""
    return f"{spec.name} ({entry.dtype} {list(entry.shape)}, the model's is {_layout(spec)})"


def _phrase(problem: str, candidates: Sequence[str]) -> Iterator[str]:
    """Yield a phrase that names the first of the items, if there are any; empty ones count for none."""
    names = [item for item in candidates if item]
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        yield f"{problem} {', '.join(names[:NAMED])}{more}"


def _layout(spec: TensorSpec) -> str:
    return f"{spec.dtype} {list(spec.shape)}"
