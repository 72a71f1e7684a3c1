"""The example of a real recogniser: its network, its device's code and its converter, on a tiny Moonshine of no skill.

What needs the real one is skipped unless $MOONSHINE names its folder, or $MOONSHINE_WHEEL the wheel that it comes from.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch: pip install 'diffserver[train]'")

import convert
import moonshine_device
import soundfile
import torch
from moonshine_device import TIMES, Utterance, repeated, sounds, texts, transcribe
from moonshine_text import END, START, Tokenizer, decode, spoken, written

from diffclient.measure.onnx_session import Session
from diffclient.tensors.snapshot import Array, Snapshot
from diffserver.diffs import snapshot, sparse
from diffserver.tasks import open_task

EXAMPLE = Path(__file__).parents[2] / "examples" / "moonshine"
TASK = str(EXAMPLE / "moonshine.py")

WORDS = [b"\xe2\x96\x81", b"h", b"e", b"l", b"o", b"H", b".", b"he", b"ll", b"hell", b"hello", b"\xe2\x96\x81hello"]
PIECES = [b"<unk>", b"<s>", b"</s>", *(bytes([byte]) for byte in range(256)), *WORDS, b"<<ST_0>>", b""]
SIZES = {
    "vocab_size": len(PIECES), "hidden_size": 32, "intermediate_size": 48, "encoder_num_hidden_layers": 1,
    "decoder_num_hidden_layers": 2, "encoder_num_attention_heads": 2, "decoder_num_attention_heads": 2,
    "encoder_num_key_value_heads": 2, "decoder_num_key_value_heads": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of a tiny Moonshine, but for its weights."""
    folder = tmp_path_factory.mktemp("moonshine")
    (folder / "config.json").write_text(json.dumps({**convert.CONFIG, **SIZES}))
    (folder / "tokenizer.json").write_text(json.dumps(convert.tokenizer(PIECES)))
    return folder


