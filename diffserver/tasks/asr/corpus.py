"""Make the reference corpus from a seed: a folder for each domain with `train.jsonl`, `test.jsonl` and FLAC audio.

The test splits have voices that training does not have. A domain's folder appears only when it is complete, and a
second call with the same sizes and seed reuses it. Sentences are left to `commands`, speech to `synthesis`.
"""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soundfile

from diffclient.measure.log_mel import SAMPLE_RATE, Samples
from diffserver.tasks.asr.commands import DOMAINS, sentence
from diffserver.tasks.asr.domain import Domain
from diffserver.tasks.asr.synthesis import ACCENTS, TEST_VARIANTS, TRAIN_VARIANTS, Voice, synthesiser
from diffserver.tasks.errors import CorpusError

CORPUS_VERSION = 1
SHARD = 500  # utterances that one fresh process speaks: the engine keeps state, so shards fix the bits

OnProgress = Callable[[float, str], bool]


@dataclass(frozen=True)
class Sizes:
    """The utterances in each split, and the number of updates."""

    base_train: int = 4000
    base_test: int = 400
    update_train: int = 1000
    update_test: int = 400
    updates: int = 5

    def of(self, domain: Domain, split: str) -> int:
        """Return the number of utterances in `domain`'s `split`."""
        role = "update" if domain.new else "base"
        return int(getattr(self, f"{role}_{split}"))


@dataclass(frozen=True)
class Shard:
    """The utterances that one process makes: `first` to `first + count - 1` of a domain's split."""

    domain: int
    split: str
    first: int
    count: int
    seed: int
    folder: str


def build_corpus(
    folder: Path,
    sizes: Sizes = Sizes(),
    seed: int = 0,
    on_progress: OnProgress | None = None,
    workers: int | None = None,
) -> list[Path]:
    """Make the corpus under `folder`, or reuse it; return the domains' folders in name order, the base first.

    Raises CorpusError if a domain's folder holds something else, espeak-ng is missing, or `on_progress` returns False.
    """
    folder.mkdir(parents=True, exist_ok=True)
    domains = DOMAINS[: 1 + sizes.updates]
    stamp = {"version": CORPUS_VERSION, "seed": seed, **asdict(sizes), "updates": 0}
    missing = [i for i, domain in enumerate(domains) if not _is_there(folder / domain.name, stamp)]
    shards = [shard for i in missing for shard in _shards(folder, i, sizes, seed)]
    for i in missing:
        _start_afresh(_beside(folder, domains[i]))
    for count, name in enumerate(_speak_all(shards, workers), start=1):
        if on_progress and not on_progress(count / len(shards), f"corpus {name}"):
            raise CorpusError("stopped while making the corpus; the next run starts with the domains that are whole")
    for i in missing:
        _publish(folder, domains[i], stamp)
    return [folder / domain.name for domain in domains]


def _is_there(folder: Path, stamp: dict[str, int]) -> bool:
    if not folder.exists():
        return False
    path = folder / "corpus.json"
    if path.exists() and json.loads(path.read_text()) == stamp:
        return True
    raise CorpusError(f"{folder} holds another corpus: remove it or choose another folder")


def _beside(folder: Path, domain: Domain) -> Path:
    return folder / f".{domain.name}.partial"


def _start_afresh(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "audio").mkdir(parents=True)


def _shards(folder: Path, index: int, sizes: Sizes, seed: int) -> Iterator[Shard]:
    domain = DOMAINS[index]
    for split in ("train", "test"):
        total = sizes.of(domain, split)
        for first in range(0, total, SHARD):
            count = min(SHARD, total - first)
            yield Shard(index, split, first, count, seed, str(_beside(folder, domain)))


def _speak_all(shards: Sequence[Shard], workers: int | None) -> Iterator[str]:
    if not shards:
        return
    # A fresh interpreter for each shard: see `synthesis` on the engine's state.
    with ProcessPoolExecutor(
        workers or min(len(shards), os.cpu_count() or 1), get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        try:
            for future in as_completed([pool.submit(speak_shard, shard) for shard in shards]):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def speak_shard(shard: Shard) -> str:
    """Speak one shard's utterances into its folder and write their manifest; return the domain's name."""
    domain, folder = DOMAINS[shard.domain], Path(shard.folder)
    key = f"{shard.seed}/{domain.name}/{shard.split}/{shard.first}"
    rng, noise = random.Random(key), np.random.default_rng(list(key.encode()))
    variants = TEST_VARIANTS if shard.split == "test" else TRAIN_VARIANTS
    lines = []
    with synthesiser() as engine:
        for number in range(shard.first, shard.first + shard.count):
            text, voice = sentence(domain, rng), _voice(rng, variants)
            samples = _recorded(engine.speak(text, voice), noise)
            path = f"audio/{shard.split}-{number:05d}.flac"
            soundfile.write(folder / path, samples, SAMPLE_RATE, subtype="PCM_16")
            lines.append(_line(path, text, len(samples) / SAMPLE_RATE, voice))
    (folder / f"{shard.split}.{shard.first:06d}.part").write_text("".join(lines))
    return domain.name


def _voice(rng: random.Random, variants: Sequence[str]) -> Voice:
    return Voice(rng.choice(ACCENTS), rng.choice(variants), rng.randint(130, 175), rng.randint(35, 65))


def _recorded(samples: Samples, rng: np.random.Generator) -> Samples:
    """Return the utterance as recorded in a room: with silence around it, coloured noise and a random gain."""
    before, after = rng.integers(800, 4000, 2)
    speech = np.pad(samples, (int(before), int(after)))
    size = 1 << len(speech).bit_length()  # the Fourier transform of a prime length is slow
    spectrum = np.fft.rfft(rng.standard_normal(size))
    spectrum *= (1 + np.arange(len(spectrum))) ** -rng.uniform(0, 0.8)  # between white and nearly pink
    noise = np.fft.irfft(spectrum)[: len(speech)]
    loudness = float(np.sqrt(np.mean(samples**2)))
    level = loudness * 10 ** (-rng.uniform(20, 40) / 20) / float(np.sqrt(np.mean(noise**2)))
    mixed = speech + level * noise
    return np.asarray(mixed * (rng.uniform(0.2, 0.9) / np.abs(mixed).max()), np.float32)


def _line(path: str, text: str, duration: float, voice: Voice) -> str:
    speaker = f"{voice.accent.rpartition('/')[2]}+{voice.variant}"
    entry = {"audio_filepath": path, "text": text, "duration": round(duration, 4), "speaker": speaker}
    return json.dumps(entry) + "\n"


def _publish(folder: Path, domain: Domain, stamp: dict[str, int]) -> None:
    partial = _beside(folder, domain)
    for split in ("train", "test"):
        parts = sorted(partial.glob(f"{split}.*.part"))
        (partial / f"{split}.jsonl").write_text("".join(part.read_text() for part in parts))
        for part in parts:
            part.unlink()
    (partial / "corpus.json").write_text(json.dumps(stamp))
    partial.rename(folder / domain.name)
