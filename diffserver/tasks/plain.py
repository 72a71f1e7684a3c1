"""The class to start a task of one's own from: its network, data, loss and metric are said, the rest follows.

Examples are lines of JSON, the graph is the network's ONNX export, a probe set is some of the lines, and everything is
measured by the scorer that devices call. Whatever does not fit is a method to override.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from diffclient.measure.error_count import Errors
from diffclient.measure.onnx_session import Session
from diffclient.measure.probe_set import INDEX
from diffclient.measure.scorer import Scorer
from diffclient.release.metric import Metric
from diffclient.tensors.snapshot import Array, Snapshot
from diffserver.tasks.probe_pack import pack

from .errors import DataError, TaskError
from .graph import Input, export
from .jsonl import Line, read_lines
from .task import Example, Forward

_NO_PARAMETER = (
    "no parameter. Use LayerNorm or GroupNorm in place of BatchNorm, and register constants with persistent=False"
)
_TIED = "another name of the same weights. Keep them once, and call functions with them where they are used again"


class Batch(NamedTuple):
    """Some examples as tensors: what the network takes, in its order, and what it should say."""

    inputs: tuple[Tensor, ...]
    targets: Tensor


class PlainTask(ABC):
    """A task of which a name, what its network takes, a scorer, and three methods are asked."""

    name: str
    """What commands and requests call it: small letters, digits, '.', '_' and '-'."""
    takes: Sequence[Input]
    """What the network takes, in the order of its arguments."""
    scorer: Scorer
    """How it is measured. Devices import it (`--score module:name`), so its module stays free of torch."""
    metric: Metric = Metric("error rate", "examples")
    """What its errors are called, and what the scorer counts: for people to read."""
    probe_factor: int = 4
    """Examples of a probe set for each one asked for: an example that counts one item says less than a sentence."""

    def __init__(self) -> None:
        missing = [part for part in ("name", "takes", "scorer") if not hasattr(self, part)]
        if missing:
            raise TaskError(f"{type(self).__name__} does not say {', '.join(missing)}")

    @abstractmethod
    def build(self) -> nn.Module:
        """A freshly initialised network. torch is seeded when this is called."""

    @abstractmethod
    def targets(self, examples: Sequence[Example]) -> Array | Sequence[int] | Sequence[float]:
        """What the network should say of these examples, a batch."""

    @abstractmethod
    def loss(self, forward: Forward, batch: Batch) -> Tensor:
        """The mean loss of a batch: `forward(*batch.inputs)` against `batch.targets`."""

    def augment(self, example: Example, rng: np.random.Generator) -> Example:  # noqa: ARG002 - for those who override
        """The example as it is trained on this time."""
        return example

    def size(self, example: Example) -> int:  # noqa: ARG002 - the same
        """How much room an example takes; all the same, unless this is overridden."""
        return 0

    def network(self, seed: int) -> nn.Module:
        """A fresh network; raises TaskError if it has a state that diffs cannot carry."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self.build()
        _require_weights(network)
        return network

    def examples(self, folder: Path, split: str) -> list[Example]:
        """The examples of `folder/<split>.jsonl`; raises DataError naming file and line."""
        return [self._example(line, _opener(folder)) for line in read_lines(folder / f"{split}.jsonl")]

    def batch(self, examples: Sequence[Example], rng: np.random.Generator, device: str) -> Batch:
        """These examples, augmented, as tensors."""
        augmented = [self.augment(example, rng) for example in examples]
        inputs = tuple(torch.as_tensor(array).to(device) for array in self.scorer.inputs(augmented).values())
        return Batch(inputs, torch.as_tensor(self.targets(augmented)).to(device))

    def graph(self, network: nn.Module) -> bytes:
        """The network as ONNX without weights; raises TaskError."""
        return export(network, self.takes)

    def session(self, graph: bytes, weights: Snapshot) -> Session:
        """The device's onnxruntime session, on as many threads as training may use."""
        return Session(graph, weights, threads=torch.get_num_threads())

    def measure(self, session: Session, examples: Sequence[Example]) -> Errors:
        """The errors on these examples."""
        return self.scorer.measure(session, examples)

    def score(self, graph: Path, weights: Snapshot, parts: Sequence[Path]) -> list[Errors]:
        """The errors on each part of a probe set, as a device counts them."""
        return self.scorer(graph, weights, parts)

    def probe(self, folder: Path, split: str, count: int, seed: int) -> bytes:
        """Lines of the split, drawn by the seed, with the files that reading them opens."""
        lines = read_lines(folder / f"{split}.jsonl")
        drawn = np.random.default_rng(seed).permutation(len(lines))[: count * self.probe_factor]
        chosen, files = [lines[number] for number in sorted(drawn)], dict[str, bytes]()
        for line in chosen:
            self._example(line, _opener(folder, files))
        return pack([line.fields for line in chosen], files)

    def _example(self, line: Line, open_: Callable[[str], bytes]) -> Example:
        """One line's example, tried out, so that what is wrong is told with its place."""
        try:
            example = self.scorer.read(line.fields, open_)
            self._require_fit(self.scorer.inputs([example]))
            self.targets([example])
        except Exception as error:  # the task's own code on anyone's data
            raise DataError(f"{line.place}: {type(error).__name__}: {error}") from error
        return example

    def _require_fit(self, arrays: Mapping[str, Array]) -> None:
        taken = [given.name for given in self.takes]
        if list(arrays) != taken:
            raise ValueError(f"the scorer gives {', '.join(arrays)}, and the network takes {', '.join(taken)}")
        for given in self.takes:
            given.require(arrays[given.name])


def _opener(folder: Path, opened: dict[str, bytes] | None = None) -> Callable[[str], bytes]:
    """What opens files that lines name, beside their own file, and notes what it opened."""

    def open_(name: str) -> bytes:
        if name == INDEX:
            raise ValueError(f"{INDEX} is the name of a probe set's own list: call the file something else")
        data = (folder / name).read_bytes()
        if opened is not None:
            opened[name] = data
        return data

    return open_


def _require_weights(network: nn.Module) -> None:
    """Raise TaskError unless the network's state is fp32 parameters, each of one name."""
    own, all_names = dict(network.named_parameters()), dict(network.named_parameters(remove_duplicate=False))
    state: Mapping[str, Any] = network.state_dict()
    problems = {
        _NO_PARAMETER: [name for name in state if name not in all_names],
        _TIED: [name for name in all_names if name not in own],
        "no float32": [name for name, weight in own.items() if weight.dtype != torch.float32],
    }
    for problem, names in problems.items():
        if names:
            raise TaskError(f"the network cannot be trained as diffs: {', '.join(names[:5])}: {problem}")
    if not own:
        raise TaskError("the network has no weights")
