"""A checkpoint that is delivered whole in the same line: other tensors, shapes and graph, measured like any update."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'diffserver[train]'")

from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402

from diffclient.errors import RangeError  # noqa: E402
from diffclient.release.manifest import from_json  # noqa: E402
from diffclient.tensors.snapshot import Snapshot  # noqa: E402
from diffserver.catalog import versions  # noqa: E402
from diffserver.catalog.candidate import NewCandidate  # noqa: E402
from diffserver.catalog.training_request import TrainingSpec  # noqa: E402
from diffserver.errors import CheckpointError  # noqa: E402
from diffserver.pipeline.parent_version import load_parent  # noqa: E402
from diffserver.storage.database import reading, writing  # noqa: E402
from diffserver.storage.tables import Candidate  # noqa: E402
from tests.server.pipeline.home import Home  # noqa: E402
from tests.server.pipeline.mixed import MixedTask, State  # noqa: E402


class Words(nn.Module):
    """A network with a vocabulary, and statistics beside it."""

    def __init__(self, words: int, more: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 16)
        self.norm = nn.BatchNorm1d(16)
        self.register_buffer("mask", torch.full((4, 4), -torch.inf).triu(1))
        if more:
            self.extra = nn.Linear(16, 16)


class WordsTask(MixedTask):
    """A task whose network may grow; its graph is a line that tells how large it is."""

    def __init__(self, words: int, more: bool = False) -> None:
        self.words, self.more = words, more

    def network(self, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return Words(self.words, self.more)

    def graph(self, network: nn.Module) -> bytes:
        return f"{self.words} words".encode()


SMALL, LARGE = WordsTask(60), WordsTask(80, more=True)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home in which version 0 has the small network."""
    for domain in ("0-base", "1-new"):
        (tmp_path / "data" / domain).mkdir(parents=True)
        (tmp_path / "data" / domain / "test.jsonl").touch()
    home = Home(tmp_path / "home")
    publish(home, made(home, SMALL, SMALL.network(0).state_dict(), "base"))
    return home


def made(home: Home, task: WordsTask, state: State, method: str, domain: str | None = None) -> NewCandidate:
    """The candidate that a worker with this task makes of a state dict; by the method `base`, version 0."""
    path = home.scratch.parent / "checkpoint"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    sha256, data = home.objects.put(path).sha256, str(home.scratch.parent.parent / "data")
    spec = TrainingSpec("update", "m", data, "words", domain, method, budget=1.0, checkpoint=sha256)
    if method == "base":
        spec = replace(spec, kind="base", method="sparse", domain="0-base")
    return home.run(spec, find=lambda name: task)


def publish(home: Home, candidate: NewCandidate) -> Candidate:
    with writing(home.engine) as session:
        row = versions.record_candidate(session, candidate)
        versions.publish(session, row.id)
        return row


def weights(home: Home, candidate: NewCandidate) -> Snapshot:
    return Snapshot(home.objects.download(candidate.snapshot.sha256, home.scratch / candidate.digest))


def large_state() -> State:
    """Weights of the large network, whose statistics are far from where they began."""
    state = LARGE.network(3).state_dict()
    state["norm.running_var"] = 30 * torch.rand(16) + 1
    return state


def test_other_shapes_are_a_mistake_unless_the_request_says_otherwise(home: Home) -> None:
    for method in ("exact", "sparse"):
        with pytest.raises(CheckpointError, match=r"embedding.weight .*; if the model itself has changed, pass --kind"):
            made(home, SMALL, large_state(), method)
    with pytest.raises(CheckpointError, match="the network of the task words decides: change that first"):
        made(home, SMALL, large_state(), "snapshot")


def test_the_tasks_network_decides_and_its_graph_is_exported_anew(home: Home) -> None:
    candidate, state = made(home, LARGE, large_state(), "snapshot", domain="1-new"), large_state()
    manifest = from_json(dict(candidate.manifest))
    assert (manifest.kind, manifest.from_version, manifest.to_version) == ("snapshot", None, 1)
    assert (candidate.kind, candidate.number, candidate.payload, candidate.refusals) == ("update", 1, None, [])
    assert home.objects.get(candidate.graph.sha256) == b"80 words"
    assert [probe.domain for probe in manifest.probes] == ["0-base", "1-new"]
    assert set(candidate.evaluation["1-new"]) == {"parent", "candidate"}
    after = weights(home, candidate)
    assert after.read("norm.running_var").tobytes() == state["norm.running_var"].numpy().tobytes()
    assert candidate.changed_weights == 80 * 16 + 16 * 16 + 16 + 16, "the table, the layer, and the variances"
    for line in (
        "delivered whole: every device fetches the snapshot, and diffs go on from here",
        "new tensors: extra.bias, extra.weight",
        "other shapes: embedding.weight (F32 [60, 16] to F32 [80, 16])",
    ):
        assert line in candidate.notes


def test_diffs_go_on_from_there_and_merged_ones_do_not_lead_across(home: Home) -> None:
    state = large_state()
    publish(home, made(home, SMALL, moved(SMALL.network(0).state_dict(), 7), "sparse"))
    whole = publish(home, made(home, LARGE, state, "snapshot"))
    for seed in (1, 2):
        state = moved(state, seed)
        update = made(home, LARGE, state, "sparse")
        publish(home, update)
    assert [cut.from_digest for cut in update.shortcuts] == [whole.digest]
    with reading(home.engine) as session:
        lineage = versions.lineage(session, versions.head(session, "m"))  # type: ignore[arg-type]
        graphs = [home.objects.get(version.candidate.graph.sha256) for version in lineage]
    assert graphs == [b"60 words"] * 2 + [b"80 words"] * 3


def moved(state: State, seed: int) -> State:
    """Some words learned anew."""
    generator = torch.Generator().manual_seed(seed)
    table = state["embedding.weight"].clone()
    table[torch.randint(len(table), (3,), generator=generator)] += torch.randn((3, 16), generator=generator)
    return {**state, "embedding.weight": table}


def test_the_full_chain_begins_anew_with_it(home: Home) -> None:
    whole = made(home, LARGE, large_state(), "snapshot")
    old = replace(made(home, SMALL, moved(SMALL.network(0).state_dict(), 5), "exact"), method="full", payload=None)
    with writing(home.engine) as session:
        versions.record_candidate(session, replace(old, manifest={}))
    publish(home, whole)
    spec = TrainingSpec("update", "m", "/data", method="full")
    assert load_parent(spec, home.engine, home.objects, home.scratch).digest == whole.digest


def test_tensors_stay_off_the_grid_and_what_was_finite_stays_finite(home: Home) -> None:
    state = large_state()
    first = made(home, LARGE, state, "snapshot")
    assert [spec.name for spec in weights(home, first).table if spec.dtype == "F32" and spec.grid is None] == [
        "mask", "norm.running_mean", "norm.running_var",
    ]  # fmt: skip
    assert torch.isinf(state["mask"]).any(), "as it was before"
    state["norm.running_var"][0] = torch.inf
    with pytest.raises(RangeError, match=r"norm.running_var: the tensor holds a weight that is not finite"):
        made(home, LARGE, state, "snapshot")


def test_the_very_weights_of_the_parent_are_no_version(home: Home) -> None:
    with pytest.raises(CheckpointError, match="the very weights of version 0"):
        made(home, SMALL, SMALL.network(0).state_dict(), "snapshot")
