"""The directions of imports: what a device installs stays light, and torch and the database do not meet."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from graphlib import TopologicalSorter
from itertools import chain
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
TRAINING = ("diffs", "methods", "tasks", "training", "experiment", "demo")
DATABASE = ("storage", "catalog", "events", "metrics", "rollouts", "trust", "upkeep")
SERVING = ("app", "api", "connections", "console", "polls")
NEITHER = ("charts", "checkpoints", "evaluation", "choices", "gate", "errors", "logs", "settings", "drain")
"""What both sides may import, and what imports neither."""

JOIN = ("pipeline", "cli", "main", "__main__")
"""What may reach both sides."""


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
    assert not {module.partition(".")[0] for module in imports(name, CLIENT[name])} & FORBIDDEN_ON_DEVICES


def within(name: str, rooms: Iterable[str]) -> bool:
    """Whether a module is in one of these folders, or is one of these modules, of the server."""
    return any(f"{name}.".startswith(f"diffserver.{room}.") for room in rooms)


def among(*groups: Sequence[str]) -> list[str]:
    """All modules of the server in these groups of rooms."""
    return [name for name in SERVER if within(name, chain(*groups))]


def reached(start: str) -> set[str]:
    """All modules of the server that importing `start` may bring in."""
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [module for module in imports(name, SERVER[name]) if module in SERVER]
    return seen


def test_every_module_is_in_one_group() -> None:
    groups = (TRAINING, DATABASE, SERVING, NEITHER, JOIN)
    in_groups = {name: sum(within(name, group) for group in groups) for name in SERVER if name != "diffserver"}
    assert {name: count for name, count in in_groups.items() if count != 1} == {}


@pytest.mark.parametrize("name", among(TRAINING))
def test_training_never_reaches_the_database(name: str) -> None:
    assert not [module for module in reached(name) if within(module, chain(DATABASE, SERVING, JOIN))]


@pytest.mark.parametrize("name", among(DATABASE, SERVING))
def test_serving_never_reaches_training(name: str) -> None:
    assert not [module for module in reached(name) if within(module, chain(TRAINING, JOIN))]


@pytest.mark.parametrize("name", among(NEITHER))
def test_what_both_sides_share_reaches_neither(name: str) -> None:
    assert not [module for module in reached(name) if within(module, chain(TRAINING, DATABASE, SERVING, JOIN))]


def sides_met(name: str) -> set[str]:
    """Which of the two sides a module reaches."""
    sides = {"training": TRAINING, "database": DATABASE + SERVING}
    return {side for side, rooms in sides.items() if any(within(module, rooms) for module in reached(name))}


def test_the_two_sides_meet_in_the_pipeline_and_on_the_command_line_alone() -> None:
    meet = {name for name in SERVER if len(sides_met(name)) == 2}
    assert not [name for name in meet if not within(name, JOIN)]


def folder(name: str, path: Path) -> str:
    """The folder of a module; a module at the top of its distribution is a folder of its own."""
    parent = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return name if "." not in parent else parent


def edges(package: dict[str, Path], place: Callable[[str, Path], str]) -> dict[str, set[str]]:
    """Who imports whom, by modules or by their folders."""
    graph: dict[str, set[str]] = {}
    for name, path in package.items():
        to = {place(other, package[other]) for other in imports(name, path) if other in package}
        graph.setdefault(place(name, path), set()).update(to - {place(name, path)})
    return graph


@pytest.mark.parametrize("package", [CLIENT, SERVER], ids=["client", "server"])
@pytest.mark.parametrize("place", [lambda name, _path: name, folder], ids=["modules", "folders"])
def test_no_circle(package: dict[str, Path], place: Callable[[str, Path], str]) -> None:
    TopologicalSorter(edges(package, place)).prepare()  # raises CycleError, with the circle


@pytest.mark.parametrize(("package", "loose"), [(CLIENT, 6), (SERVER, 8)], ids=["client", "server"])
def test_a_folder_has_few_modules(package: dict[str, Path], loose: int) -> None:
    counts = Counter(path.parent for path in package.values() if path.name != "__init__.py")
    top = min(counts, key=lambda folder: len(folder.parts))
    assert counts[top] <= loose
    assert max(counts.values()) <= 15


SPEECH = re.compile(
    r"audio|utteranc|speech|spoken|speak|ctc|phone|voice|transcri|recogni[sz]|letters|soundfile|jiwer|soxr"
    r"|(?<![a-z])(wer|words)(?![a-z])"
)
ABOUT_SPEECH = ("tasks.asr", "demo", "cli.train.demo")
"""The demo's job is speech."""

COLUMNS = {"utterances", "wer_mean", "wer_full_mean"}
"""Names that files of results carry, as the first task gave them."""

OTHERS = {"unrecognized_fields"}
"""Names that python-tuf gives."""


def words(path: Path) -> Iterator[str]:
    """All names that a module uses or gives."""
    for node in ast.walk(ast.parse(path.read_text())):
        for part in ("id", "attr", "name", "arg", "asname", "module"):
            if isinstance(word := getattr(node, part, None), str):
                yield word


@pytest.mark.parametrize("name", [name for name in SERVER if not within(name, ABOUT_SPEECH)])
def test_nothing_but_its_task_knows_about_speech(name: str) -> None:
    assert not [module for module in imports(name, SERVER[name]) if module.startswith("diffserver.tasks.asr")]
    named = {word for word in words(SERVER[name]) if SPEECH.search(word.lower())} - COLUMNS - OTHERS
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
    late = "diffserver.cli.host.tokens, diffserver.cli.keys.at_server"
    fresh_python(f"import sys; sys.modules['torch'] = None; import diffserver.app, diffserver.main, {late}")


def test_a_command_starts_without_what_few_commands_need() -> None:
    heavy = {"numpy", "torch", "sqlalchemy", "alembic", "tuf", "pydantic"}
    loaded = fresh_python("import diffserver.main, sys; print(*sys.modules)")
    assert not heavy & set(loaded.split())


def test_importing_the_client_is_quick_and_loads_only_itself() -> None:
    timed = "import time; began = time.process_time(); import diffclient.cli.main; print(time.process_time() - began)"
    assert min(float(fresh_python(timed)) for _ in range(5)) < 0.3
    loaded = fresh_python(
        "import diffclient.cli.main, sys; print('onnxruntime' in sys.modules, 'soundfile' in sys.modules)"
    )
    assert loaded.split() == ["False", "False"]
