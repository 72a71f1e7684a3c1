"""Commands that set up a home on this machine: init, migrate."""

from typing import TYPE_CHECKING

import typer

from diffserver.cli.home import Home, host_user, read_settings
from diffserver.cli.output import AsJson, show
from diffserver.settings import TOKEN_FILE

if TYPE_CHECKING:
    from sqlalchemy import Engine


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (init, migrate):
        app.command()(command)


def init(home: Home = None, as_json: AsJson = False) -> None:
    """Make a home: database, object store, an admin's token, keys and the root that devices enrol with.

    Safe to run again.

    Example: `diffserver init --home /srv/diffserver`
    """
    from diffclient.durable import PRIVATE, create_file
    from diffserver.catalog import audit, tokens
    from diffserver.cli.keys.key_files import describe_anchor, describe_keys
    from diffserver.storage.database import connect, writing
    from diffserver.trust.bootstrap import establish

    settings = read_settings(home)
    settings.home.mkdir(parents=True, exist_ok=True)
    engine = connect(settings.database)
    _upgrade(engine)
    path = settings.home / TOKEN_FILE
    if not path.exists():
        with writing(engine) as session:
            token, secret = tokens.create(session, "admin", "init")
            audit.record(session, host_user(), "token.create", None, **tokens.described(token))
            create_file(path, f"{secret}\n".encode(), PRIVATE)
    anchor = establish(engine, settings)
    lines = [
        f"Home {settings.home} is ready; the admin's token is in {path}.",
        f"Devices enrol with {anchor.path}. {describe_keys(settings)}",
        "Next: diffserver serve",
    ]
    value = {"home": str(settings.home), "operator_token_file": str(path)}
    show(value | describe_anchor(settings, anchor), as_json, "\n".join(lines))


def migrate(home: Home = None, as_json: AsJson = False) -> None:
    """Bring the database to this release's tables.

    Example: `DIFFSERVER_DATABASE=postgresql://… diffserver migrate`
    """
    from diffserver.storage.database import connect

    before, after = _upgrade(connect(read_settings(home).database))
    changed = f"migrated from {before or 'nothing'} to {after}" if before != after else f"already at {after}"
    show({"before": before, "after": after}, as_json, f"The database is {changed}.")


def _upgrade(engine: "Engine") -> tuple[str | None, str]:
    """Bring the database to this release's tables, and write that down; returns the revisions before and after."""
    from diffserver.catalog import audit
    from diffserver.storage.database import writing
    from diffserver.storage.migrate import upgrade

    before, after = upgrade(engine)
    if before != after:
        with writing(engine) as session:
            audit.record(session, host_user(), "database.migrate", None, before=before, after=after)
    return before, after
