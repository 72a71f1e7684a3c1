"""Manifests in NeMo's convention (JSONL: audio_filepath, text, duration, …) and the audio that they name."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from diffclient.features import SAMPLE_RATE, Samples

from ..errors import DataError

LETTERS = "abcdefghijklmnopqrstuvwxyz' "


@dataclass(frozen=True)
class Line:
    """One utterance of a manifest; `place` is the manifest's path and line number, for messages."""

    audio: Path
    text: str
    place: str


def read_manifest(path: Path) -> list[Line]:
    """The utterances of a manifest, in its order; blank lines are skipped.

    Raises:
        DataError: the file cannot be read or holds no utterance, or a line is not a JSON object with an
            `audio_filepath` that exists and a `text` of the alphabet's letters.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot read the manifest ({error})") from error
    lines = [
        _line(path, f"{path}:{number}", line)
        for number, line in enumerate(content.splitlines(), start=1)
        if line.strip()
    ]
    if not lines:
        raise DataError(f"{path}: the manifest holds no utterance")
    return lines


def _line(manifest: Path, place: str, line: str) -> Line:
    try:
        entry: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not JSON ({error})") from error
    if not isinstance(entry, dict):
        raise DataError(f"{place}: not a JSON object")
    for field in ("audio_filepath", "text"):
        if not isinstance(entry.get(field), str) or not entry[field].strip():
            raise DataError(f"{place}: {field} is missing, empty or not a string")
    audio = manifest.parent / entry["audio_filepath"]
    try:
        found = audio.is_file()
    except (OSError, ValueError):  # a name that no file can have
        found = False
    if not found:
        raise DataError(f"{place}: there is no audio file {str(audio)!r}")
    return Line(audio, _text(entry["text"], place), place)


def _text(text: str, place: str) -> str:
    """Lower case, single spaces; every other character must be in the alphabet."""
    plain = " ".join(text.lower().split())
    foreign = sorted(set(plain) - set(LETTERS))
    if foreign:
        raise DataError(
            f"{place}: {', '.join(map(repr, foreign))} in {plain[:60]!r} is outside the alphabet "
            f"(a-z, apostrophe, space): write numbers as words and remove punctuation"
        )
    return plain


def read_audio(line: Line) -> Samples:
    """The utterance as float32 mono at 16 kHz, whatever soundfile reads; channels are averaged.

    Raises:
        DataError: the file is not audio, is empty or holds values that are not finite.
    """
    try:
        samples, rate = soundfile.read(line.audio, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise DataError(f"{line.place}: cannot decode {str(line.audio)!r} ({error})") from error
    mono = samples.mean(axis=1, dtype=np.float32)
    if not len(mono) or not np.isfinite(mono).all():
        raise DataError(f"{line.place}: {str(line.audio)!r} is empty or holds values that are not finite")
    return np.asarray(mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE), np.float32)
