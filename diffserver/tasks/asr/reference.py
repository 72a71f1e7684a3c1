"""Make the reference corpus for experiments: as large as the demo's, or just enough to run."""

from collections.abc import Callable
from pathlib import Path

from diffserver.tasks.asr.commands import DOMAINS
from diffserver.tasks.asr.corpus import Sizes, build_corpus
from diffserver.tasks.errors import CorpusError

QUICK = {"base_train": 120, "base_test": 12, "update_train": 60, "update_test": 12}


def make_reference(folder: Path, updates: int, quick: bool, on_progress: Callable[[float, str], bool]) -> Path:
    """Make the domains of the base and of `updates` updates, or reuse them; return their folder. Raises CorpusError."""
    if updates >= len(DOMAINS):
        raise CorpusError(f"the synthetic corpus has {len(DOMAINS) - 1} updates, not {updates}: ask for fewer")
    corpus = folder / ("quick-corpus" if quick else "corpus")
    sizes = Sizes(**QUICK, updates=updates) if quick else Sizes(updates=updates)
    build_corpus(corpus, sizes, on_progress=on_progress)
    return corpus
