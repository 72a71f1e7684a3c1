"""A method is one file and one line: what that line says is what all rooms go by, and what each method owes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("torch", reason="methods need torch: pip install 'diffserver[train]'")

from diffclient.diff.streams import Diff
from diffclient.payload.encode import encode
from diffclient.tensors.snapshot import Table, enter_grid
from diffserver.api.fields import PATTERN_NAME
from diffserver.catalog import versions
from diffserver.catalog.training_request import TrainingSpec
from diffserver.choices.methods import BASE, METHODS, Entry, Use, method_names
from diffserver.cli.train import demo
from diffserver.errors import Conflict, Invalid
from diffserver.experiment.plan import entries
from diffserver.methods.definition import Definition, load_definition
from diffserver.methods.method import MethodError, Packed, Retrained
from diffserver.methods.setting import Setting
from diffserver.pipeline import trials
from diffserver.pipeline.search.trial_search import MOST_TRAININGS
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Candidate
from diffserver.tasks import Task
from diffserver.training import clip_to_grid
from tests.server.conftest import Service
from tests.server.experiment.toy_experiments import FiledPoints, planned, run, write_domains
from tests.server.pipeline.home import Home
from tests.server.points import PointsTask, parameters_of

FILE = '''
"""The sparse mask, with coarser steps."""

from diffserver.methods.definition import Definition
from diffserver.methods.recipe import Recipe
from diffserver.methods.sparse import SparseDiff, SparseSchedule

class Coarse(SparseDiff):
    """Shorter payloads for the same weights."""

COARSE = Definition(Coarse, Recipe(steps=60, learning_rate=0.02), SparseSchedule(spread=1.5))
'''
BUDGET = 0.15

Add = Callable[[Use], None]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Add:
    """Adds the method `coarse`: its file, and a line of such uses."""
    (tmp_path / "coarse_method.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "coarse_method", raising=False)
    return lambda use: monkeypatch.setitem(METHODS, "coarse", Entry("coarse_method:COARSE", use))


@pytest.mark.parametrize("use", [Use.TRAINING, Use.EXPERIMENT])
def test_a_request_may_name_it_if_its_line_says_so(service: Service, add: Add, use: Use) -> None:
    service.publish_chain(0)
    body = {"kind": "update", "model": "speech", "data": "/data/speech", "method": "coarse"}

    def status() -> int:
        return service.operator.post("/v1/trainings", json=body).status_code

    assert status() == 422
    add(use)
    assert status() == (202 if use is Use.TRAINING else 422)


@pytest.mark.parametrize("use", [Use.TRAINING, Use.AUTO])
def test_auto_tries_it_if_its_line_says_so(add: Add, use: Use) -> None:
    table, _ = enter_grid(PointsTask().initial())

    def tried_methods() -> tuple[str, ...]:
        return trials.goal_of(TrainingSpec("update", "m", "/data", method="auto"), table).methods

    before = tried_methods()
    add(use)
    assert tried_methods() == (before if use is Use.TRAINING else (*before, "coarse"))


@pytest.mark.parametrize("use", [Use.TRAINING, Use.TRAINING | Use.PUBLISHED])
def test_the_demo_takes_it_if_its_diffs_can_be_published(add: Add, use: Use, tmp_path: Path) -> None:
    app = typer.Typer()
    demo.add_to(app)
    add(use)
    result = CliRunner().invoke(app, ["--method", "coarse", "--data", str(tmp_path / "nothing")])
    refused = isinstance(result.exception, Invalid) and "no diff is made by 'coarse'" in str(result.exception)
    assert refused == (Use.PUBLISHED not in use)
    assert refused or "0 folders" in str(result.exception)


def test_an_experiment_compares_it_if_its_line_says_so(add: Add, tmp_path: Path) -> None:
    add(Use.TRAINING)
    with pytest.raises(Invalid, match="no method 'coarse'"):
        entries(["coarse"], [BUDGET])
    add(Use.EXPERIMENT)
    results = run(planned(write_domains(tmp_path / "data"), "coarse:spread=1.2", updates=1), tmp_path / "kept")
    assert [(row.method, row.payload_share <= BUDGET) for row in results.runs] == [
        ("full", False),
        ("coarse:spread=1.2", True),
    ]


@pytest.mark.parametrize("use", [Use.TRAINING, Use.TRAINING | Use.PUBLISHED])
def test_a_training_by_it_becomes_a_candidate(add: Add, use: Use, tmp_path: Path) -> None:
    home, data = Home(tmp_path / "home"), write_domains(tmp_path / "data")

    def candidate(spec: TrainingSpec) -> Candidate:
        with writing(home.engine) as session:
            return versions.record_candidate(session, home.run(spec, find=find_task))

    def publish(row: Candidate) -> int:
        with writing(home.engine) as session:
            return versions.publish(session, row.id, force=True).number

    add(use)
    publish(candidate(TrainingSpec(BASE, "m", str(data), task="points", epochs=2)))  # type: ignore[arg-type]
    new = candidate(TrainingSpec("update", "m", str(data), task="points", method="coarse", budget=BUDGET))
    assert (new.method, new.number, bool(new.manifest)) == ("coarse", 1, Use.PUBLISHED in use)
    assert 0 < new.payload_share <= BUDGET
    if Use.PUBLISHED in use:
        assert publish(new) == 1
    else:
        with pytest.raises(Conflict, match="for comparison only"):
            publish(new)
    with reading(home.engine) as session:
        assert versions.find_model(session, "m").task == "points"


def find_task(name: str) -> Task:
    return FiledPoints()


def test_what_has_no_line_is_no_method() -> None:
    for name in ("coarse", "exact", "auto"):
        with pytest.raises(MethodError, match=f"no method '{name}'; known: base, full, sparse"):
            load_definition(name)


def test_uses_go_together() -> None:
    assert set(method_names(Use.AUTO)) <= set(method_names(Use.TRAINING | Use.PUBLISHED))
    assert len(method_names(Use.AUTO)) <= MOST_TRAININGS
    for name in METHODS:
        assert re.match(PATTERN_NAME, name)
        assert len(name) <= Candidate.__table__.c.method.type.length  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [name for name, entry in METHODS.items() if entry.definition])
def test_every_method_has_what_it_owes(name: str) -> None:
    entry, definition = METHODS[name], load_definition(name)
    assert isinstance(definition, Definition)
    assert definition.modules[0] == str(entry.definition).partition(":")[0], "its file holds its definition"
    assert all(import_module(module) for module in definition.modules)
    if Use.TRAINING in entry.use:
        assert definition.recipe
        assert (definition.teacher, definition.needs) == ("none", None), "the worker has neither"
    if definition.needs:
        pytest.importorskip(definition.needs)
    setting = toy_setting(definition)
    method = definition.make(setting)
    assert set(method.parts) <= set(method.parent) == set(setting.parent)
    assert parameters_of(method) or definition.recipe is None
    method.advance(0.0)
    result = method.result()
    if Use.PUBLISHED in entry.use and name != BASE:
        assert isinstance(result, Diff), "nothing else travels"
    assert payload_bytes(result, setting.table) <= setting.limit


def toy_setting(definition: Definition) -> Setting:
    task, rng = PointsTask(), np.random.default_rng(0)
    table, parent = enter_grid(task.initial())
    setting = Setting(parent, table, BUDGET, 0, task.network(0))
    if definition.teacher == "none":
        return setting
    moved = {name: array + rng.normal(0, 0.1, array.shape).astype(np.float32) for name, array in parent.items()}
    return replace(setting, full=dict(zip(parent, clip_to_grid.enter(table, moved), strict=True)))


def payload_bytes(result: Diff | Packed | Retrained, table: Table) -> int:
    if isinstance(result, Diff):
        return len(encode(result, table, "0" * 64))
    return len(result.payload) if isinstance(result, Packed) else 0
