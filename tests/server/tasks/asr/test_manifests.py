"""Manifests of real audio: what is read, and every way in which a line or a file can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from diffserver.tasks import DataError
from diffserver.tasks.asr.manifests import Recording, read_audio, read_manifest

FORMATS = [("speech.wav", "PCM_16", 16000), ("speech.flac", "PCM_16", 44100), ("speech.opus", "OPUS", 48000)]


def tone(rate: int, seconds: float = 0.5) -> np.ndarray[Any, Any]:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)


def manifest(folder: Path, *lines: str | bytes | dict[str, Any]) -> Path:
    """A manifest of these lines beside one good audio file, `good.wav`."""
    soundfile.write(folder / "good.wav", tone(16000), 16000)
    path = folder / "train.jsonl"
    encoded = [json.dumps(line).encode() if isinstance(line, dict) else line for line in lines]
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in encoded))
    return path


def entry(audio: object = "good.wav", text: object = "call anna") -> dict[str, Any]:
    return {"audio_filepath": audio, "text": text, "duration": 0.5}


def test_reads_lines_in_order_and_in_plain_letters(tmp_path: Path) -> None:
    path = manifest(tmp_path, entry(text="Call  Anna"), "", entry(text="don't"), entry(str(tmp_path / "good.wav")))
    lines = read_manifest(path)
    assert [line.text for line in lines] == ["call anna", "don't", "call anna"]
    assert [line.place for line in lines] == [f"{path}:{number}" for number in (1, 3, 4)]
    assert {line.audio for line in lines} == {tmp_path / "good.wav"}


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ("null", "not a JSON object"),
        ({"text": "call"}, "audio_filepath is missing"),
        (entry(audio=""), "audio_filepath is missing"),
        (entry(audio=7), "audio_filepath is missing"),
        (entry(audio="gone.wav"), "no audio file"),
        (entry(audio="."), "no audio file"),
        (entry(audio="a\0b"), "no audio file"),
        (entry(audio="x" * 5000), "no audio file"),
        (entry(text=None), "text is missing"),
        (entry(text="  "), "text is missing"),
        (entry(text="call 7 people"), "'7' in 'call 7 people'"),
        (entry(text="naïve"), "'ï'"),
        (entry(text="hello, world"), "','"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str | dict[str, Any], cause: str) -> None:
    path = manifest(tmp_path, entry(), line)
    with pytest.raises(DataError) as caught:
        read_manifest(path)
    assert f"{path}:2: " in str(caught.value)
    assert cause in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00"], ids=["empty", "blank", "not UTF-8"])
def test_a_manifest_without_lines_is_named(tmp_path: Path, content: bytes) -> None:
    path = manifest(tmp_path, content)
    with pytest.raises(DataError, match=r"train\.jsonl"):
        read_manifest(path)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.jsonl"):
        read_manifest(tmp_path / "nowhere.jsonl")


@pytest.mark.parametrize(("name", "subtype", "rate"), FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_audio_becomes_mono_at_16_khz(tmp_path: Path, name: str, subtype: str, rate: int, channels: int) -> None:
    path = tmp_path / name
    samples = np.repeat(tone(rate)[:, None], channels, axis=1)
    kind = "OGG" if name.endswith("opus") else None
    soundfile.write(path, samples, rate, subtype=subtype, format=kind)
    read = read_audio(Recording(path, "a", "here:1"))
    assert read.dtype == np.float32
    assert len(read) == pytest.approx(8000, abs=20)
    assert int(np.abs(np.fft.rfft(read[1000:7000])).argmax()) == 440 * 6000 // 16000
    assert np.abs(read[1000:7000]).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    "content", [b"", b"RIFF\0\0\0\0WAVE", b"not audio at all"], ids=["empty", "truncated", "foreign"]
)
def test_a_file_that_is_not_audio_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"here:9: .*broken\.wav"):
        read_audio(Recording(path, "a", "here:9"))


@pytest.mark.parametrize("samples", [np.zeros(0), np.full(100, np.nan)], ids=["no samples", "not finite"])
def test_audio_without_sound_is_named(tmp_path: Path, samples: np.ndarray[Any, Any]) -> None:
    path = tmp_path / "odd.wav"
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    with pytest.raises(DataError, match="empty or holds values that are not finite"):
        read_audio(Recording(path, "a", "here:1"))
