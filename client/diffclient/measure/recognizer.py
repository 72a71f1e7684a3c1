"""Speech to text with a version's weights: log-mel features in, greedy letters out, word errors.

Running the graph is `onnx_session`'s. Needs the extra `asr`, whose packages are imported when they are first used.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffclient.errors import RecognizerError
from diffclient.measure.error_count import Errors
from diffclient.measure.log_mel import FEATURES_VERSION, SAMPLE_RATE, Features, Samples, log_mel
from diffclient.measure.onnx_session import Session
from diffclient.measure.word_errors import word_errors
from diffclient.tensors.snapshot import Snapshot

FEATURES, LENGTHS = "features", "lengths"
"""The graph's inputs: float32 `[batch, frames, MELS]` and int64 `[batch]`."""

LETTERS_KEY, FEATURES_KEY = "letters", "features_version"
"""What the graph's metadata_props must carry: the letters in order (blank, number 0, left out), features' version."""


class Recognizer:
    """One version of a model, ready to transcribe."""

    def __init__(self, graph: bytes, weights: Snapshot, threads: int = 1) -> None:
        """Load the graph with every weight of the snapshot.

        Raises InferenceError if it does not run, RecognizerError if it asks for other features than this client
        computes.
        """
        self._session = Session(graph, weights, threads)
        metadata = self._session.metadata
        if FEATURES_KEY not in metadata:
            raise RecognizerError("this graph is no recogniser's: say what measures it with --score")
        if metadata[FEATURES_KEY] != str(FEATURES_VERSION) or not metadata.get(LETTERS_KEY):
            raise RecognizerError(
                f"the graph asks for features version {metadata[FEATURES_KEY]}, this client computes "
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
        scores, frames = self._session.run({FEATURES: batch, LENGTHS: lengths})
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
