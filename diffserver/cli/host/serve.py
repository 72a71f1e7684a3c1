"""Commands that run until they are stopped: serve, worker."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from diffserver.cli.home import Home, settings
from diffserver.cli.output import warn
from diffserver.errors import Invalid
from diffserver.settings import Settings
from diffserver.storage import migrate as migrations
from diffserver.storage.database import connect
from diffserver.trust.bootstrap import establish

TaskFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--task-file",
        metavar="FILE.py[:CLASS]",
        help="A task of your own that trainings may name. Repeatable. [env: DIFFSERVER_TASK_FILES]",
        show_default=False,
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (serve, worker):
        app.command()(command)


def serve(
    home: Home = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    with_worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Start a worker beside it.")] = True,
    task_file: TaskFiles = None,
) -> None:
    """Serve devices and operators over HTTP, with one worker beside it.

    Examples: `diffserver serve --host 0.0.0.0 --port 8080 --no-worker`, `diffserver serve --task-file gestures.py`
    """
    from diffserver.app import create_app
    from diffserver.connections.serve import serve as listen

    chosen = settings(home, task_file)
    chosen = replace(chosen, host=host or chosen.host, port=chosen.port if port is None else port)
    if with_worker:
        _require_files(chosen)
    app = create_app(chosen)
    engine = connect(chosen.database)
    anchor = establish(engine, chosen)
    engine.dispose()
    warn(f"Devices enrol with {anchor.path} (SHA-256 of the first root: {anchor.first_sha256}).")
    # uvicorn stops in order and then raises the signal again, which must not end us before the worker.
    signal.signal(signal.SIGTERM, _interrupt)
    with _worker_beside(chosen, with_worker):
        listen(app, chosen)


def worker(
    home: Home = None,
    once: Annotated[bool, typer.Option(help="Stop when no training waits.")] = False,
    task_file: TaskFiles = None,
) -> None:
    """Take trainings from the database, one after another, and make candidates.

    Ctrl-C puts the training at hand back into the queue.

    Examples: `diffserver worker --once`, `diffserver worker --task-file gestures.py`
    """
    if find_spec("torch") is None:
        raise Invalid("a worker needs torch", "pip install 'diffserver[train]'")
    from diffserver.pipeline.worker import Worker

    chosen = settings(home, task_file)
    _require_files(chosen)
    signal.signal(signal.SIGTERM, _interrupt)
    engine = connect(chosen.database)
    migrations.check(engine)
    Worker(engine, chosen).run(once)


def _require_files(chosen: Settings) -> None:
    for file in chosen.task_files:
        path = file.rpartition(".py")[0] + ".py"
        if not Path(path).is_file():
            raise Invalid(f"there is no task file {path}", "correct --task-file or DIFFSERVER_TASK_FILES")


@contextmanager
def _worker_beside(chosen: Settings, wanted: bool) -> Iterator[None]:
    """Run a worker as a child while the block runs; say so if it can't be, and serve without it."""
    if wanted and find_spec("torch") is None:
        warn("no worker: torch is not installed (pip install 'diffserver[train]')")
        wanted = False
    if not wanted:
        yield
        return
    files = [word for file in chosen.task_files for word in ("--task-file", file)]
    child = subprocess.Popen([sys.executable, "-m", "diffserver", "worker", "--home", str(chosen.home), *files])
    try:
        yield
    finally:
        child.terminate()
        child.wait()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
