"""Fixtures that several packages of tests share."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

UPDATES = 5

# Small matrices are slow on many threads, above all on a busy machine. Before anything loads torch, and for the
# workers that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spoken corpus of the base and five updates, small enough to train on in seconds."""
    pytest.importorskip("torch", reason="training needs torch: pip install 'diffserver[train]'")
    pytest.importorskip("espeakng_loader", reason="the corpus needs espeak-ng: pip install 'diffserver[demo]'")
    from diffserver.tasks.asr.corpus import Sizes, build_corpus

    folder = tmp_path_factory.mktemp("corpus")
    build_corpus(folder, Sizes(base_train=160, base_test=24, update_train=48, update_test=24, updates=UPDATES))
    return folder
