"""The speech recognition task, an implementation of `diffserver.tasks.Task`.

Audio, network and augmentation are left to the other modules of this package.
"""

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
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
from diffserver.choices.methods import FULL
from diffserver.tasks.asr.augment import augmented
from diffserver.tasks.asr.manifests import LETTERS, Recording, read_audio, read_manifest
from diffserver.tasks.asr.network import CHANNELS, Network
from diffserver.tasks.errors import DataError
from diffserver.tasks.graph import Input, export
from diffserver.tasks.probe_pack import pack
from diffserver.tasks.task import Forward

PROBE_COMPRESSION = 0.976  # of libsndfile's range for Opus: 12 kbit/s, about 3 KB an utterance
MEASURED_TOGETHER = 16  # utterances in one call of the recogniser

INPUTS = (Input(FEATURES, ("batch", "frames", MELS)), Input(LENGTHS, ("batch",), "int64"))
OUTPUTS = ("scores", "frames_out")


@dataclass(frozen=True, eq=False)
class Utterance:
    """One example: the audio as mel energies, float32 `[frames, MELS]`, and its text."""

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
    """The task of letters from log-mel frames; examples are cached, so that a chain of updates reads them once."""

    name = "asr"
    metric = Metric("WER", "words")
    recipes: Mapping[str, Mapping[str, float | str]] = {FULL: {"steps": 910}}
    """Longer retraining gains nothing more here."""

    def __init__(self, channels: int = CHANNELS) -> None:
        self._channels = channels
        self._read: dict[tuple[Path, str], tuple[bytes, list[Utterance]]] = {}

    def network(self, seed: int) -> nn.Module:
        """Return a freshly initialised network, by default of about one million parameters."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Network(1 + len(LETTERS), self._channels)

    def examples(self, folder: Path, split: str) -> list[Utterance]:
        """Return the utterances of `folder/<split>.jsonl`; raises DataError naming file and line."""
        recordings = read_manifest(folder / f"{split}.jsonl")
        state = _state(recordings)
        key = (folder.resolve(), split)
        if key not in self._read or self._read[key][0] != state:
            utterances = [Utterance(mel_energies(read_audio(recording)), recording.text) for recording in recordings]
            self._read[key] = (state, utterances)
        return self._read[key][1]

    def size(self, example: Utterance) -> int:
        """Return the example's frames of 10 ms."""
        return len(example.energies)

    def batch(self, examples: Sequence[Utterance], rng: np.random.Generator, device: str) -> Utterances:
        """Return the utterances, augmented with `rng`, on `device`."""
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
        """Return augmented copies of one batch's utterances."""
        return [Utterance(augmented(example.energies, rng), example.text) for example in examples]

    def loss(self, forward: Forward, batch: Utterances) -> Tensor:
        """Return the CTC loss per letter; an utterance too short for its text counts 0."""
        scores, lengths = forward(batch.features, batch.lengths)
        return functional.ctc_loss(
            scores.transpose(0, 1), batch.symbols, lengths, batch.symbol_lengths, zero_infinity=True
        )

    def graph(self, network: nn.Module) -> bytes:
        """Return the network as ONNX without weights, with the letters and the features' version."""
        properties = {LETTERS_KEY: LETTERS, FEATURES_KEY: str(FEATURES_VERSION)}
        return export(network, INPUTS, properties, OUTPUTS)

    def session(self, graph: bytes, weights: Snapshot) -> Recognizer:
        """Return the device's recogniser, on as many threads as training may use."""
        return Recognizer(graph, weights, threads=torch.get_num_threads())

    def measure(self, session: Recognizer, examples: Sequence[Utterance]) -> Errors:
        """Return the word errors on these utterances, in batches of about equal length."""
        ordered = sorted(examples, key=lambda example: len(example.energies))
        total = Errors(0, 0)
        for start in range(0, len(ordered), MEASURED_TOGETHER):
            group = ordered[start : start + MEASURED_TOGETHER]
            texts = session.decode([normalise(example.energies) for example in group])
            total += count([example.text for example in group], texts)
        return total

    def score(self, graph: Path, weights: Snapshot, parts: Sequence[Path]) -> list[Errors]:
        """Return the word errors on each part of a probe set, as a device counts them."""
        return score_speech(graph, weights, parts)

    def probe(self, folder: Path, split: str, numbers: Sequence[int]) -> bytes:
        """Return these utterances as a part of the probe set: `probe.jsonl` and `audio/*.opus`, 16 kHz mono."""
        recordings = read_manifest(folder / f"{split}.jsonl")
        return _packed([recordings[number] for number in numbers])

    def make_data(self, folder: Path, updates: int, quick: bool, on_progress: Callable[[float, str], bool]) -> Path:
        """Make or reuse the reference corpus; return its folder. Raises CorpusError."""
        from diffserver.tasks.asr.reference import make_reference

        return make_reference(folder, updates, quick, on_progress)


def count(references: Sequence[str], hypotheses: Sequence[str]) -> Errors:
    """Return the word errors of all texts together, as jiwer counts them."""
    alignment = jiwer.process_words(list(references), list(hypotheses))
    errors = alignment.substitutions + alignment.deletions + alignment.insertions
    return Errors(errors, alignment.substitutions + alignment.deletions + alignment.hits)


def encode(text: str) -> Tensor:
    """Return the symbols of a text, int64 `[letters]`; 0 is the blank."""
    return torch.tensor([1 + LETTERS.index(letter) for letter in text])


def _state(recordings: Sequence[Recording]) -> bytes:
    """Return a fingerprint of the manifest's lines and files, by which cached examples are checked."""
    files = [
        (str(recording.audio), recording.text, (stat := recording.audio.stat()).st_size, stat.st_mtime_ns)
        for recording in recordings
    ]
    return hashlib.sha256(repr(files).encode()).digest()


def _packed(recordings: Sequence[Recording]) -> bytes:
    """Return the utterances as a part of the probe set; equal bytes but for Ogg's random stream number."""
    files, entries = {}, []
    for number, recording in enumerate(recordings):
        samples = read_audio(recording)
        name = f"audio/{number:04d}.opus"
        files[name] = _opus(samples, recording)
        duration = round(len(samples) / SAMPLE_RATE, 4)
        entries.append({"audio_filepath": name, "text": recording.text, "duration": duration})
    return pack(entries, files)


def _opus(samples: Features, recording: Recording) -> bytes:
    content = io.BytesIO()
    try:
        soundfile.write(
            content, samples, SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=PROBE_COMPRESSION
        )
    except soundfile.LibsndfileError as error:
        raise DataError(f"{recording.place}: cannot encode {str(recording.audio)!r} as Opus ({error})") from error
    return content.getvalue()
