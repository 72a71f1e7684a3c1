"""Code by its name: found in modules and files, and told with cause and line where it cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from diffclient.errors import NoSuchCode
from diffclient.measure import load_code

COUNTING = """
import dataclasses
import beside_it

@dataclasses.dataclass
class Count:
    number: "int" = beside_it.NUMBER
    runs = []

Count.runs.append(1)
"""


def test_a_module_and_a_file_are_found(tmp_path: Path) -> None:
    (tmp_path / "counting.py").write_text(COUNTING)
    (tmp_path / "beside_it.py").write_text("NUMBER = 7")
    assert load_code.load("json:dumps") is __import__("json").dumps
    kind = load_code.load(f"{tmp_path}/counting.py:Count")
    assert kind().number == 7
    assert load_code.load(f"{tmp_path}/../{tmp_path.name}/counting.py:Count").runs == [1], "run once, whatever its path"


LATE = """
import package_beside_it

def early(): return package_beside_it.inner()

def late():
    import also_beside_it
"""


def test_what_is_beside_a_file_can_be_imported_while_the_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package := tmp_path / "package_beside_it").mkdir()
    (package / "__init__.py").write_text("def inner():\n    from package_beside_it import part\n    return part.NUMBER")
    (package / "part.py").write_text("NUMBER = 8")
    (tmp_path / "also_beside_it.py").write_text("")
    (tmp_path / "late.py").write_text(LATE)
    before = list(sys.path)
    late = load_code.load_module(f"{tmp_path}/late.py")
    assert sys.path == before
    assert late.early() == 8, "a package that was imported finds its parts later, too"
    with pytest.raises(ModuleNotFoundError):
        late.late()
    monkeypatch.syspath_prepend(tmp_path)
    load_code.load_module(f"{tmp_path}/also_beside_it.py")
    assert str(tmp_path) in sys.path, "what someone else put there stays"


def test_a_file_hides_no_module_and_no_other_file(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "json.py").write_text(f"NAME = {folder!r}")
    assert [load_code.load(f"{tmp_path}/{folder}/json.py:NAME") for folder in ("one", "two")] == ["one", "two"]
    assert sys.modules["json"].dumps([1]) == "[1]"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("x = 1\ny = z\n", r"code\.py:2: NameError: name 'z'"),
        ("x = 1\n\nimport no_such_module\n", r"code\.py:3: ModuleNotFoundError: No module named 'no_such_module'"),
        ("x = (\n", r"code\.py:1: SyntaxError"),
        ("import sys\nsys.exit(3)\n", r"code\.py:2: SystemExit: 3"),
        ("import json\njson.loads('{')\n", r"JSONDecodeError"),
        ("x = 1\n", "has no 'thing'"),
    ],
)
def test_what_fails_is_told_with_its_line(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "code.py").write_text(content)
    before = set(sys.modules)
    with pytest.raises(NoSuchCode, match=told):
        load_code.load(f"{tmp_path}/code.py:thing")
    if "has no" not in told:
        assert not {name for name in set(sys.modules) - before if name.startswith("code_")}


def test_a_file_that_was_mended_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("thing = missing")
    with pytest.raises(NoSuchCode):
        load_code.load(f"{tmp_path}/code.py:thing")
    (tmp_path / "code.py").write_text("thing = 'found'  ")
    assert load_code.load(f"{tmp_path}/code.py:thing") == "found"


@pytest.mark.parametrize(
    "name", ["", ":", "json", "json:", ":dumps", "no.such:thing", "/nowhere/code.py:thing", "json:no_such", "a b:c"]
)
def test_names_of_nothing(name: str) -> None:
    with pytest.raises(NoSuchCode):
        load_code.load(name)
