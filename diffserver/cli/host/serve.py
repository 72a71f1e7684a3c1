"""Commands that run until they are stopped: serve, worker."""

import os
import signal
import sys
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from diffserver.cli.home import Home, read_settings
from diffserver.cli.host.supervise import Supervised, end_with_parent
from diffserver.cli.output import warn
from diffserver.errors import Invalid
from diffserver.settings import Settings

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
    """Serve devices and operators over HTTP, with one worker beside it that is started again whenever it ends.

    Examples: `diffserver serve --host 0.0.0.0 --port 8080 --no-worker`, `diffserver serve --task-file gestures.py`
    """
    from diffserver.app import create_app
    from diffserver.connections.serve import serve as listen
    from diffserver.logs import make_log
    from diffserver.storage.database import connect
    from diffserver.trust.bootstrap import establish

    settings = read_settings(home, task_file)
    settings = replace(settings, host=host or settings.host, port=settings.port if port is None else port)
    if with_worker:
        _require_files(settings)
    own_worker = Supervised(_worker_command(settings), "worker", make_log()) if with_worker and _can_train() else None
    app = create_app(settings, own_worker=own_worker.state if own_worker else None)
    engine = connect(settings.database)
    anchor = establish(engine, settings)
    engine.dispose()
    warn(f"Devices enrol with {anchor.path} (SHA-256 of the first root: {anchor.first_sha256}).")
    # uvicorn shuts down and then raises the signal again, which must not end this process before the worker.
    signal.signal(signal.SIGTERM, _interrupt)
    with own_worker or nullcontext():
        listen(app, settings, app.state.drain)


def worker(
    home: Home = None,
    once: Annotated[bool, typer.Option(help="Stop when no training waits.")] = False,
    task_file: TaskFiles = None,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Take trainings from the database, one after another, and make candidates.

    Ctrl-C puts the current training back into the queue.

    Examples: `diffserver worker --once`, `diffserver worker --task-file gestures.py`
    """
    if find_spec("torch") is None:
        raise Invalid("a worker needs torch", "pip install 'diffserver[train]'")
    from diffserver.pipeline.worker import Worker
    from diffserver.storage import migrate
    from diffserver.storage.database import connect

    settings = read_settings(home, task_file)
    _require_files(settings)
    signal.signal(signal.SIGTERM, _interrupt)
    if with_parent:
        end_with_parent()
    engine = connect(settings.database)
    migrate.check(engine)
    if Worker(engine, settings).run(once):
        os.execv(sys.executable, sys.orig_argv)  # the same command, without what an interrupted task has left


def _require_files(settings: Settings) -> None:
    for file in settings.task_files:
        path = file.rpartition(".py")[0] + ".py"
        if not Path(path).is_file():
            raise Invalid(f"there is no task file {path}", "correct --task-file or DIFFSERVER_TASK_FILES")


def _can_train() -> bool:
    """Tell whether a worker can run here; prints why not."""
    if find_spec("torch") is not None:
        return True
    warn("no worker: torch is not installed (pip install 'diffserver[train]')")
    return False


def _worker_command(settings: Settings) -> list[str]:
    files = [word for file in settings.task_files for word in ("--task-file", file)]
    return [sys.executable, "-m", "diffserver", "worker", "--with-parent", "--home", str(settings.home), *files]


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
