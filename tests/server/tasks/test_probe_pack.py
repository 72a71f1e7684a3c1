"""A part of the probe set: compressed where that is shorter, and never more than a device holds in memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import zstandard

from diffclient.measure import probe_set
from diffclient.measure.probe_set import read_part
from diffserver.tasks import probe_pack
from diffserver.tasks.probe_pack import pack

NUMBERS = [{"motion": [round(0.001 * place * number, 3) for place in range(96)]} for number in range(32)]


def read(data: bytes, path: Path) -> list[object]:
    path.write_bytes(data)
    return read_part(path, lambda fields, _open: fields.values)


def test_numbers_as_text_shrink(tmp_path: Path) -> None:
    part = pack(NUMBERS, {})
    assert part.startswith(zstandard.FRAME_HEADER)
    assert len(part) < 0.4 * len(str(NUMBERS))
    assert read(part, tmp_path / "part") == NUMBERS


def test_what_does_not_shrink_stays_as_it_is(tmp_path: Path) -> None:
    part = pack([], {"noise": os.urandom(100_000)})
    assert len(part) < 100_400
    assert read(part, tmp_path / "part") == []


def test_what_is_longer_than_a_device_unpacks_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (probe_pack, probe_set):
        monkeypatch.setattr(module, "CONTENT_LIMIT", 5000)
    part = pack(NUMBERS, {})
    assert part.startswith(b"PK")
    assert read(part, tmp_path / "part") == NUMBERS
