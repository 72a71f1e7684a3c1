"""Fingerprint the code that decides a result: a version made by other code is made again.

A task's code is its own module, those of its base classes, and whatever these import from beside them, not inside
functions: from their package, or from the folder of a file that belongs to none.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType


def fingerprint(modules: Sequence[ModuleType], task: object) -> str:
    """Return a hash of the code of these modules and of the task, without comments and docstrings."""
    paths = [Path(inspect.getfile(module)) for module in modules]
    code = [*map(_plain, paths), *sorted(map(_plain, _of_task(type(task))))]
    return hashlib.sha256(b"".join(code)).hexdigest()[:16]


def _of_task(kind: type) -> set[Path]:
    """Return the files of a task class: its own, those of its base classes, and those beside them that they import."""
    files: set[Path] = set()
    for module in {base.__module__ for base in kind.__mro__} - sys.stdlib_module_names:
        package = sys.modules[module].__package__ or ""
        files |= _with_imported(Path(inspect.getfile(sys.modules[module])), package)
    return files


def _with_imported(start: Path, package: str) -> set[Path]:
    """Return a file, the files beside it that it imports, and those that they import."""
    files, waiting = set[Path](), [start]
    while waiting:
        path = waiting.pop()
        if path not in files:
            files.add(path)
            beside = (path.parent / f"{name}.py" for name in _imported(path, package))
            waiting += [file for file in beside if file.exists()]
    return files


def _imported(path: Path, package: str) -> Iterator[str]:
    """Yield the modules beside a file that it may import, by their names in its folder."""
    tree = ast.parse(path.read_bytes())
    outside = (part for part in tree.body if not isinstance(part, ast.FunctionDef | ast.ClassDef))
    for node in (node for part in outside for node in ast.walk(part)):
        if isinstance(node, ast.Import):
            yield from (_beside(alias.name, package) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield _beside(node.module or "", package)
            yield from (_beside(f"{node.module}.{alias.name}", package) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from [node.module] if node.module else [alias.name for alias in node.names]


def _beside(name: str, package: str) -> str:
    """Return the name in its folder of a module of the package, or without a package; else an empty one."""
    return name.removeprefix(f"{package}.") if not package or name.startswith(f"{package}.") else ""


@cache
def _plain(path: Path) -> bytes:
    """Return a file's code without comments and docstrings."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [part for part in node.body if not _is_text(part)]
    return ast.dump(tree).encode()


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
