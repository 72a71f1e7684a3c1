"""The directions of imports: what a device installs stays light, and torch and the database do not meet."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN_ON_DEVICES = {
    "torch",
    "fastapi",
    "starlette",
    "uvicorn",
    "sqlalchemy",
    "alembic",
    "onnx",
    "diffserver",
    "obstore",
}
TRAINING = ("diffserver.training", "diffserver.methods", "diffserver.tasks", "diffserver.experiment")
DATABASE = (
    "diffserver.tables",
    "diffserver.database",
    "diffserver.catalog",
    "diffserver.jobs",
    "diffserver.fleet",
    "diffserver.leases",
    "diffserver.trust",
)
SERVING = ("diffserver.app", "diffserver.api")
JOIN = {
    f"diffserver.{name}" for name in ("pipeline", "worker", "parent", "work", "learn", "tries", "self_apply", "assess")
}


def modules(package: Path) -> dict[str, Path]:
    """All modules below a package, by dotted name."""
    root = package.parent
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in package.rglob("*.py")
    }


def imports(name: str, path: Path) -> Iterator[str]:
    """The dotted names that a module imports, wherever in it, relative ones resolved."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            origin = ".".join(filter(None, [above, node.module]))
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


CLIENT = modules(ROOT / "client" / "diffclient")
SERVER = modules(ROOT / "diffserver")


@pytest.mark.parametrize("name", CLIENT)
def test_the_client_imports_nothing_heavy_and_nothing_of_the_server(name: str) -> None:
    assert not {found.partition(".")[0] for found in imports(name, CLIENT[name])} & FORBIDDEN_ON_DEVICES


def reached(start: str) -> set[str]:
    """All modules of the server that importing `start` may bring in."""
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [found for found in imports(name, SERVER[name]) if found in SERVER]
    return seen


@pytest.mark.parametrize("name", [name for name in SERVER if name.startswith(TRAINING)])
def test_training_never_reaches_the_database(name: str) -> None:
    assert not [found for found in reached(name) if found.startswith(DATABASE + SERVING)]


@pytest.mark.parametrize("name", [name for name in SERVER if name.startswith(DATABASE + SERVING)])
def test_serving_never_reaches_training(name: str) -> None:
    assert not [found for found in reached(name) if found.startswith(TRAINING) or found in JOIN]


SPEECH = re.compile(
    r"audio|utteranc|speech|spoken|speak|ctc|phone|voice|transcri|recogni[sz]|letters|soundfile|jiwer|soxr"
)
ABOUT_SPEECH = ("diffserver.tasks.asr", "diffserver.demo", "diffserver.cli.demo")
"""The demo's job is speech."""

COLUMNS = {"utterances"}
"""Names that files of results carry, as the first task gave them."""


def words(path: Path) -> Iterator[str]:
    """All names that a module uses or gives."""
    for node in ast.walk(ast.parse(path.read_text())):
        for part in ("id", "attr", "name", "arg", "asname", "module"):
            if isinstance(word := getattr(node, part, None), str):
                yield word


@pytest.mark.parametrize("name", [name for name in SERVER if not name.startswith(ABOUT_SPEECH)])
def test_nothing_but_its_task_knows_about_speech(name: str) -> None:
    assert not [found for found in imports(name, SERVER[name]) if found.startswith("diffserver.tasks.asr")]
    named = {word for word in words(SERVER[name]) if SPEECH.search(word.lower())} - COLUMNS
    assert named == set()


def test_one_module_imports_the_espeak_loader() -> None:
    loaders = [name for name in SERVER if "espeakng_loader" in set(imports(name, SERVER[name]))]
    assert len(loaders) == 1


def fresh_python(code: str) -> str:
    """Run code in an interpreter of its own; returns what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_server_imports_with_torch_blocked() -> None:
    fresh_python("import sys; sys.modules['torch'] = None; import diffserver.app, diffserver.cli")


def test_importing_the_client_is_quick_and_loads_only_itself() -> None:
    timed = "import time; began = time.process_time(); import diffclient.cli; print(time.process_time() - began)"
    assert min(float(fresh_python(timed)) for _ in range(5)) < 0.3
    loaded = fresh_python("import diffclient.cli, sys; print('onnxruntime' in sys.modules, 'soundfile' in sys.modules)")
    assert loaded.split() == ["False", "False"]
