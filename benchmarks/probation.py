"""Count the corrupted models that pass probation: with the earlier probe sets, drawn by chance, and with chosen ones.

Take the latest version of each server's only model, an update (of the demo, or of the gestures), and corrupt its
weights in ways that choosing examples does not know: `python -m benchmarks.probation build/demo/server`. A corruption
does harm if it makes a point more of errors on 64 examples of each of the latest two domains.
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from zlib import crc32

import numpy as np

from diffclient.measure.error_count import Errors
from diffclient.measure.probation import TOLERANCE, chance_to_pass
from diffclient.tensors.snapshot import Array, Snapshot
from diffserver.catalog import versions
from diffserver.settings import Settings
from diffserver.storage.database import connect, reading
from diffserver.storage.object_store import Objects
from diffserver.storage.tables import Candidate, Model
from diffserver.tasks import Task, load_task, probe_choice

EARLIER = {"asr": (24, 8)}
"""Examples of a base and of an update before they were chosen, by task."""
EARLIER_PLAIN = (96, 32)
OF_A_KIND = 12
SAMPLE = 64
HARM = 0.01

Change = Callable[[str, Callable[[str], Array]], Array]
"""From a tensor's name, and what reads tensors, to its corrupted weights."""


class Corrupted(Snapshot):
    """A version whose weights are read through a change."""

    def __init__(self, path: Path, change: Change) -> None:
        super().__init__(path)
        self._change = change

    def read(self, name: str) -> Array:
        """Return one tensor's weights, corrupted."""
        return self._change(name, super().read)


