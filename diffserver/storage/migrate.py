"""Migrate a database to this release's tables, and check that it has them.

The revisions are left to the package `diffserver.migrations`, running them to Alembic.
"""

import sys
from importlib.util import find_spec

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from diffserver.errors import DatabaseTooNew, DiffServerError, NotMigrated, Unavailable
from diffserver.settings import Settings
from diffserver.storage import tables
from diffserver.storage.database import connect

COMMAND = "diffserver migrate"

# An arbitrary number that no other lock uses; several migrations may start at once when a service is scaled.
LOCK = 0x6E646966


def upgrade(engine: Engine) -> tuple[str | None, str]:
    """Run all missing migrations in one transaction; return the revision before and after.

    Safe to run again and at the same time elsewhere. Raises DatabaseTooNew, Unavailable.
    """
    with _reached(engine.execution_options(writes=True)) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        before = revision(connection)
        _refuse_newer(before)
        command.upgrade(_config(connection), "head")
    return before, latest()


def check(engine: Engine) -> None:
    """Raise NotMigrated or DatabaseTooNew unless the database has exactly this release's tables.

    Raises Unavailable if it can't be reached.
    """
    with _reached(engine) as connection:
        current = revision(connection)
    _refuse_newer(current)
    if current != latest():
        state = "is empty" if current is None else f"is at revision {current}, this release needs {latest()}"
        raise NotMigrated(f"the database {state}", f"run: {COMMAND}")


def revision(connection: Connection) -> str | None:
    """Return the revision of a database; None if it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def latest() -> str:
    """Return the revision that this release needs; raises RuntimeError if the package has no revisions."""
    head = _scripts().get_current_head()
    if head is None:
        raise RuntimeError("the package diffserver.migrations holds no revisions; install diffserver again")
    return head


def differences(connection: Connection) -> list[object]:
    """Return the differences between a migrated database and the tables in `tables`."""
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, tables.METADATA))


def _reached(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except OperationalError as error:
        raise Unavailable(
            f"the database can't be reached ({error.orig})", "run `diffserver init`, or check DIFFSERVER_DATABASE"
        ) from error


def _refuse_newer(current: str | None) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if current is not None and current not in known:
        raise DatabaseTooNew(
            f"the database is at revision {current}, which this release does not know",
            "install the release that migrated it, or a later one",
        )


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(None))


def _config(connection: Connection | None) -> Config:
    spec = find_spec("diffserver.migrations")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package diffserver.migrations is missing; install diffserver again")
    config = Config()
    config.set_main_option("script_location", spec.submodule_search_locations[0].replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


if __name__ == "__main__":
    # A container's health check runs this: an error unless the database can be reached and has the tables.
    try:
        check(connect(Settings.of_process().database))
    except DiffServerError as unfit:
        sys.exit(str(unfit))
