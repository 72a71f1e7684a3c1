"""A diff that is trained in anyone's loop, to the end of its schedule; then its payload, and what it leads to.

The mechanism is `Parametrised`, which this package's own loop drives as well. Added here is what a loop of one's own
needs: traps that are told, a state to go on from, and files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from diffclient.diff.apply_chunk import change
from diffclient.diff.streams import chunks
from diffclient.payload.decode import open_payload
from diffclient.payload.encode import encode
from diffclient.tensors.snapshot import Array, digest
from diffserver.checkpoints import diff_files
from diffserver.checkpoints.diff_files import About
from diffserver.diffs.parent import Parent, hash_of
from diffserver.methods.hashed import HashedDiff
from diffserver.methods.parametrised import LoopError, Parametrised, load
from diffserver.methods.sparse import SparseDiff

OnStep = Callable[[int, Mapping[str, float]], None]
"""Hears the number of a step that was made, and numbers on how training stands: what trackers take."""


@dataclass(frozen=True)
class Sealed:
    """The end of a trained diff."""

    payload: bytes
    digest: str
    density: float


class TrainedDiff(Parametrised):
    """A model whose weights are its parent's plus a diff in training; made by `sparse` and `hashed`."""

    method: SparseDiff | HashedDiff

    def __init__(
        self,
        model: nn.Module,
        method: SparseDiff | HashedDiff,
        steps: int,
        parent: Parent,
        budget: float,
        on_step: OnStep | None = None,
    ) -> None:
        super().__init__(model, method, steps)
        self.parent, self.budget, self.notes = parent, budget, parent.notes
        self._on_step = on_step
        self._given: list[nn.Parameter] = []

    def parameters(self) -> Iterator[nn.Parameter]:
        """The diff's values, for an optimiser that is made once the model is where it trains."""
        self._given = list(super().parameters())
        return iter(self._given)

    def step(self) -> None:
        """Go on in the schedule: call it once after every step of the optimiser.

        Raises LoopError after the last step, and when the loop does what no diff survives.
        """
        self._require_own_values()
        if self.done == 0:
            self._require_unchanged()
        super().step()
        if self.done == min(self.steps, max(5, self.steps // 10)):
            self._require_movement()
        if self._on_step:
            self._on_step(self.done, {"progress": self.done / self.steps, **self.method.numbers})

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to go on, beside the optimiser's own state."""
        values = {name: part.values.detach() for name, part in self.method.parts.items()}
        return {"about": self._about, "done": self.done, "values": values, "schedule": self.method.state()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was read; raises LoopError if it is of another diff."""
        if different := [name for name, value in self._about.items() if state["about"].get(name) != value]:
            raise LoopError(
                f"the state is of a diff of another {', '.join(different)}",
                "make the diff of the same model, with the same arguments, before its state is loaded",
            )
        for name, part in self.method.parts.items():
            part.values.copy_(state["values"][name])
        self.go_on(int(state["done"]), state["schedule"])
        self.__dict__.pop("_sealed", None)

    @property
    def bytes(self) -> int:
        """The length of the payload; raises LoopError before the schedule's end."""
        return len(self._sealed.payload)

    @property
    def density(self) -> float:
        """The share of the model's weights that the diff changes; raises LoopError before the schedule's end."""
        return self._sealed.density

    @property
    def digest(self) -> str:
        """The digest of the version that the diff leads to; raises LoopError before the schedule's end."""
        return self._sealed.digest

    def save(self, path: str | Path) -> About:
        """Write the payload, and beside it (`.json`) what it leads from and to.

        Raises LoopError before the schedule's end, and MethodError if nothing fits the budget.
        """
        kind = self._about["kind"]
        about = About.of(self._sealed.payload, self.parent.digest, self.digest, self.budget, kind, self.steps)
        diff_files.write(Path(path), self._sealed.payload, about)
        return about

    def finish(self) -> nn.Module:
        """Take the diff out of the model, which is left with the weights that devices get; return the model.

        Raises LoopError before the schedule's end.
        """
        after = dict(
            zip((spec.name for spec in self.parent.table), _applied(self.parent, self._sealed.payload), strict=True)
        )
        self.remove()
        load(self.network, after)
        return self.network

    @property
    def _about(self) -> dict[str, Any]:
        kind = "sparse" if isinstance(self.method, SparseDiff) else "hashed"
        return {"kind": kind, "parent": self.parent.digest, "budget": self.budget, "steps": self.steps}

    @cached_property
    def _sealed(self) -> Sealed:
        if self.done < self.steps:
            raise LoopError(
                f"the schedule is at step {self.done} of {self.steps}: its values are not yet what can be sent",
                f"train on to its end, or make the diff with steps={max(1, self.done)} and train again",
            )
        self._require_own_values()
        self._require_unchanged()
        parent = self.parent
        payload = encode(self.method.result(), parent.table, parent.digest)
        hashes, changed = [], 0
        for spec, array in zip(parent.table, _applied(parent, payload), strict=True):
            hashes.append(hash_of(array, spec))
            changed += int(np.count_nonzero(array != parent.weights[spec.name]))
        return Sealed(payload, digest(parent.table, hashes), changed / sum(spec.size for spec in parent.table))

    def _require_own_values(self) -> None:
        current = list(super().parameters())
        if any(value.dtype != torch.float32 for value in current):
            raise LoopError(
                "the model was cast to another dtype after its diff was made",
                "keep it in fp32, and train under torch.autocast",
            )
        if self._given and any(one is not other for one, other in zip(self._given, current, strict=True)):
            raise LoopError(
                "the optimiser's parameters are no longer the model's, which was moved since",
                "make the optimiser from diff.parameters() after model.to(…)",
            )

    def _require_unchanged(self) -> None:
        changed = list(self.parent.changed(self.network, self.method.parts))
        buffers = {name for name, _ in self.network.named_buffers()}
        if moved := [name for name in changed if name in buffers]:
            raise LoopError(
                f"training changed {moved[0]}, which no {self._about['kind']} diff carries",
                "keep it as it is while the diff trains",
            )
        if changed:
            raise LoopError(
                f"{changed[0]} is not what it was when the diff was made",
                "give the optimiser diff.parameters() alone, and load weights before the diff is made",
            )

    def _require_movement(self) -> None:
        if not any(bool(value.detach().any()) for value in super().parameters()):
            raise LoopError(
                f"no value of the diff has changed in {self.done} steps",
                "make the optimiser from diff.parameters(), and call step() after loss.backward() and optimiser.step()",
            )


def _applied(parent: Parent, payload: bytes) -> Iterator[Array]:
    """Yield each tensor of the version that a payload leads to, by the device's own code."""
    source = open_payload(payload, parent.table, parent.digest)
    pieces = source.pieces(parent.table)
    for index, spec in enumerate(parent.table):
        whole = np.array(parent.weights[spec.name], order="C")
        flat = whole.reshape(-1)
        for start, stop in chunks(spec.size):
            piece = next(pieces)
            if source.touches(index):
                change(flat[start:stop], spec, source, piece)
        yield whole
    if next(pieces, None) is not None:  # a payload is checked only as it is read to its end
        raise AssertionError("a diff has more pieces than its tensors have chunks")
