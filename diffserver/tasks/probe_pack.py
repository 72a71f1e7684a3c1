"""Write a part of the probe set as a zip; reading it is left to `diffclient.measure.probe_set`."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from diffclient.measure.probe_set import INDEX


def pack(lines: Sequence[Mapping[str, Any]], files: Mapping[str, bytes]) -> bytes:
    """Return the zip of these lines and the files that they name; equal content gives equal bytes."""
    content = io.BytesIO()
    index = "".join(json.dumps(line) + "\n" for line in lines).encode()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {**files, INDEX: index}.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return content.getvalue()
