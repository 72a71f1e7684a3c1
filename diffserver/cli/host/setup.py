"""Commands that set a home up on the machine that they run on: init, migrate."""

import typer

from diffserver.cli.home import Home, settings
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
    from diffserver.cli.keys.key_files import about_keys, describe_anchor
    from diffserver.storage import migrate as migrations
    from diffserver.storage.database import connect, writing
    from diffserver.trust.bootstrap import establish

    chosen = settings(home)
    chosen.home.mkdir(parents=True, exist_ok=True)
    engine = connect(chosen.database)
    migrations.upgrade(engine)
    path = chosen.home / TOKEN_FILE
    if not path.exists():
        with writing(engine) as session:
            create_file(path, f"{tokens.create(session, 'operator', 'init')[1]}\n".encode(), PRIVATE)
    anchor = establish(engine, chosen)
    people = [
        f"Home {chosen.home} is ready; the operator's token is in {path}.",
        f"Devices enrol with {anchor.path}. {about_keys(chosen)}",
        "Next: diffserver serve",
    ]
    known = {"home": str(chosen.home), "operator_token_file": str(path)}
    show(known | describe_anchor(chosen, anchor), as_json, "\n".join(people))


def migrate(home: Home = None, as_json: AsJson = False) -> None:
    """Bring the database to this release's tables.

    Example: `DIFFSERVER_DATABASE=postgresql://… diffserver migrate`
    """
    from diffserver.storage import migrate as migrations
    from diffserver.storage.database import connect

    before, after = migrations.upgrade(connect(settings(home).database))
    changed = f"migrated from {before or 'nothing'} to {after}" if before != after else f"already at {after}"
    show({"before": before, "after": after}, as_json, f"The database is {changed}.")
