"""Finding tasks: by name, by file, by module; what cannot be found or used says why, and what is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="tasks need torch: pip install 'diffserver[train]'")

from diffserver.tasks import Task, TaskError, load_task, open_task
from diffserver.tasks.registry import BUILT_IN, GROUP

TASK = """
from tests.server.points import PointsTask

class {kind}(PointsTask):
    name = "{name}"
"""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Tasks are kept by name: forget them, as what is installed changes here."""
    for loader in (load_task, open_task):
        loader.cache_clear()
    yield
    for loader in (load_task, open_task):
        loader.cache_clear()


PLAIN = """
from diffclient.release.metric import Metric
from diffserver.tasks.plain import PlainTask

class Mine(PlainTask):
    name = "mine"
"""


def write(path: Path, name: str = "mine", kind: str = "Mine", more: str = "") -> str:
    path.write_text(TASK.format(name=name, kind=kind) + more)
    return str(path)


def install(folder: Path, entry: str) -> None:
    """A package of one module with an entry point, as pip leaves it."""
    write(folder / "installed_task.py", "installed", "Installed")
    about = folder / "installed_task-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: installed-task\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[{GROUP}]\n{entry}\n")


def test_a_built_in_task_is_found_by_name_and_the_same_each_time() -> None:
    task: Task = load_task("asr")
    assert task.name == "asr"
    assert load_task("asr") is task


def test_the_page_on_tasks_names_those_that_are_built_in() -> None:
    page = (Path(__file__).parents[3] / "docs" / "tasks.md").read_text()
    assert f"the built-in {' and '.join(f'`{name}`' for name in BUILT_IN)};" in page


def test_a_task_is_found_in_a_file_of_its_own(tmp_path: Path) -> None:
    task = open_task(write(tmp_path / "task.py"))
    assert (task.name, type(task).__name__) == ("mine", "Mine")


def test_a_file_with_several_tasks_needs_a_class(tmp_path: Path) -> None:
    path = write(tmp_path / "task.py", more=TASK.format(name="other", kind="Other"))
    assert open_task(f"{path}:Other").name == "other"
    with pytest.raises(TaskError, match=r"several tasks: Mine, Other; name one of them, as .*task\.py:Mine"):
        open_task(path)


def test_a_task_is_found_in_a_module() -> None:
    assert open_task("tests.server.points:PointsTask").name == "points"


def test_a_task_of_an_installed_package_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "installed = installed_task:Installed")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_task("installed").name == open_task("installed").name == "installed"
    with pytest.raises(TaskError, match="known: asr, asr-words, delivery, installed;"):
        load_task("other")


def test_an_entry_point_of_another_name_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "other = installed_task:Installed")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TaskError, match="its name is 'installed', and its entry point's 'other'"):
        load_task("other")


def test_names_lead_to_the_files_that_are_allowed_and_no_others(tmp_path: Path) -> None:
    allowed, other = write(tmp_path / "allowed.py"), write(tmp_path / "other.py", "other")
    assert load_task("mine", (allowed,)).name == "mine"
    with Path(other).open("a") as file:
        file.write("\nfrom pathlib import Path\n(Path(__file__).parent / 'it ran').touch()\n")
    for name in (other, f"{other}:Mine", "other.py", "other:Mine", "tests.server.points:PointsTask", "mine"):
        with pytest.raises(TaskError, match="there is no task"):
            load_task(name, (allowed,) if name != "mine" else ())
    assert not (tmp_path / "it ran").exists()
    assert open_task(other).name == "other"
    assert (tmp_path / "it ran").exists()


def test_an_unknown_name_lists_what_is_known_and_how_to_add_one(tmp_path: Path) -> None:
    with pytest.raises(
        TaskError, match=r"no task 'vision'; known: asr, asr-words, delivery, mine; to add one, .*--task-file"
    ):
        load_task("vision", (write(tmp_path / "task.py"),))


def test_a_broken_file_is_in_no_ones_way_but_its_own(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import json\nclass Broken(Missing):\n    pass\n")
    files = (str(tmp_path / "broken.py"), write(tmp_path / "task.py"))
    assert load_task("mine", files).name == "mine"
    assert load_task("asr", files).name == "asr"
    with pytest.raises(TaskError, match=r"broken\.py:2: NameError: name 'Missing'"):
        load_task("broken", files)


@pytest.mark.parametrize("name", ["asr", "mine"])
def test_a_name_that_is_taken_is_told(tmp_path: Path, name: str) -> None:
    files = (write(tmp_path / "one.py"), write(tmp_path / "two.py", name))
    with pytest.raises(TaskError, match=rf"two\.py: there is another task of the name '{name}'"):
        load_task("unknown", files)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no class that is a task"),
        ("class Mine:\n    name = 'mine'\n    def loss(self): pass\n", "Mine lacks network, examples, size, batch"),
        (PLAIN, "Mine lacks build, loss, targets"),
        (PLAIN + "    build = targets = loss = None\n", "Mine does not say takes, scorer"),
        (TASK.format(name="Mine", kind="Mine"), "the task's name is 'Mine'"),
        (TASK.format(name="a/b", kind="Mine"), "the task's name is 'a/b'"),
        (TASK.format(name="x" * 65, kind="Mine"), "the task's name is 'xxx"),
        (TASK.format(name="mine", kind="Mine") + "    metric = 'WER'\n", "does not say its metric, as in metric ="),
        (PLAIN + "    metric = Metric('', 'words')\n", "a metric's name and what it counts are texts of 1 to 40"),
        (TASK.format(name="mine", kind="Mine") + "    def __init__(self, size): pass\n", r"Mine\(\) raises TypeError"),
        ("from diffserver.tasks import Task\nclass Mine(Task):\n    name = 'mine'\n", "Mine lacks network"),
    ],
)  # fmt: skip
def test_what_is_no_task_says_why(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "task.py").write_text(content)
    with pytest.raises(TaskError, match=message):
        open_task(str(tmp_path / "task.py"))


@pytest.mark.parametrize("text", ["", ":", "a.py:", "/nowhere/task.py", "no.such.module:Task", "json:dumps", "json:No"])
def test_what_leads_nowhere(text: str) -> None:
    with pytest.raises(TaskError):
        open_task(text)
