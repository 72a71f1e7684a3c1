"""Write a part of the probe set, as a zip or compressed; reading it is left to `diffclient.measure.probe_set`."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import zstandard

from diffclient.measure.probe_set import CONTENT_LIMIT, INDEX

LEVEL = 19


def pack(lines: Sequence[Mapping[str, Any]], files: Mapping[str, bytes]) -> bytes:
    """Return these lines and the files that they name as a part; equal content gives equal bytes."""
    plain = _zip(lines, files)
    if len(plain) > CONTENT_LIMIT:
        return plain
    compressed = zstandard.ZstdCompressor(level=LEVEL, write_checksum=False, write_content_size=True).compress(plain)
    return min(compressed, plain, key=len)


def _zip(lines: Sequence[Mapping[str, Any]], files: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    index = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {**files, INDEX: index}.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return content.getvalue()
