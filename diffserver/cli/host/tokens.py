"""Commands for the tokens that operators and devices show the server: create, list, revoke."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, get_args

import typer

from diffserver.catalog import audit, tokens
from diffserver.catalog.devices import find
from diffserver.cli.home import Home, host_user, open_home
from diffserver.cli.output import AsJson, listing, show
from diffserver.errors import Invalid
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Token

LONGEST_DAYS = 36_500

UNITS: Mapping[str, Callable[[int], timedelta]] = {
    "m": lambda count: timedelta(minutes=count),
    "h": lambda count: timedelta(hours=count),
    "d": lambda count: timedelta(days=count),
}


def add_to(group: typer.Typer) -> None:
    """Add these commands to those for tokens."""
    group.command("create")(token_create)
    group.command("list")(token_list)
    group.command("revoke")(token_revoke)


def token_create(
    role: Annotated[str, typer.Argument(help="admin, publisher, viewer or enroll.")],
    name: Annotated[str, typer.Option(help="Whose it is, or what for.")] = "unnamed",
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="30d|12h|90m|never",
            help=f"How long it is valid. [default: {tokens.ENROLL_FOR.days}d for enroll, never for others]",
            show_default=False,
        ),
    ] = None,
    uses: Annotated[
        int | None,
        typer.Option(min=1, max=2**31 - 1, help="How many devices may enrol with it. [default: any number]"),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, once.

    Example: `diffserver token create enroll --name "factory line 2" --expires 7d --uses 100`
    """
    known: tuple[tokens.MadeFor, ...] = get_args(tokens.MadeFor)
    named = next((one for one in known if one == role), None)
    if named is None:
        raise Invalid(f"no token of role {role!r} can be made here", f"choose one of {', '.join(known)}")
    until = _moment(expires, utc_now()) if expires else tokens.expiry(named, None, utc_now())
    with writing(open_home(home)[1]) as session:
        token, secret = tokens.create(session, named, name, expires_at=until, uses=uses)
        audit.record(session, host_user(), "token.create", None, **tokens.described(token))
        show({**_described(token), "token": secret}, as_json, secret)


def token_list(
    device: Annotated[str | None, typer.Option(metavar="ID", help="Those of this device instead.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List the tokens that were made here or over REST, never their secrets; those of devices are not among them.

    Examples: `diffserver token list`, `diffserver token list --device 0199a7c41d5e3f0a9b8c7d6e`
    """
    with reading(open_home(home)[1]) as session:
        rows_of = tokens.made(session) if device is None else tokens.of_device(session, find(session, device).id)
        items = [_described(item) for item in rows_of]
    headings = ["id", "role", "name", "device", "enrolled", "created", "expires", "revoked"]
    rows = [
        (item["id"], item["role"], item["name"], item["device_id"], _enrolled(item),
         item["created_at"], item["expires_at"], item["revoked_at"])
        for item in items
    ]  # fmt: skip
    show(items, as_json, listing("Tokens", headings, rows))


def token_revoke(
    which: Annotated[str, typer.Argument(metavar="TOKEN|DEVICE", help="A token's id, or a device's.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """End the validity of a token, or of all that a device has, for ever.

    Examples: `diffserver token revoke 7`, `diffserver token revoke 0199a7c41d5e3f0a9b8c7d6e`
    """
    device = re.fullmatch(r"[0-9a-f]{24}", which) is not None
    if not device and not (which.isascii() and which.isdigit() and int(which) < 2**31):
        raise Invalid(f"{which!r} is no id of a token or a device", "see `diffserver token list`")
    with writing(open_home(home)[1]) as session:
        ended = tokens.revoke_device(session, find(session, which)) if device else [tokens.revoke(session, int(which))]
        for token in ended:
            audit.record(session, host_user(), "token.revoke", None, **tokens.described(token))
        ids = [token.id for token in ended]
    text = ", ".join(f"Token {number} is revoked" for number in ids)
    value = {"ids": ids, "device_id": which} if device else {"id": ids[0]}
    show({**value, "revoked": True}, as_json, f"{text}.")


def _moment(expires: str, now: datetime) -> datetime | None:
    if expires == "never":
        return None
    parts = re.fullmatch(r"([1-9][0-9]{0,8})([mhd])", expires)
    lasting = UNITS[parts[2]](int(parts[1])) if parts else None
    if lasting is None or lasting > timedelta(days=LONGEST_DAYS):
        raise Invalid(f"{expires!r} is no time to be valid for", "pass --expires 30d, 12h, 90m or never")
    return now + lasting


def _described(token: Token) -> dict[str, Any]:
    moments = ("created_at", "expires_at", "revoked_at")
    plain = {name: getattr(token, name) for name in ("id", "role", "name", "device_id", "uses", "used")}
    return plain | {name: (moment := getattr(token, name)) and moment.isoformat() for name in moments}


def _enrolled(token: Mapping[str, Any]) -> str | None:
    """Return the number of devices that have enrolled with a token, and its limit."""
    if token["role"] == "device":
        return None
    return str(token["used"]) if token["uses"] is None else f"{token['used']} of {token['uses']}"
