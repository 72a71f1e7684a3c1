"""Commands for keys that run where the server is: what exists and expires, new holders of roles.

Those for the machines where keys are kept are in `offline`.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from diffserver.catalog.names import require_model
from diffserver.cli.home import Home, opened
from diffserver.cli.keys import offline
from diffserver.cli.keys.key_files import Public, Threshold, about_keys, describe_anchor, holders, new_key, public_keys
from diffserver.cli.keys.offline import RequestFile, say_lacking
from diffserver.cli.output import AsJson, listing, show
from diffserver.settings import Settings
from diffserver.storage.database import now, reading, writing
from diffserver.trust import key_changes, metadata_rows, signing_requests
from diffserver.trust.admit_model import ONLINE
from diffserver.trust.bootstrap import write_anchor
from diffserver.trust.key_changes import Request
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.delegation import holders_of
from diffserver.trust.metadata.next_metadata import is_due
from diffserver.trust.metadata.roles import ROOT, TARGETS, TOP, delegator

Out = Annotated[
    Path | None,
    typer.Option("--out", help="Write the request for signatures here. [default: request.json, if keys are elsewhere]"),
]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Keys: show, create, rotate, sign offline, add a model's.", no_args_is_help=True)
    for command in (add_model, rotate, renew, submit):
        group.command()(command)
    group.command("show")(show_keys)
    offline.add_to(group)
    app.add_typer(group, name="keys")


def show_keys(home: Home = None, as_json: AsJson = False) -> None:
    """Show each role's keys, whether they are here, and when its metadata expires.

    Example: `diffserver keys show`
    """
    chosen, engine = opened(home)
    keyring = Keyring(chosen.keys)
    with reading(engine) as session:
        found = _standing(session, keyring)
    anchor = write_anchor(engine, chosen.home)
    table = [
        (item["role"], item["version"], item["expires"][:10] + (" soon" if item["soon"] else ""),
         f"{item['threshold']} of {len(item['keyids'])}", ", ".join(item["here"]) or "elsewhere")
        for item in found
    ]  # fmt: skip
    people = listing("Roles", ["role", "version", "expires", "signatures", "keys here"], table)
    show({**describe_anchor(chosen, anchor), "roles": found}, as_json, people)
    if not as_json:
        show(None, False, f"Devices enrol with {anchor.path}, or the first root's SHA-256 {anchor.first_sha256}.")
        show(None, False, about_keys(chosen))


def add_model(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    public: Public = None,
    threshold: Threshold = 1,
    out: Out = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Say who signs for a model: the key that is made here, or the ones given, which the server never sees.

    Example: `diffserver keys add-model commands --public release.key.json`
    """
    require_model(model)
    chosen, engine = opened(home)
    named = holders(chosen, f"model-{model}", ONLINE, public, threshold)
    with reading(engine) as session:
        request = key_changes.add_model(metadata_rows.Book(session).look, model, named, now(session))
    _carry_out(chosen, engine, request, out, as_json)


def rotate(
    role: Annotated[str, typer.Argument(help="root, targets, online, or a model's name.")],
    public: Public = None,
    threshold: Threshold = 1,
    out: Out = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Give a role to other keys: one that is made here, or the ones given. Devices follow at their next poll.

    A new root is signed by the old keys and the new. Where keys are elsewhere, a request is written for `keys sign`.

    Example: `diffserver keys rotate root --public a.key.json --public b.key.json --threshold 2`
    """
    chosen, engine = opened(home)
    named = new_key(chosen, role) if public is None else public_keys(public, threshold)
    with reading(engine) as session:
        look, moment = metadata_rows.Book(session).look, now(session)
        top = role in (ROOT, TARGETS, ONLINE)
        request = (key_changes.rotate_top if top else key_changes.rotate_model)(look, role, named, moment)
    _carry_out(chosen, engine, request, out, as_json)


def renew(out: Out = None, home: Home = None, as_json: AsJson = False) -> None:
    """Let root and targets expire a year later. With their keys here the server does so by itself.

    Example: `diffserver keys renew --out request.json`
    """
    chosen, engine = opened(home)
    with reading(engine) as session:
        request = key_changes.renew_top(metadata_rows.Book(session).look, now(session))
    _carry_out(chosen, engine, request, out, as_json)


def submit(request: RequestFile, home: Home = None, as_json: AsJson = False) -> None:
    """Put a signed request in force; runs where the server is.

    Example: `diffserver keys submit request.json`
    """
    chosen, engine = opened(home)
    _enact(chosen, engine, signing_requests.read(request), as_json)


def _carry_out(chosen: Settings, engine: Engine, request: Request, out: Path | None, as_json: bool) -> None:
    """Sign a request with the keys here; put it in force, or write it down for others to sign."""
    request.sign(Keyring(chosen.keys, ask=True))
    if out is None and not request.lacking():
        _enact(chosen, engine, request, as_json)
        return
    path = out or Path("request.json")
    signing_requests.write(path, request)
    say_lacking(request, path, as_json)


def _enact(chosen: Settings, engine: Engine, request: Request, as_json: bool) -> None:
    with writing(engine) as session:
        signing_requests.submit(session, request, Keyring(chosen.keys, ask=True), now(session))
    anchor = write_anchor(engine, chosen.home)
    people = "\n".join([*key_changes.describe(request), f"In force; new devices enrol with {anchor.path}."])
    show({"roles": sorted(request.metadata), **describe_anchor(chosen, anchor)}, as_json, people)


def _standing(session: Session, keyring: Keyring) -> list[dict[str, Any]]:
    book, moment, found = metadata_rows.Book(session), now(session), []
    for role, version, expires in metadata_rows.expiries(session):
        named = holders_of(book.need(delegator(role)).signed, role)
        if named is None or ("+" in role and role not in TOP):
            continue  # an archive is signed by its model's keys
        here = [file.name for file in keyring.held(named.keys)]
        about = {
            "role": role,
            "version": version,
            "expires": expires.isoformat(),
            "soon": is_due(role, expires, moment),
        }
        found.append({**about, "threshold": named.threshold, "keyids": named.keyids, "here": here})
    return found
