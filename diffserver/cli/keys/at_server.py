"""Commands for keys at the server: show keys and expiry, and give roles to other keys.

Commands for the machines where keys are kept are left to `offline`.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from diffserver.catalog import audit
from diffserver.catalog.names import require_model
from diffserver.cli.home import Home, host_user, open_home
from diffserver.cli.keys import offline
from diffserver.cli.keys.key_files import (
    Public,
    Threshold,
    describe_anchor,
    describe_keys,
    holders,
    new_key,
    public_keys,
)
from diffserver.cli.keys.offline import RequestFile, print_missing_signatures
from diffserver.cli.output import AsJson, listing, show
from diffserver.settings import Settings
from diffserver.storage.database import now, reading, writing
from diffserver.trust import key_changes, metadata_rows, signing_requests
from diffserver.trust.admit_model import ONLINE
from diffserver.trust.bootstrap import write_anchor
from diffserver.trust.clock import accept, signing_time
from diffserver.trust.key_changes import Request
from diffserver.trust.keys import Keyring
from diffserver.trust.metadata.delegation import holders_of
from diffserver.trust.metadata.next_metadata import is_due
from diffserver.trust.metadata.roles import ROOT, TARGETS, TOP, delegator

Out = Annotated[
    Path | None,
    typer.Option("--out", help="Write the request for signatures here. [default: request.json, if keys are elsewhere]"),
]


def add_to(group: typer.Typer) -> None:
    """Add these commands, and those of `offline`, to the ones for keys."""
    for command in (add_model, rotate, renew, submit, accept_clock):
        group.command()(command)
    group.command("show")(show_keys)
    offline.add_to(group)


def show_keys(home: Home = None, as_json: AsJson = False) -> None:
    """Show each role's keys, whether they are here, and when its metadata expires.

    Example: `diffserver keys show`
    """
    settings, engine = open_home(home)
    keyring = Keyring(settings.keys)
    with reading(engine) as session:
        rows = _role_rows(session, keyring)
    anchor = write_anchor(engine, settings.home)
    table = [
        (item["role"], item["version"], item["expires"][:10] + (" soon" if item["soon"] else ""),
         f"{item['threshold']} of {len(item['keyids'])}", ", ".join(item["here"]) or "elsewhere")
        for item in rows
    ]  # fmt: skip
    text = listing("Roles", ["role", "version", "expires", "signatures", "keys here"], table)
    show({**describe_anchor(settings, anchor), "roles": rows}, as_json, text)
    if not as_json:
        show(None, False, f"Devices enrol with {anchor.path}, or the first root's SHA-256 {anchor.first_sha256}.")
        show(None, False, describe_keys(settings))


def add_model(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    public: Public = None,
    threshold: Threshold = 1,
    out: Out = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Choose who signs for a model: a key made here, or the keys given, whose private halves the server never sees.

    Example: `diffserver keys add-model commands --public release.key.json`
    """
    require_model(model)
    settings, engine = open_home(home)
    new_holders = holders(settings, f"model-{model}", ONLINE, public, threshold)
    with reading(engine) as session:
        lookup, moment = metadata_rows.CurrentMetadata(session).get, signing_time(session)
        request = key_changes.add_model(lookup, model, new_holders, moment)
    _sign_and_submit(settings, engine, request, out, as_json)


def rotate(
    role: Annotated[str, typer.Argument(help="root, targets, online, or a model's name.")],
    public: Public = None,
    threshold: Threshold = 1,
    out: Out = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Give a role to other keys: a key made here, or the keys given. Devices follow at their next poll.

    A new root is signed by the old keys and the new. Where keys are elsewhere, a request is written for `keys sign`.

    Example: `diffserver keys rotate root --public a.key.json --public b.key.json --threshold 2`
    """
    settings, engine = open_home(home)
    new_holders = new_key(settings, role) if public is None else public_keys(public, threshold)
    with reading(engine) as session:
        lookup, moment = metadata_rows.CurrentMetadata(session).get, signing_time(session)
        top = role in (ROOT, TARGETS, ONLINE)
        request = (key_changes.rotate_top if top else key_changes.rotate_model)(lookup, role, new_holders, moment)
    _sign_and_submit(settings, engine, request, out, as_json)


def renew(out: Out = None, home: Home = None, as_json: AsJson = False) -> None:
    """Extend the expiry of root and targets by a year. With their keys here the server does so by itself.

    Example: `diffserver keys renew --out request.json`
    """
    settings, engine = open_home(home)
    with reading(engine) as session:
        request = key_changes.renew_top(metadata_rows.CurrentMetadata(session).get, signing_time(session))
    _sign_and_submit(settings, engine, request, out, as_json)


def submit(request: RequestFile, home: Home = None, as_json: AsJson = False) -> None:
    """Put a signed request in force, on the server's machine.

    Example: `diffserver keys submit request.json`
    """
    settings, engine = open_home(home)
    _put_in_force(settings, engine, signing_requests.read(request), as_json)


def accept_clock(home: Home = None, as_json: AsJson = False) -> None:
    """Sign by the present clock, though a clock that was ahead signed something before; check the clock first.

    Example: `diffserver keys accept-clock`
    """
    with writing(open_home(home)[1]) as session:
        moment = accept(session).isoformat()
        audit.record(session, host_user(), "clock.accept", None, moment=moment)
    show({"clock": moment}, as_json, f"Metadata is signed by this clock from now on: {moment}")


def _sign_and_submit(settings: Settings, engine: Engine, request: Request, out: Path | None, as_json: bool) -> None:
    """Sign a request with the keys here; put it in force, or write it to a file for others to sign."""
    request.sign(Keyring(settings.keys, ask=True))
    if out is None and not request.missing_keyids():
        _put_in_force(settings, engine, request, as_json)
        return
    path = out or Path("request.json")
    signing_requests.write(path, request)
    print_missing_signatures(request, path, as_json)


def _put_in_force(settings: Settings, engine: Engine, request: Request, as_json: bool) -> None:
    with writing(engine) as session:
        signing_requests.submit(session, request, Keyring(settings.keys, ask=True), signing_time(session))
        changed = [line.strip() for line in key_changes.describe(request)]
        audit.record(session, host_user(), "keys.change", None, roles=sorted(request.metadata), changed=changed)
    anchor = write_anchor(engine, settings.home)
    text = "\n".join([*key_changes.describe(request), f"In force; new devices enrol with {anchor.path}."])
    show({"roles": sorted(request.metadata), **describe_anchor(settings, anchor)}, as_json, text)


def _role_rows(session: Session, keyring: Keyring) -> list[dict[str, Any]]:
    in_force, moment, rows = metadata_rows.CurrentMetadata(session), now(session), []
    for role, version, expires in metadata_rows.expiries(session):
        role_holders = holders_of(in_force.require(delegator(role)).signed, role)
        if role_holders is None or ("+" in role and role not in TOP):
            continue  # an archive is signed by its model's keys
        held = [file.name for file in keyring.held(role_holders.keys)]
        row = {
            "role": role,
            "version": version,
            "expires": expires.isoformat(),
            "soon": is_due(role, expires, moment),
        }
        rows.append({**row, "threshold": role_holders.threshold, "keyids": role_holders.keyids, "here": held})
    return rows
