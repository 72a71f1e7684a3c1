"""Code that a person names: `package.module:thing`, or `path/to/file.py:thing`.

To name code is to run it, so names come from whoever starts a program, and never from the network.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from diffclient.errors import NoSuchCode


def load(name: str) -> Any:
    """Return what `module:thing` or `file.py:thing` names; raises NoSuchCode."""
    place, _, thing = name.rpartition(":")
    if not place or not thing:
        raise NoSuchCode(f"{name!r} names no code: give package.module:thing or path/to/file.py:thing")
    module = load_module(place)
    try:
        return getattr(module, thing)
    except AttributeError as error:
        raise NoSuchCode(f"{place} has no {thing!r}") from error


def load_module(place: str) -> ModuleType:
    """Return the module of that dotted name, or the one in a file that ends in .py; raises NoSuchCode.

    A file is run once. While it runs it can import modules beside it; what it imports later, inside a function, must
    be installed, or imported at its top as well.
    """
    try:
        return _of_file(Path(place).resolve()) if place.endswith(".py") else importlib.import_module(place)
    except (Exception, SystemExit) as error:  # it may be anyone's code
        raise NoSuchCode(_describe(place, error)) from error


def _of_file(path: Path) -> ModuleType:
    # A name of its own: two files of one name, or one that is called like a library, do not meet.
    name = f"{path.stem}_{hashlib.sha256(bytes(path)).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        with _importable(str(path.parent)):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _importable(folder: str) -> Iterator[None]:
    """Let the modules of a folder be imported while the block runs."""
    if folder in sys.path:
        yield
        return
    sys.path.append(folder)  # at the end, so that it hides nothing
    try:
        yield
    finally:
        with suppress(ValueError):  # it may be anyone's code that ran
            sys.path.remove(folder)


def _describe(place: str, error: BaseException) -> str:
    """The cause, and the line of the code that it comes from."""
    if isinstance(error, SyntaxError) and error.filename:
        where, what = f"{error.filename}:{error.lineno}", error.msg
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_theirs(frame.filename)]
        where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else place
        what = str(error)
    return f"{where}: {type(error).__name__}: {what}"


def _is_theirs(filename: str) -> bool:
    return not filename.startswith("<frozen") and filename not in (__file__, importlib.__file__)
