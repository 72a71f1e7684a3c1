"""The folders of a data set, one for each domain: find them in natural order, and fingerprint their manifests.

Reading the files is left to the task.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

SPLITS = ("train", "test")


def find_domains(data: Path, splits: Sequence[str] = SPLITS) -> list[Path]:
    """Return the folders that have all these splits (`train.jsonl` …), by number, then by name."""
    folders = [{path.parent for path in data.glob(f"*/{split}.jsonl")} for split in splits]
    return sorted(set.intersection(*folders), key=by_number)


def by_number(folder: Path) -> tuple[float, str]:
    """Return a folder's sort key: 10-composers comes after 9-countries, folders without a number come last."""
    number = re.match(r"\d+", folder.name)
    return float(number[0]) if number else float("inf"), folder.name


def fingerprint(data: Path, domains: Sequence[str]) -> str:
    """Return a SHA-256 that changes with any byte of these domains' manifests, their names and their order.

    Recordings are not read, since manifests name and time them. A missing split counts, too.
    """
    whole = hashlib.sha256()
    for domain in domains:
        for split in SPLITS:
            path = data / domain / f"{split}.jsonl"
            content = path.read_bytes() if path.exists() else None
            length = "none" if content is None else len(content)
            whole.update(f"{domain}\0{split}\0{length}\0".encode() + (content or b""))
    return whole.hexdigest()
