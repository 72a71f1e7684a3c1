"""Commands that set up a home on this machine: init, migrate, token."""

import os
from pathlib import Path
from typing import Annotated

import typer

from diffserver.catalog import tokens
from diffserver.cli.home import Home, open_home, read_settings
from diffserver.cli.keys.key_files import describe_anchor, describe_keys
from diffserver.cli.output import AsJson, listing, show
from diffserver.errors import Invalid
from diffserver.settings import TOKEN_FILE
from diffserver.storage.database import connect, writing
from diffserver.storage.migrate import upgrade
from diffserver.trust.bootstrap import establish


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (init, migrate):
        app.command()(command)
    group = typer.Typer(help="Make, list and revoke tokens.", no_args_is_help=True)
    group.command("create")(token_create)
    group.command("list")(token_list)
    group.command("revoke")(token_revoke)
    app.add_typer(group, name="token")


def init(home: Home = None, as_json: AsJson = False) -> None:
    """Make a home: database, object store, an operator's token, keys and the root that devices enrol with.

    Safe to run again.

    Example: `diffserver init --home /srv/diffserver`
    """
    settings = read_settings(home)
    settings.home.mkdir(parents=True, exist_ok=True)
    engine = connect(settings.database)
    upgrade(engine)
    path = settings.home / TOKEN_FILE
    if not path.exists():
        with writing(engine) as session:
            _write_secret(path, tokens.create(session, "operator", "init")[1])
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
    before, after = upgrade(connect(read_settings(home).database))
    changed = f"migrated from {before or 'nothing'} to {after}" if before != after else f"already at {after}"
    show({"before": before, "after": after}, as_json, f"The database is {changed}.")


def token_create(
    role: Annotated[str, typer.Argument(help="operator or enroll.")],
    name: Annotated[str, typer.Option(help="Whose it is, or what for.")] = "unnamed",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, once.

    Example: `diffserver token create enroll --name "factory line 2"`
    """
    if role not in ("operator", "enroll"):
        raise Invalid(f"no token of role {role!r} can be made here", "choose operator or enroll")
    with writing(open_home(home)[1]) as session:
        token, secret = tokens.create(session, "operator" if role == "operator" else "enroll", name)
        show({"id": token.id, "role": role, "token": secret}, as_json, secret)


def token_list(home: Home = None, as_json: AsJson = False) -> None:
    """List all tokens, never their secrets."""
    with writing(open_home(home)[1]) as session:
        items = [
            {
                "id": item.id,
                "role": item.role,
                "name": item.name,
                "created_at": item.created_at.isoformat(),
                "revoked_at": item.revoked_at and item.revoked_at.isoformat(),
            }
            for item in tokens.list_all(session)
        ]
    headings = ["id", "role", "name", "created_at", "revoked_at"]
    show(items, as_json, listing("Tokens", headings, [list(item.values()) for item in items]))


def token_revoke(
    number: Annotated[int, typer.Argument(help="The token's id.")], home: Home = None, as_json: AsJson = False
) -> None:
    """Revoke a token for ever."""
    with writing(open_home(home)[1]) as session:
        tokens.revoke(session, number)
    show({"id": number, "revoked": True}, as_json, f"Token {number} is revoked.")


def _write_secret(path: Path, secret: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret + "\n")
