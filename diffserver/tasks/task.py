"""A task: what is trained and measured, as everything outside this package sees it.

It names its network, reads one domain's folder, makes batches and losses, exports the device's graph, and measures
with the device's own code. Training loops, methods and storage are left to others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from diffclient.measure.error_count import Errors
    from diffclient.release.metric import Metric
    from diffclient.tensors.snapshot import Snapshot

Example = Any
"""One training or test item; only its task looks inside."""

Batch = Any
"""Padded tensors of some examples; only its task looks inside."""

Session = Any
"""The device's own code with a version's weights; only its task looks inside."""

Forward = Callable[..., Any]
"""The network with some weights: called with what the task's loss takes from a batch."""


class Task(Protocol):
    """One kind of model and its data."""

    name: str
    metric: Metric
    """What its errors are called and count."""

    def network(self, seed: int) -> nn.Module:
        """A freshly initialised network; the same seed gives the same weights."""

    def examples(self, folder: Path, split: str) -> Sequence[Example]:
        """One domain's `train` or `test` examples; raises DataError naming file and line."""

    def size(self, example: Example) -> int:
        """How much room an example takes; the training loop puts examples of about equal size together."""

    def batch(self, examples: Sequence[Example], rng: np.random.Generator, device: str) -> Batch:
        """These examples as one training batch on `device`, augmented with `rng`."""

    def loss(self, forward: Forward, batch: Batch) -> Tensor:
        """The mean loss of a batch, a scalar that gradients flow from."""

    def graph(self, network: nn.Module) -> bytes:
        """The network for devices: ONNX without weights."""

    def session(self, graph: bytes, weights: Snapshot) -> Session:
        """The device's own code with this version's weights, ready to measure."""

    def measure(self, session: Session, examples: Sequence[Example]) -> Errors:
        """The errors that the device's code makes on these examples."""

    def score(self, graph: Path, weights: Snapshot, parts: Sequence[Path]) -> Sequence[Errors]:
        """The errors on each part of a probe set, by the very function that devices call."""

    def probe(self, folder: Path, split: str, count: int, seed: int) -> bytes:
        """A part of the probe set, as devices read it: about `count` examples of a domain's split."""


@runtime_checkable
class MakesData(Protocol):
    """A task that can make data of its own, for experiments."""

    def make_data(self, folder: Path, updates: int, quick: bool, on_progress: Callable[[float, str], bool]) -> Path:
        """Make the base's domain and so many updates' below `folder`, or find them there; return where they are.

        `quick` asks for little. Raises TaskError.
        """
