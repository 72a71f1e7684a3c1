"""A worker and the tasks that it was started with."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="a worker needs torch: pip install 'diffserver[train]'")

from diffserver.catalog import training_queue
from diffserver.catalog.training_request import TrainingSpec
from diffserver.cli.host import serve
from diffserver.errors import Invalid, SettingsError
from diffserver.logs import make_log
from diffserver.pipeline.worker import Worker
from diffserver.settings import Settings
from diffserver.storage import migrate
from diffserver.storage.database import connect, reading, writing
from diffserver.storage.object_store import Objects

TASK = """
from tests.server.points import PointsTask

class Mine(PointsTask):
    name = "mine"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home whose worker may run two files, one of them broken."""
    (tmp_path / "mine.py").write_text(TASK)
    (tmp_path / "broken.py").write_text("x = 1\nimport no_such_module\n")
    files = f"{tmp_path}/broken.py,{tmp_path}/mine.py"
    worker_settings = Settings.from_environment({"DIFFSERVER_HOME": str(tmp_path), "DIFFSERVER_TASK_FILES": files})
    migrate.upgrade(connect(worker_settings.database))
    return worker_settings


def failure(settings: Settings, task: str, data: Path, checkpoint: str | None = None) -> str:
    """What a worker records of the training of a base that cannot be trained."""
    engine = connect(settings.database)
    with writing(engine) as session:
        spec = TrainingSpec("base", task, str(data), task=task, checkpoint=checkpoint)
        number = training_queue.submit(session, spec).id
    Worker(engine, settings).run(once=True)
    with reading(engine) as session:
        training = training_queue.find(session, number)
        assert training.state == "failed"
        return training.error or ""


def test_a_worker_tells_of_its_tasks_and_of_what_is_wrong_with_them(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("diffserver.pipeline.worker.log", make_log(stream))
    Worker(connect(settings.database), settings).run(once=True)
    events = {line["event"]: line for line in map(json.loads, stream.getvalue().splitlines())}
    assert events["task found"]["task"] == "mine"
    assert "broken.py:2: ModuleNotFoundError" in events["task file cannot be used"]["error"]


def test_its_own_tasks_are_found_by_name_and_others_are_told(settings: Settings, tmp_path: Path) -> None:
    assert "no new domain" in failure(settings, "mine", tmp_path), "the task is there, its data is not"
    unknown = failure(settings, "vision", tmp_path)
    assert "there is no task 'vision'; known: asr, asr-words, delivery, mine" in unknown
    assert "broken.py:2" in unknown


@pytest.mark.parametrize("name", ["\\ud800", "a\\u0000b", "\\u001b[31m"])
@pytest.mark.parametrize("dtype", ["F32", "F99"])
def test_a_checkpoint_with_a_name_that_nobody_can_write_fails(
    settings: Settings, tmp_path: Path, name: str, dtype: str
) -> None:
    (data := tmp_path / "data" / "0-base").mkdir(parents=True)
    (data / "test.jsonl").write_text("{}\n")
    header = f'{{"{name}": {{"dtype": "{dtype}", "shape": [1], "data_offsets": [0, 4]}}}}'.encode()
    checkpoint = Objects(settings.objects).put(len(header).to_bytes(8, "little") + header + bytes(4))
    message = failure(settings, "mine", data.parent, checkpoint.sha256)
    assert message
    assert message.isprintable()


@pytest.mark.parametrize("command", [serve.serve, serve.worker])
def test_a_task_file_that_is_not_there_is_told_at_once(command: object, tmp_path: Path) -> None:
    assert callable(command)
    with pytest.raises(Invalid, match=r"there is no task file .*/gone\.py"):
        command(home=tmp_path, task_file=[f"{tmp_path}/gone.py:Gone"])
    with pytest.raises(SettingsError, match="DIFFSERVER_TASK_FILES"):
        command(home=tmp_path, task_file=["package.module:Task"])
