"""Speech to text with a version's weights: the model's ONNX graph under onnxruntime, greedy letters, word errors.

The graph carries no weights; they come from a snapshot, so what is measured is that version and nothing else. Needs the
extra `asr`, whose packages are imported when they are first used.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffclient.errors import RecognizerError
from diffclient.features import FEATURES_VERSION, SAMPLE_RATE, Features, Samples, log_mel
from diffclient.weights import Snapshot
from diffclient.wer import Errors, word_errors

FEATURES, LENGTHS = "features", "lengths"
"""The graph's inputs: float32 `[batch, frames, MELS]` and int64 `[batch]`."""

OUTSIDE = "weights"
"""Where the graph says that its initialisers are; no file of that name is ever read."""

LETTERS_KEY, FEATURES_KEY = "letters", "features_version"
"""What the graph's metadata_props must carry: the letters in order (blank, number 0, left out), features' version."""


class Recognizer:
    """One version of a model, ready to transcribe."""

    def __init__(self, graph: bytes, weights: Snapshot, threads: int = 1) -> None:
        """Load the graph with every weight of the snapshot.

        Raises RecognizerError if onnxruntime is missing or refuses the graph, if the graph asks for other features
        than this client computes, or if its weights are not those of the snapshot.
        """
        self._session = _session(graph, weights, threads)
        metadata = self._session.get_modelmeta().custom_metadata_map
        if metadata.get(FEATURES_KEY) != str(FEATURES_VERSION) or not metadata.get(LETTERS_KEY):
            raise RecognizerError(
                f"the graph asks for features version {metadata.get(FEATURES_KEY)}, this client computes "
                f"{FEATURES_VERSION}: update the client"
            )
        self._letters = np.array(["", *metadata[LETTERS_KEY]])

    def transcribe(self, samples: Samples) -> str:
        """Return the words heard in float32 `[n]` mono samples at 16 kHz."""
        return self.decode([log_mel(samples)])[0]

    def decode(self, utterances: Sequence[Features]) -> list[str]:
        """Return the words of a batch of utterances, each float32 `[frames, MELS]` as from `log_mel`."""
        lengths = np.array([len(features) for features in utterances], np.int64)
        batch = np.zeros((len(utterances), int(lengths.max()), utterances[0].shape[1]), np.float32)
        for row, features in zip(batch, utterances, strict=True):
            row[: len(features)] = features
        scores, frames = self._session.run(None, {FEATURES: batch, LENGTHS: lengths})
        return [self._words(best[:count]) for best, count in zip(scores.argmax(axis=2), frames, strict=True)]

    def _words(self, best: np.ndarray[Any, Any]) -> str:
        """Greedy CTC: repeats fall together, blanks fall out."""
        changes = best[np.flatnonzero(np.diff(best, prepend=-1))]
        if changes.size and int(changes.max()) >= len(self._letters):
            raise RecognizerError("the graph's output has more symbols than its metadata has letters")
        return " ".join("".join(self._letters[changes]).split())


def read_audio(source: Path | bytes) -> Samples:
    """Return a file's samples: float32 mono at 16 kHz, which is demanded; raises RecognizerError."""
    try:
        import soundfile
    except ImportError as error:
        raise RecognizerError("reading audio needs soundfile: pip install 'diffclient[asr]'") from error
    try:
        samples, rate = soundfile.read(io.BytesIO(source) if isinstance(source, bytes) else source, dtype="float32")
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise RecognizerError(f"the audio cannot be decoded: {error}") from error
    if rate != SAMPLE_RATE or samples.ndim != 1 or not np.isfinite(samples).all():
        raise RecognizerError(f"the audio is not mono at {SAMPLE_RATE} Hz with finite values")
    result: Samples = samples
    return result


def measure(recognizer: Recognizer, utterances: Iterable[tuple[Samples, str]]) -> Errors:
    """Return the word errors on (samples, reference text) pairs, transcribed one by one."""
    total = Errors(0, 0)
    for samples, text in utterances:
        total += Errors(word_errors(text, recognizer.transcribe(samples)), len(text.split()))
    return total


def _session(graph: bytes, weights: Snapshot, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise RecognizerError("recognising needs onnxruntime: pip install 'diffclient[asr]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    tensors = weights.read_all()
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in tensors.values()]
    try:
        options.add_external_initializers(list(tensors), values)
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base but this
        raise RecognizerError(f"the graph does not run with these weights: {error}") from error
