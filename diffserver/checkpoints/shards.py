"""Join the safetensors files of an index, as Hugging Face splits large models, to one file, piece by piece."""

import json
from pathlib import Path
from typing import BinaryIO

from diffserver.checkpoints.checkpoint_file import Checkpoint, Entry
from diffserver.checkpoints.write_safetensors import header
from diffserver.errors import CheckpointError

AGAIN = "download the whole folder again"


def join(index: Path, out: Path) -> Path:
    """Write all tensors that an index names to `out`, and return it; raises CheckpointError."""
    placed = _read(index)
    shards = {name: Checkpoint(index.parent / name) for name in sorted(set(placed.values()))}
    if lacking := [name for name, shard in placed.items() if name not in shards[shard].entries]:
        raise CheckpointError(f"{lacking[0]} is not in {placed[lacking[0]]}, where the index says that it is", AGAIN)
    entries = [(shards[shard].path, shards[shard].entries[name]) for name, shard in sorted(placed.items())]
    with out.open("xb") as target:
        target.write(header((entry.name, entry.dtype, entry.shape) for _, entry in entries))
        for path, entry in entries:
            _copy(path, entry, target)
    return out


def _read(index: Path) -> dict[str, str]:
    """Return the file of each tensor; files are beside the index, and nowhere else."""
    try:
        placed = json.loads(index.read_bytes())["weight_map"]
        files = set(placed.values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{index} is no index of safetensors files ({error})", AGAIN) from error
    if any(not isinstance(name, str) or Path(name).name != name for name in files):
        raise CheckpointError(f"{index} names files in other folders", AGAIN)
    return dict(placed)


def _copy(path: Path, entry: Entry, target: BinaryIO) -> None:
    with path.open("rb") as source:
        source.seek(entry.start)
        remaining = entry.stop - entry.start
        while remaining:
            piece = source.read(min(remaining, 1 << 20))
            remaining -= len(piece)
            target.write(piece)
