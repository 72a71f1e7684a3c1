"""Parts of the probe set: a sample or what decides, and as long as their bytes allow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffclient.measure.error_count import Errors
from diffclient.measure.probation import TOLERANCE, chance_to_pass
from diffclient.tensors.snapshot import Snapshot
from diffserver.tasks import probe_choice
from diffserver.tasks.probe_choice import LEAST, MOST, POOL, SHARE, WHOLE, Pool, Wish
from tests.server.points import PointsTask, as_version

ROOM = 1 << 20


class Over(PointsTask):
    """Tells whether numbers exceed the one weight: those just over it are decided by little noise."""

    def examples(self, folder: Path, split: str) -> list[Any]:
        numbers: list[Any] = json.loads((folder / f"{split}.json").read_text())
        return numbers

    def probe(self, folder: Path, split: str, numbers: Sequence[int]) -> bytes:
        examples = self.examples(folder, split)
        return f"[{', '.join(f'{examples[number]:.7f}' for number in numbers)}]".encode()  # each equally long

    def score(self, graph: Path, weights: Snapshot, parts: Sequence[Path]) -> list[Errors]:
        bound = weights.read("bound").sum()
        return [
            Errors(sum(number < bound for number in part), len(part))
            for part in (json.loads(path.read_text()) for path in parts)
        ]


@pytest.fixture
def domain(tmp_path: Path) -> Path:
    """Numbers over the bound, 1, by ever more."""
    folder = tmp_path / "domain"
    folder.mkdir()
    over = [round(1 + 0.02 * (number + 1), 2) for number in range(POOL)]
    np.random.default_rng(0).shuffle(over)
    (folder / "test.json").write_text(json.dumps(over))
    return folder


@pytest.fixture
def pool(domain: Path, tmp_path: Path) -> Pool:
    version = as_version(tmp_path / "0", {"bound": np.full(1, 1.0, np.float32)})
    return probe_choice.draw(Over(), domain, tmp_path / "graph", version, 0, tmp_path / "probes")


def test_a_sample_is_as_it_was_drawn(pool: Pool) -> None:
    part = json.loads(probe_choice.sample(pool, Wish(2, 10, ROOM)))
    examples = pool.task.examples(pool.domain, "test")
    assert part == [examples[number] for number in sorted(pool.numbers[:10])]


def test_an_updates_examples_are_those_on_which_disturbed_weights_err_soonest(pool: Pool) -> None:
    part = json.loads(probe_choice.decisive(pool, Wish(2, 4, ROOM)))
    assert sorted(part) == sorted(pool.task.examples(pool.domain, "test"))[:4]


def test_what_rounding_decides_comes_last(pool: Pool, domain: Path, tmp_path: Path) -> None:
    examples = pool.task.examples(pool.domain, "test")
    (domain / "test.json").write_text(json.dumps([*examples, 1 + 1e-6]))
    (tmp_path / "again").mkdir()
    numbers = [*pool.numbers[:20], len(examples)]
    parts = [tmp_path / "again" / str(number) for number in numbers]
    for number, path in zip(numbers, parts, strict=True):
        path.write_bytes(pool.task.probe(domain, "test", [number]))
    # With one seed of two such a number is decided by half precision's rounding.
    unsteady = Pool(pool.task, domain, pool.graph, pool.version, numbers, parts)
    with_it = json.loads(probe_choice.decisive(unsteady, Wish(2, len(numbers), ROOM)))
    without = json.loads(probe_choice.decisive(unsteady, Wish(2, len(numbers) - 1, ROOM)))
    assert set(with_it) - set(without) == {1 + 1e-6}


@pytest.mark.parametrize(
    ("limit", "least", "most", "items"),
    [
        pytest.param(ROOM, 2, 10, 10, id="all that is wished"),
        pytest.param(ROOM, 2, 1000, POOL, id="all that there is"),
        pytest.param(0, 2, 10, 2, id="never fewer than tell anything"),
        pytest.param(0, 1000, 2000, POOL, id="not even those are there"),
    ],
)
def test_a_part_has_as_many_items_as_are_wished(pool: Pool, limit: int, least: int, most: int, items: int) -> None:
    for choose in (probe_choice.sample, probe_choice.decisive):
        assert len(json.loads(choose(pool, Wish(least, most, limit)))) == items


@pytest.mark.parametrize("limit", [60, 100, 200])
def test_a_part_is_as_long_as_its_bytes_allow(pool: Pool, limit: int) -> None:
    part = probe_choice.decisive(pool, Wish(2, POOL, limit))
    longer = probe_choice.decisive(pool, Wish(len(json.loads(part)) + 1, POOL, 0))
    assert len(part) <= limit < len(longer)


def test_what_is_wished() -> None:
    assert probe_choice.of_base(4000) == Wish(LEAST, WHOLE, int(SHARE * 4000))
    assert probe_choice.of_update(4000, known=WHOLE) == Wish(LEAST, MOST, int(SHARE * 4000))
    assert probe_choice.of_update(4000, known=0) == Wish(WHOLE, WHOLE, int(SHARE * 4000))


def test_the_fewest_items_tell_what_is_said_of_them() -> None:
    assert chance_to_pass(WHOLE, 0.1) < 0.01 < chance_to_pass(WHOLE - 1, 0.1)
    assert chance_to_pass(LEAST, 1.0) == 0 < chance_to_pass(LEAST - 1, 1.0)
    assert LEAST > TOLERANCE


def test_few_examples_are_all_drawn(domain: Path, pool: Pool, tmp_path: Path) -> None:
    (domain / "test.json").write_text("[1.5, 2.5]")
    few = probe_choice.draw(pool.task, domain, pool.graph, pool.version, 0, tmp_path / "few")
    assert sorted(few.numbers) == [0, 1]
    assert json.loads(probe_choice.sample(few, Wish(1, 10, ROOM))) == [1.5, 2.5]
