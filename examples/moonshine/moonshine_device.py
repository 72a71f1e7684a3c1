"""Moonshine on a device: sound to text with the graph's two halves, and the word errors. numpy and soundfile, no torch.

The first half of the graph hears, once for some utterances; the second says one token for each of them, again and
again, and is given back what it kept of those before. The graph itself carries the tokens' texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from moonshine_text import END, START, decode, spoken

from diffclient.measure.error_count import Errors
from diffclient.measure.onnx_session import Session
from diffclient.measure.recognizer import read_audio
from diffclient.measure.scorer import Scorer
from diffclient.measure.word_errors import word_errors
from diffclient.tensors.snapshot import Array

RATE, HOP = 16_000, 64
SHORTEST = 1_024
"""Samples that every sound is filled up to: the convolutions see 895 at least."""

TOKENS_A_SECOND, AT_LEAST = 6.5, 8
"""What a text may have; a network that hears nothing it knows may go on for ever."""

TIMES, LONGEST = 4, 12
"""How often in a row, and of how many tokens at most, what is said again and again ends a text."""

PIECES, MEMORY = "pieces", "memory_shape"
"""The graph's metadata: the tokens' texts, and the sides of what is kept: layers, 2, heads, width."""


@dataclass(frozen=True, eq=False)
class Utterance:
    """One example: its sound, and the text that is said in it."""

    samples: Array
    text: str


def read(fields: Mapping[str, Any], open_: Callable[[str], bytes]) -> Utterance:
    """Return the utterance of a manifest's line; raises RecognizerError unless its sound is 16 kHz mono."""
    return Utterance(read_audio(open_(fields["audio_filepath"])), str(fields["text"]))


def sounds(utterances: Sequence[Utterance]) -> dict[str, Array]:
    """Return what the first half takes: float32 `[utterances, hops, HOP]`, and lengths in samples."""
    lengths = np.array([max(SHORTEST, len(utterance.samples)) for utterance in utterances], np.int64)
    hops = -(-int(lengths.max(initial=SHORTEST)) // HOP)
    wave = np.zeros((len(utterances), hops, HOP), np.float32)
    for row, utterance in zip(wave, utterances, strict=True):
        row.reshape(-1)[: len(utterance.samples)] = utterance.samples
    return {"wave": wave, "length": lengths}


def texts(session: Session, count: int) -> dict[str, Array]:
    """Return what the second half takes before anything is heard or said of so many utterances."""
    layers, pair, heads, width = json.loads(session.metadata[MEMORY])
    said, heard = (np.zeros((count, layers, pair, heads, places, width), np.float32) for places in (0, 1))
    tokens = np.full((count, 1), START, np.int64)
    return {"tokens": tokens, "said": said, "heard": heard, "real": np.zeros((count, 1), bool)}


def transcribe(session: Session, utterances: Sequence[Utterance]) -> list[str]:
    """Return what is said in these utterances, of all tokens the likeliest each time; raises InferenceError."""
    limits = [max(AT_LEAST, int(len(utterance.samples) / RATE * TOKENS_A_SECOND)) for utterance in utterances]
    heard, real, *_ = session.run({**sounds(utterances), **texts(session, 0)})
    turn = {**sounds([]), **texts(session, len(utterances)), "heard": heard, "real": real}
    said: list[list[int]] = [[] for _ in utterances]
    going = set(range(len(utterances)))
    while going:
        _, _, tokens, kept = session.run(turn)
        turn |= {"tokens": tokens[:, None], "said": kept}
        for number in list(going):
            said[number].append(int(tokens[number]))
            if said[number][-1] == END or len(said[number]) == limits[number] or repeated(said[number]):
                going.remove(number)
    pieces = _pieces(session.metadata[PIECES])
    return [decode(pieces, tokens[: len(tokens) - repeated(tokens)]) for tokens in said]


def repeated(tokens: Sequence[int]) -> int:
    """Return how many of the last tokens only say again what was said `TIMES` times in a row; 0 if it was not."""
    for width in range(1, min(LONGEST, len(tokens) // TIMES) + 1):
        if tokens[-width * (TIMES - 1) :] == tokens[-width * TIMES : -width]:
            return width * (TIMES - 1)
    return 0


def errors(heard: Sequence[str], utterances: Sequence[Utterance]) -> Errors:
    """Return the word errors of these texts."""
    pairs = [(spoken(utterance.text), spoken(text)) for utterance, text in zip(utterances, heard, strict=True)]
    return Errors(sum(word_errors(*pair) for pair in pairs), sum(len(meant.split()) for meant, _ in pairs))


@lru_cache(maxsize=1)
def _pieces(metadata: str) -> list[str]:
    pieces: list[str] = json.loads(metadata)
    return pieces


score = Scorer(sounds, errors, read, together=16, answers=transcribe)