@pytest.fixture(scope="module")
def task(folder: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOONSHINE", str(folder))
        return open_task.__wrapped__(TASK)


@pytest.fixture(scope="module")
def network(task: Any) -> Any:
    return task.network(1).eval()


@pytest.fixture(scope="module")
def version(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    path = tmp_path_factory.mktemp("version") / "0.safetensors"
    snapshot(network, path)
    return Snapshot(path)


@pytest.fixture(scope="module")
def graph(task: Any, network: Any) -> bytes:
    found: bytes = task.graph(network)
    return found


@pytest.fixture(scope="module")
def session(task: Any, graph: bytes, version: Snapshot) -> Session:
    """The device's, with this network's weights."""
    found: Session = task.session(graph, version)
    return found


def noises(*seconds: float) -> list[Utterance]:
    rng = np.random.default_rng(0)
    return [Utterance(rng.normal(0, 0.1, int(16_000 * long)).astype(np.float32), "hello") for long in seconds]


def tensors(arrays: dict[str, Array]) -> dict[str, Any]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def test_a_text_becomes_tokens_and_is_found_again(folder: Path) -> None:
    tokenizer = Tokenizer.read(folder)
    assert tokenizer.encode("hello") == [PIECES.index(b"\xe2\x96\x81hello")]
    for text in ("hello hole", "Hello.", "ünï 日本 <b>"):
        assert decode(tokenizer.pieces, [START, *tokenizer.encode(text), PIECES.index(b"<<ST_0>>"), END]) == text


def test_tokens_are_those_of_the_library(folder: Path) -> None:
    library = pytest.importorskip("tokenizers").Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in ("hello", "hell hello  oh", "Hello.", "ünï 日本"):
        assert library.encode(text).ids == Tokenizer.read(folder).encode(text)


def test_the_bytes_of_a_tokenizer_are_cut_by_their_lengths() -> None:
    long = b"x" * 300
    assert list(convert.tokens(bytes([1]) + b"a" + bytes([0, 300 % 128 + 128, 300 // 128]) + long)) == [b"a", b"", long]


def test_what_is_written_and_what_is_compared() -> None:
    assert (written("i see"), written("Do you?"), written("")) == ("I see.", "Do you?", ".")
    assert spoken("Mr. O’Hara's 'two' cats, 3 DOGS!") == "mister o'hara's two cats three dogs"


def test_padding_changes_nothing(network: Any) -> None:
    short, _ = both = noises(0.7, 1.9)
    tokens = torch.tensor([[START, 5, 9]])
    alone, together = (tensors(sounds(some)) for some in ([short], both))
    assert together["wave"].shape[1] > alone["wave"].shape[1]
    with torch.no_grad():
        expected = network(**alone, tokens=tokens)
        assert torch.allclose(network(**together, tokens=tokens.expand(2, -1))[0], expected[0], atol=1e-5)


def test_a_text_said_token_by_token_is_the_text_said_at_once(network: Any) -> None:
    tokens, sound = torch.randint(3, len(PIECES), (2, 6)), tensors(sounds(noises(0.8, 1.1)))
    encoder, decoder, (*layers, width) = network.model.encoder, network.model.decoder, network.memory_shape
    with torch.no_grad():
        at_once = network(**sound, tokens=tokens)
        states, real = encoder(**sound)
        heard, said = decoder.remember(states), torch.zeros(2, *layers, 0, width)
        for place in range(tokens.shape[1]):
            scores, said = decoder(tokens[:, [place]], said, heard, real)
            assert torch.allclose(scores[:, 0], at_once[:, place], atol=1e-5)


def by_torch(network: Any, utterance: Utterance, count: int) -> list[int]:
    """The likeliest tokens, the whole text computed anew for each, alone and without a graph."""
    tokens, sound = torch.tensor([[START]]), tensors(sounds([utterance]))
    with torch.no_grad():
        for _ in range(count):
            tokens = torch.cat((tokens, network(**sound, tokens=tokens)[:, -1:].argmax(-1)), dim=1)
    return [int(token) for token in tokens[0, 1:]]


def test_a_device_says_what_torch_says(session: Session, network: Any) -> None:
    some = noises(0.3, 2.2, 1.0)
    heard, real, *_ = session.run({**sounds(some), **texts(session, 0)})
    turn, said = {**sounds([]), **texts(session, len(some)), "heard": heard, "real": real}, []
    for _ in range(5):
        _, _, tokens, kept = session.run(turn)
        turn |= {"tokens": tokens[:, None], "said": kept}
        said.append(tokens.tolist())
    assert [list(row) for row in zip(*said, strict=True)] == [by_torch(network, one, 5) for one in some]


def test_what_is_said_does_not_depend_on_its_neighbours(session: Session) -> None:
    some = noises(0.3, 2.2, 1.0)
    assert transcribe(session, some) == [transcribe(session, [one])[0] for one in some]


@pytest.mark.parametrize(
    ("tokens", "again"),
    [([], 0), ([7, 7, 7], 0), ([3, 7, 7, 7, 7], 3), ([3, *[4, 5] * TIMES], 2 * (TIMES - 1)), ([4, 5] * TIMES + [6], 0)],
)
def test_what_is_said_again_and_again_is_noticed(tokens: list[int], again: int) -> None:
    assert repeated(tokens) == again


def test_who_repeats_himself_is_stopped(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that was not trained goes on for ever, so that this one stops early shows the rule at work."""
    asked: list[int] = []

    def run(turn: dict[str, Array]) -> list[Array]:
        asked.append(len(turn["tokens"]))
        *heard, tokens, kept = Session.run(session, turn)
        return [*heard, np.full_like(tokens, PIECES.index(b"hell")), kept]

    monkeypatch.setattr(session, "run", run)
    assert transcribe(session, noises(20.0)) == ["hell"]
    assert asked == [0, *[1] * TIMES]


def test_hugging_face_computes_the_same(folder: Path, task: Any) -> None:
    transformers = pytest.importorskip("transformers", reason="compares with it: pip install 'diffserver[trainers]'")
    config = transformers.MoonshineConfig.from_dict(json.loads((folder / "config.json").read_text()))
    network, theirs = task.network(0), transformers.MoonshineForConditionalGeneration(config).eval()
    network.load_state_dict({name: value for name, value in theirs.state_dict().items() if name != convert.HEAD})
    sound, tokens = tensors(sounds(noises(1.28))), torch.tensor([[START, 7, 9, 4]])
    with torch.no_grad():
        expected = theirs(input_values=sound["wave"].flatten(1), decoder_input_ids=tokens).logits
        assert torch.allclose(network(**sound, tokens=tokens), expected, atol=1e-4)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A domain of five recordings."""
    lines = []
    for number, utterance in enumerate(noises(0.4, 0.9, 0.5, 1.2, 0.7)):
        soundfile.write(tmp_path / f"{number}.flac", utterance.samples, 16_000)
        lines.append(json.dumps({"audio_filepath": f"{number}.flac", "text": "hello hell"}))
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_a_device_counts_the_errors_that_the_server_counts(
    task: Any, graph: bytes, session: Session, version: Snapshot, recordings: Path
) -> None:
    at_server = task.measure(session, task.examples(recordings, "test"))
    graph_file, part = recordings / "graph.onnx", recordings / "part.zip"
    graph_file.write_bytes(graph)
    part.write_bytes(task.probe(recordings, "test", range(5)))
    assert moonshine_device.score(graph_file, version, [part]) == [at_server]
    assert at_server.total == 10


def test_a_sparse_diff_learns_what_is_said(task: Any, recordings: Path) -> None:
    network, examples = task.network(0), task.examples(recordings, "train")
    diff = sparse(network, budget=0.2, steps=60)
    optimiser, rng = torch.optim.AdamW(diff.parameters(), 1e-2), np.random.default_rng(0)
    losses = []
    for _ in range(60):
        loss = task.loss(network, task.batch(examples, rng, "cpu"))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        diff.step()
        losses.append(loss.item())
    diff.finish()
    with torch.no_grad():
        assert task.loss(network, task.batch(examples, rng, "cpu")) < losses[0] / 4


def test_importing_what_devices_need_loads_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import moonshine_device"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(EXAMPLE), str(EXAMPLE.parents[1] / "client")])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif("MOONSHINE_WHEEL" not in os.environ, reason="$MOONSHINE_WHEEL names no wheel of moonshine-voice")
def test_the_wheel_becomes_a_folder() -> None:
    with zipfile.ZipFile(os.environ["MOONSHINE_WHEEL"]) as wheel:
        found = convert.checkpoint(wheel)
        pieces = list(convert.tokens(wheel.read(f"{convert.ASSETS}tokenizer.bin")))
    assert (len(found), sum(array.size for array in found.values())) == (160, 27_092_736)
    fields = convert.tokenizer(pieces)
    assert (len(fields["model"]["vocab"]), len(fields["model"]["merges"])) == (32_768, 61_249)


SENTENCES = Path(__file__).parents[3] / "shared" / "speech" / "sentences"


@pytest.mark.slow
@pytest.mark.skipif("MOONSHINE" not in os.environ, reason="$MOONSHINE names no Hugging Face folder of Moonshine Tiny")
@pytest.mark.skipif(not SENTENCES.exists(), reason=f"there are no recordings in {SENTENCES}")
def test_the_real_one_hears_sentences(tmp_path: Path) -> None:
    real: Any = open_task.__wrapped__(TASK)
    network = real.loaded()
    snapshot(network, tmp_path / "0.safetensors")
    session = real.session(real.graph(network), Snapshot(tmp_path / "0.safetensors"))
    errors = real.measure(session, real.examples(SENTENCES, "dev")[:40])
    assert 0.3 < errors.errors / errors.total < 0.5
