"""Commands that set up a home on this machine: init, migrate."""

import typer

from diffserver.cli.home import Home, read_settings
from diffserver.cli.output import AsJson, show
from diffserver.settings import TOKEN_FILE


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (init, migrate):
        app.command()(command)


def init(home: Home = None, as_json: AsJson = False) -> None:
    """Make a home: database, object store, an operator's token, keys and the root that devices enrol with.

    Safe to run again.

    Example: `diffserver init --home /srv/diffserver`
    """
    from diffclient.durable import PRIVATE, create_file
    from diffserver.catalog import tokens
    from diffserver.cli.keys.key_files import describe_anchor, describe_keys
    from diffserver.storage.database import connect, writing
    from diffserver.storage.migrate import upgrade
    from diffserver.trust.bootstrap import establish

    settings = read_settings(home)
    settings.home.mkdir(parents=True, exist_ok=True)
    engine = connect(settings.database)
    upgrade(engine)
    path = settings.home / TOKEN_FILE
    if not path.exists():
        with writing(engine) as session:
            create_file(path, f"{tokens.create(session, 'admin', 'init')[1]}\n".encode(), PRIVATE)
    anchor = establish(engine, settings)
    lines = [
        f"Home {settings.home} is ready; the operator's token is in {path}.",
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
    from diffserver.storage.migrate import upgrade

    before, after = upgrade(connect(read_settings(home).database))
    changed = f"migrated from {before or 'nothing'} to {after}" if before != after else f"already at {after}"
    show({"before": before, "after": after}, as_json, f"The database is {changed}.")
