"""What an experiment has finished is taken up again, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from diffserver.experiment import chain
from diffserver.experiment.cache import WEIGHTS, Cache, Record
from diffserver.experiment.results import Failure, Row
from diffserver.experiment.version_bench import Bench
from tests.server.experiment.toy_experiments import DOMAINS, FiledPoints, planned, run, write_domain, write_domains
from tests.server.points import as_version


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_domains(tmp_path_factory.mktemp("points"))


def test_a_killed_run_goes_on_where_it_was(data: Path, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def hear(done: float, message: str) -> None:
        if message.startswith("step 30 "):
            trainings.append(message)
            if len(trainings) == 4:  # the base, the full chain's two, and in the midst of the third
                raise Killed

    trainings: list[str] = []
    toy_plan = planned(data, "lora")
    bench = Bench(FiledPoints(), toy_plan, Cache(tmp_path), hear)
    rows: list[Row | Failure] = []
    with pytest.raises(Killed):
        rows.extend(chain.run(bench))
    assert len(list(tmp_path.rglob("record.json"))) == 3
    assert not list(tmp_path.rglob("*.partial"))
    heard: list[str] = []
    run(toy_plan, tmp_path, heard)
    assert len([message for message in heard if message.startswith("step 1 ")]) == 2
    assert len(list(tmp_path.rglob("record.json"))) == 5


def test_more_updates_and_methods_build_on_what_is_there(data: Path, tmp_path: Path) -> None:
    run(planned(data, "bitdelta", updates=1), tmp_path)
    before = {path.name for path in (tmp_path / "versions").iterdir()}
    assert len(before) == 3  # the base, its full retraining, which is also the teacher, and the diff
    run(planned(data, "bitdelta", "lora", updates=2), tmp_path)
    after = {path.name for path in (tmp_path / "versions").iterdir()}
    assert before < after
    assert len(after) == 3 + 3 + 2  # full, teacher and diff of update 2, and LoRA's two


def edit(folder: Path) -> None:
    (folder / "1-classes" / "train.jsonl").write_text(json.dumps({"labels": [5], "count": 201, "seed": 1}))


@pytest.mark.parametrize(("change", "trainings"), [("data", 2), ("seed", 3), ("budget", 1), ("parameter", 1)])
def test_what_decides_a_result_makes_it_anew(data: Path, tmp_path: Path, change: str, trainings: int) -> None:
    folder = tmp_path / "data"
    for number in (0, 1):
        write_domain(folder / f"{number}-classes", DOMAINS[number], seed=number)
    run(planned(folder, "lora", updates=1), tmp_path / "kept")
    if change == "data":
        edit(folder)
    toy_plan = planned(
        folder,
        "lora:steps=40" if change == "parameter" else "lora",
        budget=0.1 if change == "budget" else 0.15,
        seeds=(int(change == "seed"),),
        updates=1,
    )
    heard: list[str] = []
    run(toy_plan, tmp_path / "kept", heard)
    assert len([message for message in heard if message.startswith("step 1 ")]) == trainings


def test_results_of_other_code_are_taken_only_when_asked_for(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.version({"a": 1}, "now") is None
    with cache.draft({"a": 1}) as draft:
        digest = as_version(draft / WEIGHTS, {"w": np.ones(3, np.float32)}).digest()
        cache.keep(draft, {"a": 1}, Record(digest, 0, 1.0, "then"))
    assert cache.version({"a": 1}, "now") is None
    assert cache.version({"a": 2}, "then") is None
    for version in (cache.version({"a": 1}, "then"), Cache(tmp_path, any_code=True).version({"a": 1}, "now")):
        assert version is not None
        assert version.digest == digest


def test_damaged_weights_are_not_taken(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.draft({}) as draft:
        digest = as_version(draft / WEIGHTS, {"w": np.ones(3, np.float32)}).digest()
        version = cache.keep(draft, {}, Record(digest, 0, 1.0, "now"))
    content = bytearray((version.folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (version.folder / WEIGHTS).write_bytes(content)
    assert cache.version({}, "now") is None
