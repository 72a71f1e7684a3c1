"""A network with a tensor of every kind that models bring, and candidates of its weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from diffclient.measure.error_count import Errors
from diffclient.tensors.snapshot import Snapshot
from diffserver.catalog import versions
from diffserver.catalog.candidate import NewCandidate
from diffserver.catalog.training_request import TrainingSpec
from diffserver.storage.database import writing
from tests.server.pipeline.home import Home
from tests.server.points import PointsTask


class Mixed(nn.Module):
    """A network with a tensor of every kind that models bring."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(40, 30)
        self.narrow = nn.Linear(40, 30, dtype=torch.bfloat16)
        self.norm = nn.BatchNorm1d(30)
        self.register_buffer("causal", torch.ones(5, 5).tril().bool())
        self.register_buffer("mask", torch.full((5, 5), -torch.inf).triu(1))
        self.register_buffer("inv_freq", 1e-6 ** (torch.arange(32) / 32))
        self.register_buffer("counter", torch.zeros(()))
        self.register_buffer("lone", torch.arange(9, dtype=torch.int8))
        self.register_buffer("steps", torch.arange(36, dtype=torch.int8).view(6, 6))
        self.register_buffer("steps_scale", torch.full((6,), 0.01))


class MixedTask(PointsTask):
    """A task whose graph and measurements say nothing."""

    def network(self, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return Mixed()

    def examples(self, folder: Path, split: str) -> list[object]:  # type: ignore[override]
        return [None]

    def graph(self, network: nn.Module) -> bytes:
        return b"graph"

    def session(self, graph: bytes, weights: Snapshot) -> None:  # type: ignore[override]
        return None

    def measure(self, session: object, examples: Sequence[object]) -> Errors:
        return Errors(0, 1)

    def score(self, graph: Path, weights: Snapshot, parts: Sequence[Path]) -> list[Errors]:
        return [Errors(0, 1) for _ in parts]

    def probe(self, folder: Path, split: str, numbers: Sequence[int]) -> bytes:
        return b"probe"


State = dict[str, Tensor]


def home_with_data(folder: Path) -> Home:
    """A home, and beside it the data of a base of which nothing is said."""
    (folder / "data" / "0-base").mkdir(parents=True)
    (folder / "data" / "0-base" / "test.jsonl").touch()
    return Home(folder / "home")


def run(home: Home, tmp_path: Path, state: State, kind: str, method: str = "exact") -> NewCandidate:
    """The candidate that a worker makes of a state dict."""
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "checkpoint")
    sha256 = home.objects.put(tmp_path / "checkpoint").sha256
    domain = "0-base" if kind == "base" else None
    data = str(tmp_path / "data")
    spec = TrainingSpec(kind, "m", data, "mixed", domain, method, budget=1.0, checkpoint=sha256)  # type: ignore[arg-type]
    return home.run(spec, find=lambda name: MixedTask())


def publish(home: Home, candidate: NewCandidate) -> None:
    with writing(home.engine) as session:
        versions.publish(session, versions.record_candidate(session, candidate).id)


def snapshot_of(home: Home, candidate: NewCandidate, path: Path) -> Snapshot:
    return Snapshot(home.objects.download(candidate.snapshot.sha256, path))
