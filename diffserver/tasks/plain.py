"""The base class for plain tasks: a subclass gives network, targets, loss and scorer.

Examples are lines of JSON, the graph is the network's ONNX export, a probe set is some of the lines, and all
measurements are left to the scorer that devices use. Any method can be overridden.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from diffclient.measure.error_count import Errors
from diffclient.measure.onnx_session import Session
from diffclient.measure.probe_set import INDEX
from diffclient.measure.scorer import Scorer
from diffclient.release.metric import Metric
from diffclient.tensors.snapshot import Array, Snapshot
from diffserver.tasks.errors import DataError, TaskError
from diffserver.tasks.graph import Input, export
from diffserver.tasks.jsonl import JsonLine, read_lines
from diffserver.tasks.probe_pack import pack
from diffserver.tasks.task import Example, Forward


class Batch(NamedTuple):
    """Some examples as tensors: the network's inputs, in its order, and the targets."""

    inputs: tuple[Tensor, ...]
    targets: Tensor


class PlainTask(ABC):
    """A task made of a name, the network's inputs, a scorer, and three methods."""

    name: str
    """The task's name in commands and requests: small letters, digits, '.', '_' and '-'."""
    takes: Sequence[Input]
    """The network's inputs, in the order of its arguments."""
    scorer: Scorer
    """The measurement. Devices import it (`--score module:name`), so its module must not import torch."""
    metric: Metric = Metric("error rate", "examples")
    """The name of its error rate, and of what the scorer counts: for people to read."""
    recipes: Mapping[str, Mapping[str, float | str]] = MappingProxyType({})
    """By method, what of its recipe suits this task better: `{"sparse": {"learning_rate": 2e-3}, "full": …}`."""

    def __init__(self) -> None:
        missing = [part for part in ("name", "takes", "scorer") if not hasattr(self, part)]
        if missing:
            raise TaskError(f"{type(self).__name__} does not say {', '.join(missing)}")

    @abstractmethod
    def build(self) -> nn.Module:
        """Return a freshly initialised network; torch is seeded before the call."""

    @abstractmethod
    def targets(self, examples: Sequence[Example]) -> Array | Sequence[int] | Sequence[float]:
        """Return the targets of a batch of examples."""

    @abstractmethod
    def loss(self, forward: Forward, batch: Batch) -> Tensor:
        """Return the mean loss of a batch: `forward(*batch.inputs)` against `batch.targets`."""

    def augment(self, example: Example, rng: np.random.Generator) -> Example:  # noqa: ARG002 - for those who override
        """Return the example as this batch trains on it; unchanged unless overridden."""
        return example

    def size(self, example: Example) -> int:  # noqa: ARG002 - the same
        """Return an example's size, by which batches are made; 0 for all unless overridden."""
        return 0

    def network(self, seed: int) -> nn.Module:
        """Return a freshly initialised network."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.build()

    def examples(self, folder: Path, split: str) -> list[Example]:
        """Return the examples of `folder/<split>.jsonl`; raises DataError naming file and line."""
        return [self._example(line, _opener(folder)) for line in read_lines(folder / f"{split}.jsonl")]

    def batch(self, examples: Sequence[Example], rng: np.random.Generator, device: str) -> Batch:
        """Return the examples, augmented with `rng`, as tensors on `device`."""
        augmented = [self.augment(example, rng) for example in examples]
        inputs = tuple(torch.as_tensor(array).to(device) for array in self.scorer.inputs(augmented).values())
        return Batch(inputs, torch.as_tensor(self.targets(augmented)).to(device))

    def graph(self, network: nn.Module) -> bytes:
        """Return the network as ONNX without weights; raises TaskError."""
        return export(network, self.takes)

    def session(self, graph: bytes, weights: Snapshot) -> Session:
        """Return the device's onnxruntime session, on as many threads as training may use."""
        return Session(graph, weights, threads=torch.get_num_threads())

    def measure(self, session: Session, examples: Sequence[Example]) -> Errors:
        """Return the errors on these examples."""
        return self.scorer.measure(session, examples)

    def score(self, graph: Path, weights: Snapshot, parts: Sequence[Path]) -> list[Errors]:
        """Return the errors on each part of a probe set, as a device counts them."""
        return self.scorer(graph, weights, parts)

    def probe(self, folder: Path, split: str, numbers: Sequence[int]) -> bytes:
        """Return a part of the probe set: these lines of the split, with the files that reading them opens."""
        lines = read_lines(folder / f"{split}.jsonl")
        chosen, files = [lines[number] for number in numbers], dict[str, bytes]()
        for line in chosen:
            self._example(line, _opener(folder, files))
        return pack([line.fields for line in chosen], files)

    def _example(self, line: JsonLine, open_: Callable[[str], bytes]) -> Example:
        """Return a line's example after a trial of its inputs and targets; raises DataError with the line's place."""
        try:
            example = self.scorer.read(line.fields, open_)
            self._require_fit(self.scorer.inputs([example]))
            self.targets([example])
        except Exception as error:  # the task's own code on anyone's data
            raise DataError(f"{line.place}: {type(error).__name__}: {error}") from error
        return example

    def _require_fit(self, arrays: Mapping[str, Array]) -> None:
        names = [declared.name for declared in self.takes]
        if list(arrays) != names:
            raise ValueError(f"the scorer gives {', '.join(arrays)}, and the network takes {', '.join(names)}")
        for declared in self.takes:
            declared.require(arrays[declared.name])


def _opener(folder: Path, contents: dict[str, bytes] | None = None) -> Callable[[str], bytes]:
    """Return a function that reads files in `folder` by name; their content is recorded in `contents`."""

    def open_(name: str) -> bytes:
        if name == INDEX:
            raise ValueError(f"{INDEX} is the name of a probe set's own list: call the file something else")
        data = (folder / name).read_bytes()
        if contents is not None:
            contents[name] = data
        return data

    return open_
