"""Write tests/reference/vectors again: python -m tests.reference.make_vectors"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import zstandard

from tests.reference.arithmetic import apply, digest
from tests.reference.bases import BASES
from tests.reference.decoder import decode
from tests.reference.hostile import HOSTILE
from tests.reference.models import Sample
from tests.reference.samples import SAMPLES
from tests.reference.unfit import UNFIT
from tests.reference.vectors import FOLDER
from tests.reference.writer import content, write


def parent(sample: Sample) -> dict[str, Any]:
    """Return the description from which the parent can be made."""
    return {
        "table": [list(tensor) for tensor in sample.table],
        "seed": sample.seed,
        "weights": {name: data.hex() for name, data in sample.given.items()},
        "parent": digest(sample.table, sample.weights()),
    }


def sound(sample: Sample, payload: bytes) -> dict[str, Any]:
    """Return a sound payload's purpose and the version that it makes."""
    decoded = decode(payload, sample.table, sample.document.parent)
    result = digest(decoded.table, apply(decoded, sample.table, sample.weights()))
    return {"about": sample.about, **parent(sample), "result": result}


def refused() -> Iterator[dict[str, Any]]:
    """Payloads that must be refused, by what they are for: name, error, bytes."""
    for base, group in groupby(sorted(HOSTILE.items(), key=lambda item: item[1].base), key=lambda item: item[1].base):
        payloads = [[name, hostile.error, hostile.payload().hex()] for name, hostile in group]
        yield {**parent(BASES[base]), "payloads": payloads}
    for name, sample in UNFIT.items():
        yield {**parent(sample), "payloads": [[name, "RangeError", write(sample.document).hex()]]}


def compressed(payload: bytes, records: bytes) -> bytes:
    """The same payload with its records compressed and checksummed, as other writers do it."""
    length = int.from_bytes(payload[32:36], "little")
    frame = zstandard.ZstdCompressor(level=19, write_checksum=True).compress(records)
    return payload[:32] + len(frame).to_bytes(4, "little") + payload[36:44] + frame + payload[44 + length :]


def save(name: str, value: Mapping[str, Any], payload: bytes) -> None:
    """Write a vector's files."""
    (FOLDER / f"{name}.json").write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8")
    (FOLDER / f"{name}.ndiff").write_bytes(payload)


def main() -> None:
    """Write all vectors."""
    FOLDER.mkdir(exist_ok=True)
    for name, make in SAMPLES.items():
        sample = make()
        payload = write(sample.document)
        save(name, sound(sample, payload), payload)
        if name == "sparse-codebooks":
            smaller = compressed(payload, content(sample.document))
            save("sparse-compressed", sound(sample, smaller), smaller)
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in refused())
    (FOLDER / "refused.json").write_text(f"[\n{rows}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
