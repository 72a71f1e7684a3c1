"""Parts of the probe set: whole ones are read, and nothing else does any harm."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
import zstandard

from diffclient.errors import ProbeError
from diffclient.measure.probe_set import CONTENT_LIMIT, FILE_LIMIT, Utterance, read_probe
from tests.client.lineage import probe_zip

SAID = [(b"OggS one", "turn on the light"), (b"OggS two", ""), (b"OggS three", "größer")]


def test_a_whole_part(tmp_path: Path) -> None:
    path = tmp_path / "part"
    for data in (probe_zip(SAID), compressed(probe_zip(SAID))):
        path.write_bytes(data)
        assert read_probe(path) == [Utterance(audio, text) for audio, text in SAID]


def compressed(content: bytes, size: bool = True) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=size).compress(content)


def promising(size: int) -> bytes:
    """A frame that says that it holds so many bytes, and holds a few."""
    return zstandard.FRAME_HEADER + b"\xe0" + size.to_bytes(8, "little") + b"\x01\x00\x00"


def archive(index: str | bytes, members: dict[str, bytes] | None = None) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, data in ({"probe.jsonl": index} | (members or {})).items():
            file.writestr(name, data)
    return content.getvalue()


def line(**fields: object) -> str:
    return json.dumps({"audio_filepath": "a", "text": "yes", "duration": 1.0} | fields) + "\n"


WHOLE = probe_zip(SAID[:1])
FRAME = compressed(WHOLE)
HOSTILE = {
    "empty": b"",
    "not a zip": b"RIFF" + bytes(100),
    "truncated": WHOLE[:-30],
    "half": WHOLE[: len(WHOLE) // 2],
    "compressed": probe_zip([(bytes(100_000), "silence")], zipfile.ZIP_DEFLATED),
    "frame cut short": FRAME[:-9],
    "frame with more behind it": FRAME + b"more",
    "frame in a frame": compressed(FRAME),
    "frame of no zip": compressed(bytes(1000)),
    "frame that does not say its size": compressed(WHOLE, size=False),
    "empty frame": compressed(b""),
    "frame that is a bomb": compressed(bytes(CONTENT_LIMIT + 1)),
    "frame that promises exabytes": promising(1 << 60),
    "frame that promises more than it has": promising(CONTENT_LIMIT),
    "compressed twice": compressed(probe_zip([(bytes(100_000), "silence")], zipfile.ZIP_DEFLATED)),
    "altered audio": WHOLE.replace(b"OggS one", b"OggS eno", 1),
    "no index": archive(line()).replace(b"probe.jsonl", b"other.jsonl"),
    "audio missing": archive(line()),
    "not JSON": archive("yes\n"),
    "not UTF-8": archive(b'{"audio_filepath": "a", "text": "\xff"}\n'),
    "a list": archive("[]\n"),
    "no text": archive('{"audio_filepath": "a"}\n', {"a": b"x"}),
    "text a number": archive(line(text=3), {"a": b"x"}),
    "path a number": archive(line(audio_filepath=3), {"a": b"x"}),
    "nested": archive("[" * 100_000),
    "outside": archive(line(audio_filepath="../../etc/passwd")),
    "absolute": archive(line(audio_filepath="/etc/passwd")),
    "too many": archive("", {f"{number}": b"" for number in range(FILE_LIMIT + 2)}),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_anything_else_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "part"
    path.write_bytes(data)
    with pytest.raises(ProbeError):
        read_probe(path)


def test_sizes_that_lie_take_no_memory(tmp_path: Path) -> None:
    """A directory that claims more bytes than the archive has is refused before anything is read."""
    data = archive(line(), {"a": b"x" * 50})
    entry = data.rindex(b"PK\x01\x02")
    huge = (1 << 31).to_bytes(4, "little")
    path = tmp_path / "part"
    path.write_bytes(data[: entry + 20] + huge + huge + data[entry + 28 :])
    with pytest.raises(ProbeError, match="overlap"):
        read_probe(path)


@pytest.mark.parametrize("data", [WHOLE, FRAME], ids=["plain", "compressed"])
def test_every_flipped_byte_is_refused_or_harmless(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "part"
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])
        try:
            read = read_probe(path)
        except ProbeError:
            continue
        assert all(isinstance(utterance, Utterance) for utterance in read)
