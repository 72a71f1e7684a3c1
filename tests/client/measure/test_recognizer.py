"""The device's recogniser: graph and weights apart, greedy letters, their errors."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile

from diffclient.errors import RecognizerError
from diffclient.measure.error_count import Errors
from diffclient.measure.log_mel import SAMPLE_RATE, Samples, log_mel
from diffclient.measure.recognizer import Recognizer, measure, read_audio
from diffclient.tensors.snapshot import Array, Snapshot, enter_grid, write_snapshot
from tests.client.speech import LETTERS, SHAPES, graph


def snapshot(path: Path, tensors: dict[str, Array]) -> Snapshot:
    """Write tensors as a version."""
    table, arrays = enter_grid(tensors)
    write_snapshot(path, table, [arrays[spec.name] for spec in table])
    return Snapshot(path)


def weights(letter: str | None = None) -> dict[str, Array]:
    """Random weights, or weights that hear one letter only."""
    rng = np.random.default_rng(5)
    drawn = {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in SHAPES.items()}
    if letter is not None:
        drawn["bias"][1 + LETTERS.index(letter)] = 100
    return drawn


def noise(seed: int = 0, seconds: float = 1.0) -> Samples:
    """Something to hear."""
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * SAMPLE_RATE)).astype(np.float32)


def audio(samples: Array, rate: int = SAMPLE_RATE) -> bytes:
    """The bytes of a WAV file."""
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="WAV", subtype="FLOAT")
    return content.getvalue()


def altered(**metadata: str | None) -> bytes:
    """The graph with other metadata, without what is None."""
    model = onnx.load_model_from_string(graph())
    kept = {prop.key: prop.value for prop in model.metadata_props} | metadata
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {name: value for name, value in kept.items() if value is not None})
    return bytes(model.SerializeToString())


def test_what_is_heard_comes_from_the_weights(tmp_path: Path) -> None:
    heard = [Recognizer(graph(), snapshot(tmp_path / letter, weights(letter))).transcribe(noise()) for letter in "abe"]
    assert heard == ["a", "b", "e"]


def test_altered_weights_change_the_figure(tmp_path: Path) -> None:
    true = Recognizer(graph(), snapshot(tmp_path / "true", weights()))
    labelled = [(noise(seed), true.transcribe(noise(seed))) for seed in range(4)]
    assert measure(true, labelled) == Errors(0, sum(len(text.split()) for _, text in labelled))
    changed = weights()
    changed["matrix"] = changed["matrix"][::-1].copy()
    assert measure(Recognizer(graph(), snapshot(tmp_path / "changed", changed)), labelled).errors > 0


def test_a_batch_hears_what_each_utterance_alone_does(tmp_path: Path) -> None:
    recognizer = Recognizer(graph(), snapshot(tmp_path / "w", weights()))
    utterances = [noise(seed, seconds) for seed, seconds in enumerate((0.3, 1.0, 0.7))]
    assert recognizer.decode([log_mel(u) for u in utterances]) == [recognizer.transcribe(u) for u in utterances]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"features_version": "999"}, "features version 999"),
        ({"letters": ""}, "update the client"),
        ({"features_version": None}, "no recogniser's: say what measures it"),
    ],
)
def test_a_graph_for_others_is_a_typed_error(tmp_path: Path, asked: dict[str, str | None], said: str) -> None:
    with pytest.raises(RecognizerError, match=said):
        Recognizer(altered(**asked), snapshot(tmp_path / "w", weights()))


def test_more_symbols_than_letters_is_a_typed_error(tmp_path: Path) -> None:
    recognizer = Recognizer(altered(letters="a"), snapshot(tmp_path / "w", weights("e")))
    with pytest.raises(RecognizerError):
        recognizer.transcribe(noise())


def test_reads_mono_audio_at_16_khz(tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(audio(noise()))
    assert np.array_equal(read_audio(path), noise())
    assert np.array_equal(read_audio(path.read_bytes()), noise())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        audio(noise(), rate=8000),
        audio(np.zeros((100, 2), np.float32)),
        audio(np.full(100, np.nan, np.float32)),
    ],
    ids=["empty", "truncated", "8 kHz", "stereo", "not finite"],
)
def test_other_audio_is_a_typed_error(content: bytes) -> None:
    with pytest.raises(RecognizerError):
        read_audio(content)
