"""The home of a server on this machine: the option that names it, its settings and its database."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine

from diffserver.settings import Settings
from diffserver.storage import migrate
from diffserver.storage.database import connect

Home = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of the database and the objects. [env: DIFFSERVER_HOME]", show_default=False),
]


def read_settings(home: Path | None, task_files: Sequence[str] | None = None) -> Settings:
    """Return the settings of the environment, overridden by the options given; raises SettingsError."""
    overrides = {"DIFFSERVER_HOME": str(home or ""), "DIFFSERVER_TASK_FILES": ",".join(task_files or ())}
    return Settings.from_environment(os.environ | {name: value for name, value in overrides.items() if value})


def open_home(home: Path | None) -> tuple[Settings, Engine]:
    """Return the settings and the database; raises NotMigrated, DatabaseTooNew if it is not of this release."""
    settings = read_settings(home)
    engine = connect(settings.database)
    migrate.check(engine)
    return settings, engine
