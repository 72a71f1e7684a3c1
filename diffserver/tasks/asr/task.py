"""The speech recognition task: what `diffserver.tasks.Task` asks for, put together from this package's parts."""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.nn import functional

from diffclient.measure.error_count import Errors
from diffclient.measure.log_mel import FEATURES_VERSION, MELS, SAMPLE_RATE, Features, mel_energies, normalise
from diffclient.measure.probation import score_speech
from diffclient.measure.recognizer import FEATURES, FEATURES_KEY, LENGTHS, LETTERS_KEY, Recognizer
from diffclient.release.metric import Metric
from diffclient.tensors.snapshot import Snapshot
from diffserver.tasks.probe_pack import pack

from ..errors import DataError
from ..graph import Input, export
from ..task import Forward
from .augment import augmented
from .manifests import LETTERS, Line, read_audio, read_manifest
from .network import CHANNELS, Network

PROBE_COMPRESSION = 0.96  # of libsndfile's range for Opus: 16 kbit/s, about 5 KB an utterance
MEASURED_TOGETHER = 16  # utterances in one call of the recogniser

INPUTS = (Input(FEATURES, ("batch", "frames", MELS)), Input(LENGTHS, ("batch",), "int64"))
OUTPUTS = ("scores", "frames_out")


@dataclass(frozen=True, eq=False)
class Utterance:
    """One example: what the microphone heard, as mel energies float32 `[frames, MELS]`, and what was said."""

    energies: Features
    text: str


@dataclass(frozen=True, eq=False)
class Utterances:
    """A batch, padded with zeros: features `[batch, frames, MELS]`, symbols `[batch, longest]`, and their lengths."""

    features: Tensor
    lengths: Tensor
    symbols: Tensor
    symbol_lengths: Tensor


class AsrTask:
    """Letters from log-mel frames. Examples that were read are kept, so that a chain of updates reads them once."""

    name = "asr"
    metric = Metric("WER", "words")

    def __init__(self, channels: int = CHANNELS) -> None:
        self._channels = channels
        self._read: dict[tuple[Path, str], tuple[bytes, list[Utterance]]] = {}

    def network(self, seed: int) -> nn.Module:
        """A fresh network; with the channels as they are by default, about one million parameters."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Network(1 + len(LETTERS), self._channels)

    def examples(self, folder: Path, split: str) -> list[Utterance]:
        """The utterances of `folder/<split>.jsonl`; raises DataError naming file and line."""
        lines = read_manifest(folder / f"{split}.jsonl")
        state = _state(lines)
        key = (folder.resolve(), split)
        if key not in self._read or self._read[key][0] != state:
            read = [Utterance(mel_energies(read_audio(line)), line.text) for line in lines]
            self._read[key] = (state, read)
        return self._read[key][1]

    def size(self, example: Utterance) -> int:
        """Frames of 10 ms."""
        return len(example.energies)

    def batch(self, examples: Sequence[Utterance], rng: np.random.Generator, device: str) -> Utterances:
        """These utterances, augmented with `rng`."""
        changed = self.augmented(examples, rng)
        features = [normalise(example.energies) for example in changed]
        symbols = [encode(example.text) for example in changed]
        return Utterances(
            nn.utils.rnn.pad_sequence([torch.from_numpy(f) for f in features], batch_first=True).to(device),
            torch.tensor([len(f) for f in features]).to(device),
            nn.utils.rnn.pad_sequence(symbols, batch_first=True).to(device),
            torch.tensor([len(s) for s in symbols]).to(device),
        )

    def augmented(self, examples: Sequence[Utterance], rng: np.random.Generator) -> list[Utterance]:
        """What training hears in place of these utterances of one batch."""
        return [Utterance(augmented(example.energies, rng), example.text) for example in examples]

    def loss(self, forward: Forward, batch: Utterances) -> Tensor:
        """CTC loss per letter; an utterance too short for its text counts nothing."""
        scores, lengths = forward(batch.features, batch.lengths)
        return functional.ctc_loss(
            scores.transpose(0, 1), batch.symbols, lengths, batch.symbol_lengths, zero_infinity=True
        )

    def graph(self, network: nn.Module) -> bytes:
        """The network as ONNX without weights, with the letters and the features' version."""
        about = {LETTERS_KEY: LETTERS, FEATURES_KEY: str(FEATURES_VERSION)}
        return export(network, INPUTS, about, OUTPUTS)

    def session(self, graph: bytes, weights: Snapshot) -> Recognizer:
        """The device's recogniser, on as many threads as training may use."""
        return Recognizer(graph, weights, threads=torch.get_num_threads())

    def measure(self, session: Recognizer, examples: Sequence[Utterance]) -> Errors:
        """Word errors on these utterances, in batches of about equal length."""
        ordered = sorted(examples, key=lambda example: len(example.energies))
        total = Errors(0, 0)
        for start in range(0, len(ordered), MEASURED_TOGETHER):
            some = ordered[start : start + MEASURED_TOGETHER]
            heard = session.decode([normalise(example.energies) for example in some])
            total += count([example.text for example in some], heard)
        return total

    def score(self, graph: Path, weights: Snapshot, parts: Sequence[Path]) -> list[Errors]:
        """Word errors on each part of a probe set, as a device counts them."""
        return score_speech(graph, weights, parts)

    def probe(self, folder: Path, split: str, count: int, seed: int) -> bytes:
        """A zip of `count` utterances (all, if there are fewer): `probe.jsonl` and `audio/*.opus`, 16 kHz mono."""
        lines = read_manifest(folder / f"{split}.jsonl")
        chosen = np.random.default_rng(seed).permutation(len(lines))[:count]
        return _packed([lines[i] for i in sorted(chosen)])

    def make_data(self, folder: Path, updates: int, quick: bool, on_progress: Callable[[float, str], bool]) -> Path:
        """The reference corpus."""
        from .reference import make_reference

        return make_reference(folder, updates, quick, on_progress)


def count(references: Sequence[str], heard: Sequence[str]) -> Errors:
    """Word errors of some texts together, as jiwer counts them."""
    found = jiwer.process_words(list(references), list(heard))
    errors = found.substitutions + found.deletions + found.insertions
    return Errors(errors, found.substitutions + found.deletions + found.hits)


def encode(text: str) -> Tensor:
    """The symbols of a text, int64 `[letters]`; 0 is the blank."""
    return torch.tensor([1 + LETTERS.index(letter) for letter in text])


def _state(lines: Sequence[Line]) -> bytes:
    """Changes when a line or a file does, so that what was read before is read again."""
    files = [(str(line.audio), line.text, (stat := line.audio.stat()).st_size, stat.st_mtime_ns) for line in lines]
    return hashlib.sha256(repr(files).encode()).digest()


def _packed(lines: Sequence[Line]) -> bytes:
    """The same utterances make the same bytes, but for Ogg's random stream number."""
    files, entries = {}, []
    for number, line in enumerate(lines):
        samples = read_audio(line)
        name = f"audio/{number:04d}.opus"
        files[name] = _opus(samples, line)
        duration = round(len(samples) / SAMPLE_RATE, 4)
        entries.append({"audio_filepath": name, "text": line.text, "duration": duration})
    return pack(entries, files)


def _opus(samples: Features, line: Line) -> bytes:
    content = io.BytesIO()
    try:
        soundfile.write(
            content, samples, SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=PROBE_COMPRESSION
        )
    except soundfile.LibsndfileError as error:
        raise DataError(f"{line.place}: cannot encode {str(line.audio)!r} as Opus ({error})") from error
    return content.getvalue()
