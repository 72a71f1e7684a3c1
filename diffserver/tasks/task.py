"""The protocol of a task, as code outside this package sees it.

A task gives a network, examples, batches, losses and the device's graph, and measures with the device's own code.
Training loops, methods and storage are left to others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from diffclient.measure.error_count import Errors
    from diffclient.release.metric import Metric
    from diffclient.tensors.snapshot import Snapshot

Example = Any
"""One training or test item, opaque outside its task."""

Batch = Any
"""Padded tensors of some examples, opaque outside their task."""

Session = Any
"""The device's own code with a version's weights, opaque outside its task."""

Forward = Callable[..., Any]
"""The network with some weights, called with the inputs that the task's loss takes from a batch."""


class Task(Protocol):
    """One kind of model and its data."""

    name: str
    metric: Metric
    """The name of its error rate, and of the items that it counts."""

    def network(self, seed: int) -> nn.Module:
        """Return a freshly initialised network; the same seed gives the same weights."""

    def examples(self, folder: Path, split: str) -> Sequence[Example]:
        """Return one domain's `train` or `test` examples; raises DataError naming file and line."""

    def size(self, example: Example) -> int:
        """Return an example's size; the training loop batches examples of about equal size."""

    def batch(self, examples: Sequence[Example], rng: np.random.Generator, device: str) -> Batch:
        """Return these examples as one training batch on `device`, augmented with `rng`."""

    def loss(self, forward: Forward, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a differentiable scalar."""

    def graph(self, network: nn.Module) -> bytes:
        """Return the network for devices: ONNX without weights."""

    def session(self, graph: bytes, weights: Snapshot) -> Session:
        """Return the device's own code with this version's weights."""

    def measure(self, session: Session, examples: Sequence[Example]) -> Errors:
        """Return the errors of the device's code on these examples."""

    def score(self, graph: Path, weights: Snapshot, parts: Sequence[Path]) -> Sequence[Errors]:
        """Return the errors on each part of a probe set, by the function that devices call."""

    def probe(self, folder: Path, split: str, numbers: Sequence[int]) -> bytes:
        """Return a part of the probe set, as devices read it: the examples of these numbers, from 0, in their order."""


@runtime_checkable
class GivesRecipes(Protocol):
    """A task with recipes of its own."""

    recipes: Mapping[str, Mapping[str, float | str]]
    """By method, the parameters of its recipe or schedule that differ from the package's."""


@runtime_checkable
class MakesData(Protocol):
    """A task that can make its own data for experiments."""

    def make_data(self, folder: Path, updates: int, quick: bool, on_progress: Callable[[float, str], bool]) -> Path:
        """Make the domains of the base and of `updates` updates below `folder`, or reuse them; return their folder.

        `quick` makes little data. Raises TaskError.
        """
