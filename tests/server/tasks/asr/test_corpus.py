"""The reference corpus: reproducible, whole or absent, and with voices in the tests that training never heard."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("espeakng_loader", reason="the corpus needs espeak-ng: pip install 'diffserver[demo]'")

from diffserver.tasks import CorpusError
from diffserver.tasks.asr.corpus import Sizes, build_corpus
from diffserver.tasks.asr.manifests import read_audio, read_manifest
from diffserver.tasks.asr.synthesis import TEST_VARIANTS, TRAIN_VARIANTS, Voice, synthesiser

SIZES = Sizes(base_train=12, base_test=6, update_train=6, update_test=4, updates=1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spoken")
    build_corpus(folder, SIZES, seed=3)
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def entries(folder: Path, split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]


def test_one_folder_a_domain_with_the_utterances_asked_for(corpus: Path) -> None:
    assert sorted(path.name for path in corpus.iterdir()) == ["0-base", "1-athletes"]
    manifests = [
        corpus / domain / f"{split}.jsonl" for domain in ("0-base", "1-athletes") for split in ("train", "test")
    ]
    assert [len(read_manifest(path)) for path in manifests] == [12, 6, 6, 4]


def test_audio_is_as_long_as_its_line_says_and_neither_silent_nor_clipped(corpus: Path) -> None:
    folder = corpus / "0-base"
    for entry, line in zip(entries(folder, "train"), read_manifest(folder / "train.jsonl"), strict=True):
        samples = read_audio(line)
        assert len(samples) / 16000 == pytest.approx(entry["duration"], abs=1e-3)
        assert 0.1 < np.abs(samples).max() < 0.95


def test_test_voices_are_never_heard_in_training(corpus: Path) -> None:
    assert set(TEST_VARIANTS).isdisjoint(TRAIN_VARIANTS)
    for split, allowed in (("train", TRAIN_VARIANTS), ("test", TEST_VARIANTS)):
        speakers = {entry["speaker"].partition("+")[2] for entry in entries(corpus / "0-base", split)}
        assert speakers <= set(allowed)


def test_every_voice_speaks() -> None:
    with synthesiser() as engine:
        for variant in (*TEST_VARIANTS, *TRAIN_VARIANTS):
            samples = engine.speak("turn on the light", Voice("gmw/en", variant, 150, 50))
            assert 0.5 < len(samples) / 16000 < 4
            assert np.abs(samples).max() > 0.05


def test_an_unknown_voice_is_named() -> None:
    with synthesiser() as engine, pytest.raises(CorpusError, match=r"xx/nowhere\+f1"):
        engine.speak("stop", Voice("xx/nowhere", "f1", 150, 50))


def test_the_seed_decides_every_bit_and_whole_domains_are_reused(corpus: Path, tmp_path: Path) -> None:
    calls: list[str] = []

    def stop_after_base(done: float, message: str) -> bool:
        calls.append(message)
        return False

    with pytest.raises(CorpusError, match="stopped"):
        build_corpus(tmp_path, SIZES, seed=3, on_progress=stop_after_base)
    assert not list(tmp_path.glob("[0-9]*"))
    build_corpus(tmp_path, SIZES, seed=3, workers=1)
    assert digests(tmp_path) == digests(corpus)
    build_corpus(tmp_path, SIZES, seed=3, on_progress=stop_after_base)
    assert len(calls) == 1


@pytest.mark.parametrize("change", ["seed", "sizes", "foreign folder"])
def test_a_folder_with_something_else_is_left_alone(corpus: Path, tmp_path: Path, change: str) -> None:
    folder, sizes, seed = corpus, SIZES, 3
    if change == "seed":
        seed = 4
    elif change == "sizes":
        sizes = Sizes(base_train=13, base_test=6, update_train=6, update_test=4, updates=1)
    else:
        folder = tmp_path
        (folder / "0-base").mkdir()
        (folder / "0-base" / "precious.txt").write_text("mine")
    before = digests(folder)
    with pytest.raises(CorpusError, match="another corpus"):
        build_corpus(folder, sizes, seed)
    assert digests(folder) == before


def test_more_updates_can_be_added_later(corpus: Path, tmp_path: Path) -> None:
    build_corpus(tmp_path, Sizes(base_train=2, base_test=1, update_train=2, update_test=1, updates=0))
    before = digests(tmp_path)
    folders = build_corpus(tmp_path, Sizes(base_train=2, base_test=1, update_train=2, update_test=1, updates=1))
    assert [folder.name for folder in folders] == ["0-base", "1-athletes"]
    assert before.items() <= digests(tmp_path).items()
