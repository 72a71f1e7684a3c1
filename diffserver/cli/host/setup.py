"""Commands that set a home up on the machine that they run on: init, migrate, token."""

from typing import Annotated

import typer

from diffclient.durable import PRIVATE, create_file
from diffserver.catalog import tokens
from diffserver.cli.home import Home, opened, settings
from diffserver.cli.keys.key_files import about_keys, describe_anchor
from diffserver.cli.output import AsJson, listing, show
from diffserver.errors import Invalid
from diffserver.settings import TOKEN_FILE
from diffserver.storage import migrate as migrations
from diffserver.storage.database import connect, writing
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
    before, after = migrations.upgrade(connect(settings(home).database))
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
    with writing(opened(home)[1]) as session:
        made, secret = tokens.create(session, "operator" if role == "operator" else "enroll", name)
        show({"id": made.id, "role": role, "token": secret}, as_json, secret)


def token_list(home: Home = None, as_json: AsJson = False) -> None:
    """List all tokens, never their secrets."""
    with writing(opened(home)[1]) as session:
        found = [
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
    show(found, as_json, listing("Tokens", headings, [list(item.values()) for item in found]))


def token_revoke(
    number: Annotated[int, typer.Argument(help="The token's id.")], home: Home = None, as_json: AsJson = False
) -> None:
    """End a token's validity for ever."""
    with writing(opened(home)[1]) as session:
        tokens.revoke(session, number)
    show({"id": number, "revoked": True}, as_json, f"Token {number} is revoked.")
