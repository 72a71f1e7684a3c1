"""Commands for the tokens that operators and devices show the server: create, list, revoke."""

from typing import Annotated

import typer

from diffserver.catalog import tokens
from diffserver.cli.home import Home, open_home
from diffserver.cli.output import AsJson, listing, show
from diffserver.errors import Invalid
from diffserver.storage.database import writing


def add_to(group: typer.Typer) -> None:
    """Add these commands to those for tokens."""
    group.command("create")(token_create)
    group.command("list")(token_list)
    group.command("revoke")(token_revoke)


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
