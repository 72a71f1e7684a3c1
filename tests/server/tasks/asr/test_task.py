"""The speech task: what is read and kept, batches, probe sets, and figures that follow the weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from diffclient.measure.error_count import Errors
from diffclient.measure.log_mel import normalise
from diffclient.measure.probe_set import read_probe
from diffclient.measure.recognizer import read_audio
from diffclient.tensors.snapshot import Snapshot
from diffserver.tasks import DataError, Task, TaskError, load_task
from diffserver.tasks.asr import manifests
from diffserver.tasks.asr.task import AsrTask, Utterance, encode
from tests.server.points import as_version

Version = tuple[bytes, Snapshot]


@pytest.fixture(scope="module")
def task() -> AsrTask:
    return AsrTask(channels=16)


@pytest.fixture(scope="module")
def version(task: AsrTask, tmp_path_factory: pytest.TempPathFactory) -> Version:
    """An untrained network that says a lot: its graph and weights."""
    network = task.network(seed=0)
    weights = {name: tensor.numpy() * 3 for name, tensor in network.state_dict().items()}
    return task.graph(network), as_version(tmp_path_factory.mktemp("version") / "0", weights)


def test_tasks_are_found_by_name() -> None:
    task: Task = load_task("asr")
    assert task.name == "asr"
    assert load_task("asr") is task
    with pytest.raises(TaskError, match="known: asr"):
        load_task("vision")


def test_examples_are_read_once_until_a_file_changes(tiny_corpus: Path, tmp_path: Path) -> None:
    task, source = AsrTask(channels=8), tiny_corpus / "0-base"
    line = json.loads((source / "test.jsonl").read_text().splitlines()[0])
    audio = tmp_path / "speech.flac"
    audio.write_bytes((source / line["audio_filepath"]).read_bytes())
    (tmp_path / "test.jsonl").write_text(json.dumps({"audio_filepath": audio.name, "text": "stop"}) + "\n")
    first = task.examples(tmp_path, "test")
    assert task.examples(tmp_path, "test") is first
    (tmp_path / "test.jsonl").write_text(json.dumps({"audio_filepath": audio.name, "text": "call"}) + "\n")
    assert [example.text for example in task.examples(tmp_path, "test")] == ["call"]
    audio.write_bytes(b"gone bad")
    with pytest.raises(DataError, match=r"test\.jsonl:1: .*speech\.flac"):
        task.examples(tmp_path, "test")


def test_batches_are_padded_and_drawn_with_the_generator(task: AsrTask, tiny_corpus: Path) -> None:
    examples = task.examples(tiny_corpus / "0-base", "train")[:5]
    batch, again = (task.batch(examples, np.random.default_rng(1), "cpu") for _ in range(2))
    assert torch.equal(batch.features, again.features)
    assert batch.symbol_lengths.tolist() == [len(example.text) for example in examples]
    assert batch.features.shape[:2] == (5, int(batch.lengths.max()))
    for row, length in zip(batch.features, batch.lengths, strict=True):
        assert not row[length:].any()


def test_symbols_leave_zero_to_the_blank() -> None:
    assert encode("az' ").tolist() == [1, 26, 27, 28]


def test_an_utterance_too_short_for_its_text_does_no_harm(task: AsrTask, tiny_corpus: Path) -> None:
    example = task.examples(tiny_corpus / "0-base", "train")[0]
    short = type(example)(example.energies[:6], example.text)
    network = task.network(seed=0)
    loss = task.loss(network, task.batch([short], np.random.default_rng(0), "cpu"))
    assert loss.item() == 0


@pytest.fixture(scope="module")
def labelled(task: AsrTask, version: Version, tiny_corpus: Path) -> list[Utterance]:
    """Test utterances labelled with what this version hears in each of them, alone."""
    recognizer = task.session(*version)
    examples = task.examples(tiny_corpus / "0-base", "test")
    return [Utterance(e.energies, recognizer.decode([normalise(e.energies)])[0]) for e in examples]


def test_figures_of_batches_are_those_of_utterances_alone(
    task: AsrTask, version: Version, labelled: list[Utterance]
) -> None:
    words = sum(len(example.text.split()) for example in labelled)
    assert words > 0
    assert task.measure(task.session(*version), labelled) == Errors(0, words)


def test_altered_weights_change_the_figure(
    task: AsrTask, version: Version, labelled: list[Utterance], tmp_path: Path
) -> None:
    graph, weights = version
    altered = weights.read_all()
    altered["first.convolution.weight"] = altered["first.convolution.weight"][::-1].copy()
    errors = task.measure(task.session(graph, as_version(tmp_path / "altered", altered)), labelled)
    assert errors.errors > errors.total // 2


def test_a_probe_set_is_what_devices_read(task: AsrTask, version: Version, tiny_corpus: Path, tmp_path: Path) -> None:
    folder, part = tiny_corpus / "0-base", tmp_path / "part.zip"
    part.write_bytes(task.probe(folder, "test", range(7)))
    utterances = read_probe(part)
    texts = [line.text for line in manifests.read_manifest(folder / "test.jsonl")]
    assert [utterance.text for utterance in utterances] == texts[:7]
    assert all(len(read_audio(utterance.audio)) > 4000 for utterance in utterances)
    assert part.stat().st_size < 7 * 6_000
    (tmp_path / "graph.onnx").write_bytes(version[0])
    [errors] = task.score(tmp_path / "graph.onnx", version[1], [part])
    assert errors.total == sum(len(utterance.text.split()) for utterance in utterances)


def test_the_network_is_a_module_of_the_tasks_own(task: AsrTask) -> None:
    assert isinstance(task.network(seed=0), nn.Module)
