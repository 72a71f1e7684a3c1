"""The fingerprint of the code: every file that decides a result changes it, comments and other files do not."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="tasks need torch: pip install 'diffserver[train]'")

from diffserver.experiment.code_fingerprint import fingerprint
from diffserver.tasks import load_task, open_task

TASK = '''
"""A task."""
from tests.server.points import PointsTask
import beside
from folder_of_it import nothing

class Mine(PointsTask):
    name = "mine"

    def late(self):
        import lazily
'''
FILES = {
    "task.py": TASK,
    "beside.py": "from deeper import NUMBER",
    "deeper.py": "NUMBER = 1",
    "lazily.py": "",
    "folder_of_it/__init__.py": "nothing = 0",
    "other.py": "x = 1",
}


def code_of(folder: Path) -> str:
    return fingerprint((), open_task(str(folder / "task.py")))


def write(folder: Path, **changed: str) -> Path:
    for name, content in (FILES | changed).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def test_a_task_of_a_file_is_known_by_its_code_wherever_it_lies(tmp_path: Path) -> None:
    expected = code_of(write(tmp_path / "one"))
    changes = {
        "elsewhere": ({}, True),
        "comments": ({"task.py": TASK + "# a comment\n", "deeper.py": '"""Text."""\nNUMBER = 1  # one'}, True),
        "a file that it does not import": ({"other.py": "x = 2"}, True),
        "its code": ({"task.py": TASK.replace('"mine"', '"other"')}, False),
        "what is imported by what it imports": ({"deeper.py": "NUMBER = 2"}, False),
    }
    for number, (name, (changed, same)) in enumerate(changes.items()):
        assert (code_of(write(tmp_path / str(number), **changed)) == expected) is same, name


def test_a_task_of_a_package_and_a_methods_module_count() -> None:
    import diffserver.methods.full
    import diffserver.methods.sparse

    asr = load_task("asr")
    methods = [diffserver.methods.full, diffserver.methods.sparse]
    assert len({fingerprint((), asr), *(fingerprint((method,), asr) for method in methods)}) == 3
    assert fingerprint(methods, asr) == fingerprint(methods, asr)