def corruptions(version: Snapshot) -> Iterator[tuple[str, Change]]:
    """Return the ways in which weights are corrupted, each with its kind."""
    rng = np.random.default_rng(7)
    names = [spec.name for spec in version.table]
    shapes = {spec.name: spec.shape for spec in version.table}
    pairs = [pair for pair in combinations(names, 2) if shapes[pair[0]] == shapes[pair[1]]]
    share = 1 / sum(spec.size for spec in version.table)
    for bits in (1, 4, 16, 64):
        for seed in range(OF_A_KIND // 4):
            yield f"{bits} bits flipped", _flipped(bits * share, seed)
    for name in rng.permutation(names)[:OF_A_KIND]:
        yield "a tensor zeroed", _only(str(name), lambda weights: np.zeros_like(weights))
    for number in rng.permutation(len(pairs))[:OF_A_KIND]:
        yield "two tensors swapped", _swapped(*pairs[number])
    for number, name in enumerate(rng.permutation(names)[:OF_A_KIND]):
        factor = (0.5, 0.8, 1.2, 1.5)[number % 4]
        yield (
            "a tensor's scale off by 20 or 50 %",
            _only(str(name), _scaled(factor)),
        )
    for name in rng.permutation([name for name in names if len(shapes[name]) > 1])[:OF_A_KIND]:
        yield "a tensor's rows reversed", _only(str(name), lambda weights: weights[::-1].copy())
    for level in (0.2, 0.4, 0.6, 0.8, 1.0):
        for seed in range(OF_A_KIND // 3):
            yield "noise on every weight", partial(_noisy, level, seed)
    for bits in (2, 3, 4, 5, 6, 8):
        yield f"rounded to {bits} bits", partial(_rounded, bits)


def _only(target: str, change: Callable[[Array], Array]) -> Change:
    return lambda name, read: change(read(name)) if name == target else read(name)


def _scaled(factor: float) -> Callable[[Array], Array]:
    return lambda weights: weights * np.float32(factor)


def _swapped(first: str, second: str) -> Change:
    other = {first: second, second: first}
    return lambda name, read: read(other.get(name, name))


def _flipped(share: float, seed: int) -> Change:
    """Flip a bit in this share of all weights; what is not finite then becomes 0."""

    def change(name: str, read: Callable[[str], Array]) -> Array:
        rng, weights = np.random.default_rng([seed, crc32(name.encode())]), read(name)
        hit = rng.random(weights.shape) < share
        bits = weights.view(np.uint32) ^ (hit * np.left_shift(1, rng.integers(0, 32, weights.shape))).astype(np.uint32)
        flipped = bits.view(np.float32)
        return np.where(np.isfinite(flipped), flipped, 0).astype(np.float32)

    return change


def _noisy(level: float, seed: int, name: str, read: Callable[[str], Array]) -> Array:
    """Add noise of a share of a tensor's own spread."""
    weights, rng = read(name), np.random.default_rng([seed, crc32(name.encode())])
    return np.asarray(weights + level * weights.std() * rng.standard_normal(weights.shape), np.float32)


def _rounded(bits: int, name: str, read: Callable[[str], Array]) -> Array:
    """Round a matrix to whole steps of a scale of its own, as runtimes of whole numbers do."""
    weights = read(name)
    if weights.ndim < 2 or not weights.any():
        return weights
    step = np.abs(weights).max() / (2 ** (bits - 1) - 1)
    return np.asarray(np.round(weights / step) * step, np.float32)


@dataclass(frozen=True)
class Probed:
    """A probe set: its parts, and the errors of the version on each."""

    parts: Sequence[Path]
    right: Sequence[Errors]

    @property
    def known(self) -> int:
        """Items that the version gets right."""
        return sum(errors.total - errors.errors for errors in self.right)

    def passes(self, measured: Sequence[Errors]) -> bool:
        """Tell whether a device that measures this would switch."""
        pairs = zip(measured, self.right, strict=True)
        return sum(abs(found.errors - errors.errors) for found, errors in pairs) <= TOLERANCE


@dataclass
class Count:
    """Corruptions of a kind, those that do harm, and how many of these pass: as counted, and as the formula says."""

    tried: int = 0
    harmful: int = 0
    passed_earlier: int = 0
    passed_chosen: int = 0
    expected_earlier: float = 0.0
    expected_chosen: float = 0.0


@dataclass(frozen=True)
class Subject:
    """A version to corrupt, and its probe sets."""

    task: Task
    graph: Path
    version: Snapshot
    sample: Probed
    earlier: Probed
    chosen: Probed

    def run(self) -> dict[str, Count]:
        """Try all corruptions, and return the counts by kind."""
        counts: dict[str, Count] = {}
        for kind, change in corruptions(self.version):
            count = counts.setdefault(kind, Count())
            sets = (self.sample, self.earlier, self.chosen)
            errors = list(
                self.task.score(self.graph, Corrupted(self.version.path, change), [p for s in sets for p in s.parts])
            )
            sample, earlier, chosen = (errors[2 * place : 2 * place + 2] for place in range(3))
            more = sum(found.errors for found in sample) - sum(right.errors for right in self.sample.right)
            count.tried += 1
            if more < HARM * sum(right.total for right in self.sample.right):
                continue
            share = min(0.999, more / self.sample.known)
            count.harmful += 1
            count.passed_earlier += self.earlier.passes(earlier)
            count.passed_chosen += self.chosen.passes(chosen)
            count.expected_earlier += chance_to_pass(self.earlier.known, share)
            count.expected_chosen += chance_to_pass(self.chosen.known, share)
            sys.stderr.write(f"\r{self.task.name}: {kind}, {count.tried}   ")
        return counts


def subject(home: Path, task_files: Sequence[str], folder: Path) -> tuple[Subject, Candidate]:
    """Return the latest version of a server's only model with its probe sets, and its candidate."""
    settings = Settings.under(home)
    objects = Objects(settings.objects)
    with reading(connect(settings.database)) as session:
        (model,) = session.query(Model).all()
        head = versions.head(session, model.name)
        assert head is not None
        candidate = head.candidate
    task = load_task(model.task, tuple(task_files))
    graph = objects.download(candidate.graph.sha256, folder / "graph")
    version = Snapshot(objects.download(candidate.snapshot.sha256, folder / "version"))
    domains = [Path(candidate.data) / candidate.domains[place] for place in (0, -1)]

    def probed(name: str, *data: bytes) -> Probed:
        parts = [folder / f"{name}-{place}" for place in range(len(data))]
        for part, content in zip(parts, data, strict=True):
            part.write_bytes(content)
        return Probed(parts, list(task.score(graph, version, parts)))

    def drawn(domain: Path, count: int, seed: int) -> bytes:
        everything = len(task.examples(domain, "test"))
        numbers = np.random.default_rng(seed).permutation(everything)[:count]
        return task.probe(domain, "test", sorted(numbers.tolist()))

    counts = EARLIER.get(task.name, EARLIER_PLAIN)
    earlier = probed("earlier", *(drawn(*pair, seed=candidate.number) for pair in zip(domains, counts, strict=True)))
    pools = [
        probe_choice.draw(task, domain, graph, version, seed, folder / domain.name)
        for seed, domain in enumerate(domains)
    ]
    base = probe_choice.sample(pools[0], probe_choice.of_base(candidate.snapshot.length))
    known = sum(errors.total - errors.errors for errors in probed("base", base).right)
    assert candidate.payload is not None
    new = probe_choice.decisive(pools[1], probe_choice.of_update(candidate.payload.length, known))
    sample = probed("sample", *(drawn(domain, SAMPLE, seed=99) for domain in domains))
    return Subject(task, graph, version, sample, earlier, probed("chosen", base, new)), candidate


def figures(name: str, found: Subject, candidate: Candidate) -> dict[str, object]:
    """Corrupt a version in all ways and return the figures, by kind and together."""
    counts = found.run()
    kinds = {kind: {key: round(value, 4) for key, value in asdict(count).items()} for kind, count in counts.items()}
    total = {key: round(math.fsum(kind[key] for kind in kinds.values()), 2) for key in asdict(Count())}
    sets = {
        label: {
            "part_bytes": [part.stat().st_size for part in probe.parts],
            "items": [errors.total for errors in probe.right],
            "known": probe.known,
            "chance_to_pass_at_a_tenth": chance_to_pass(probe.known, 0.1),
        }
        for label, probe in (("earlier", found.earlier), ("chosen", found.chosen))
    }
    payload = candidate.payload.length if candidate.payload else None
    return {"model": name, "payload_bytes": payload, "probe_sets": sets, "total": total, "kinds": kinds}


def main() -> None:
    """Measure each server's model and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("homes", type=Path, nargs="+", help="Homes of servers whose latest version is an update.")
    parser.add_argument("--task-file", action="append", default=[], help="Where tasks are that are not built in.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the figures here.")
    options = parser.parse_args()
    results = []
    for home in options.homes:
        with tempfile.TemporaryDirectory() as folder:
            found, candidate = subject(home, options.task_file, Path(folder))
            results.append(figures(found.task.name, found, candidate))
        print(json.dumps({key: results[-1][key] for key in ("model", "probe_sets", "total")}))
    if options.json:
        options.json.write_text(json.dumps({"tolerance": TOLERANCE, "models": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
