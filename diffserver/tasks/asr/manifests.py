"""Read manifests in NeMo's convention (JSONL: audio_filepath, text, duration, …) and the audio that they name."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from diffclient.measure.log_mel import SAMPLE_RATE, Samples
from diffserver.tasks.errors import DataError
from diffserver.tasks.jsonl import JsonLine, read_lines

LETTERS = "abcdefghijklmnopqrstuvwxyz' "


@dataclass(frozen=True)
class Recording:
    """One utterance of a manifest; `place` is the manifest's path and line number, for messages."""

    audio: Path
    text: str
    place: str


def read_manifest(path: Path) -> list[Recording]:
    """Return the utterances of a manifest, in its order; blank lines are skipped.

    Raises DataError if the file cannot be read or holds no utterance, or a line is not a JSON object with an
    `audio_filepath` that exists and a `text` of the alphabet's letters.
    """
    return [_recording(path, line) for line in read_lines(path)]


def _recording(manifest: Path, line: JsonLine) -> Recording:
    entry, place = line.fields, line.place
    for field in ("audio_filepath", "text"):
        if not isinstance(entry.get(field), str) or not entry[field].strip():
            raise DataError(f"{place}: {field} is missing, empty or not a string")
    audio = manifest.parent / entry["audio_filepath"]
    try:
        exists = audio.is_file()
    except (OSError, ValueError):  # a name that no file can have
        exists = False
    if not exists:
        raise DataError(f"{place}: there is no audio file {str(audio)!r}")
    return Recording(audio, _text(entry["text"], place), place)


def _text(text: str, place: str) -> str:
    """Return the text in lower case with single spaces; raises DataError on characters outside the alphabet."""
    plain = " ".join(text.lower().split())
    foreign = sorted(set(plain) - set(LETTERS))
    if foreign:
        raise DataError(
            f"{place}: {', '.join(map(repr, foreign))} in {plain[:60]!r} is outside the alphabet "
            f"(a-z, apostrophe, space): write numbers as words and remove punctuation"
        )
    return plain


def read_audio(recording: Recording) -> Samples:
    """Return the utterance as float32 mono at 16 kHz, with channels averaged, from any format that soundfile reads.

    Raises DataError if the file is not audio, is empty or holds values that are not finite.
    """
    try:
        samples, rate = soundfile.read(recording.audio, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise DataError(f"{recording.place}: cannot decode {str(recording.audio)!r} ({error})") from error
    mono = samples.mean(axis=1, dtype=np.float32)
    if not len(mono) or not np.isfinite(mono).all():
        raise DataError(f"{recording.place}: {str(recording.audio)!r} is empty or holds values that are not finite")
    return np.asarray(mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE), np.float32)
