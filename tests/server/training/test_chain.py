"""A small recogniser taught two updates in a row, each as a payload within its budget: the main job, quickly."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("espeakng_loader", reason="the corpus needs espeak-ng: pip install 'diffserver[demo]'")

from diffclient.diff.apply import apply
from diffclient.diff.streams import Diff
from diffclient.payload.decode import open_payload
from diffclient.payload.encode import encode
from diffclient.tensors.snapshot import Snapshot, fp32_bytes
from diffserver.methods.definition import load_definition
from diffserver.methods.recipe import Recipe
from diffserver.methods.setting import Setting
from diffserver.tasks.asr.corpus import Sizes, build_corpus
from diffserver.tasks.asr.task import AsrTask
from diffserver.training.batches import Lesson
from diffserver.training.loop import train
from tests.server.points import as_version, retrained

BUDGET = 0.05
pytestmark = pytest.mark.slow


class Made(NamedTuple):
    """One update of the chain."""

    before: float
    after: float
    share: float


class Speech(NamedTuple):
    """A task, its corpus, and version 0 with its graph."""

    task: AsrTask
    domains: list[Path]
    graph: bytes
    base: Snapshot

    def wer(self, version: Snapshot, domain: Path) -> float:
        """WER on the training voices, in percent: a corpus this small does not generalise."""
        session = self.task.session(self.graph, version)
        return self.task.measure(session, self.task.examples(domain, "train")).error_rate_ppm / 1e4


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    folder, task = tmp_path_factory.mktemp("chain"), AsrTask(channels=64)
    domains = build_corpus(folder / "corpus", Sizes(300, 10, 100, 10, updates=2))
    network = task.network(seed=0)
    initial = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    recipe = Recipe(steps=700, learning_rate=6e-3, batch=8)
    lesson = Lesson(task.examples(domains[0], "train"))
    weights = retrained(task, initial, lesson, recipe)
    return Speech(task, domains, task.graph(network), as_version(folder / "0", weights))


def update(speech: Speech, parent: Snapshot, name: str, number: int, out: Path) -> tuple[Made, Snapshot]:
    """Train one update on the next domain and apply it as a device does."""
    read = [speech.task.examples(domain, "train") for domain in speech.domains[: number + 1]]
    network = speech.task.network(0)
    setting = Setting(parent.read_all(), parent.table, BUDGET, number, network)
    method = load_definition(name).make(setting)
    recipe = Recipe(steps=250, learning_rate=6e-3, batch=8)
    train(speech.task, network, method, Lesson(read[-1], read[:-1]), recipe, device="cpu")
    diff = method.result()
    assert isinstance(diff, Diff)
    data = encode(diff, parent.table, parent.digest())
    apply(parent, [open_payload(data, parent.table, parent.digest())], out)
    version, new = Snapshot(out), speech.domains[number]
    share = len(data) / fp32_bytes(parent.table)
    return Made(speech.wer(parent, new), speech.wer(version, new), share), version


@pytest.mark.parametrize("name", ["sparse", "hashed"])
def test_updates_in_a_row_learn_their_domains_within_the_budget(speech: Speech, tmp_path: Path, name: str) -> None:
    parent = speech.base
    for number in (1, 2):
        version, parent = update(speech, parent, name, number, tmp_path / str(number))
        assert version.share <= BUDGET
        assert version.after < 0.7 * version.before
    assert speech.wer(parent, speech.domains[0]) < speech.wer(speech.base, speech.domains[0]) + 20
