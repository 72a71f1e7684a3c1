"""The reference corpus for experiments: as large as the demo's, or just enough to see that everything runs."""

from collections.abc import Callable
from pathlib import Path

from ..errors import CorpusError
from .commands import DOMAINS
from .corpus import Sizes, build_corpus

QUICK = {"base_train": 120, "base_test": 12, "update_train": 60, "update_test": 12}


def make_reference(folder: Path, updates: int, quick: bool, on_progress: Callable[[float, str], bool]) -> Path:
    """Speak the base's domain and so many updates', or find them spoken; raises CorpusError."""
    if updates >= len(DOMAINS):
        raise CorpusError(f"the synthetic corpus has {len(DOMAINS) - 1} updates, not {updates}: ask for fewer")
    made = folder / ("quick-corpus" if quick else "corpus")
    sizes = Sizes(**QUICK, updates=updates) if quick else Sizes(updates=updates)
    build_corpus(made, sizes, on_progress=on_progress)
    return made
