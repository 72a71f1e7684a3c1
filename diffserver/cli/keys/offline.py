"""Commands for the machines where keys are kept: create, import, sign, trust. None needs a server."""

from pathlib import Path
from typing import Annotated

import typer

from diffserver.cli.output import AsJson, show
from diffserver.cli.signing import Keys, keys_folder
from diffserver.errors import Invalid
from diffserver.trust import key_changes, keys, operator_signing, signing_requests
from diffserver.trust.key_changes import Request
from diffserver.trust.keys import Keyring

RequestFile = Annotated[Path, typer.Argument(metavar="REQUEST", help="A request for signatures.")]


def add_to(group: typer.Typer) -> None:
    """Add these commands to the group."""
    for command in (create, sign, trust):
        group.command()(command)
    group.command("import")(import_key)


def create(
    name: Annotated[str, typer.Argument(help="What to call it: letters, digits, '.', '_', '-'.")],
    location: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Make a key pair, encrypted at rest, on this machine.

    The file that it prints holds the public half alone; pass it to `add-model` or `rotate`.
    The passphrase comes from DIFFSERVER_PASSPHRASE, or is made and kept beside the key in the file `passphrase`.

    Example: `diffserver keys create release --keys /media/stick/keys`
    """
    key = keys.create(keys_folder(location), keys.checked_name(name))
    value = {"name": key.name, "keyid": key.public.keyid, "file": str(key.path), "uri": key.uri}
    show(value, as_json, f"Key {key.public.keyid} is in {key.path}; its public half may be passed on.")


def import_key(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    uri: Annotated[str, typer.Option("--uri", help="Where the private half is: awskms:…, gcpkms:…, azurekms:…, hsm:…")],
    public: Annotated[Path, typer.Option("--public", help="The public half, as PEM.")],
    location: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Record a key whose private half is in a KMS or an HSM, by its URI (securesystemslib).

    Example: `diffserver keys import release --uri awskms:alias/diffs --public release.pem`
    """
    path = keys_folder(location) / f"{keys.checked_name(name)}{keys.SUFFIX}"
    key = keys.record(path, keys.read_public(public), uri)
    value = {"name": key.name, "keyid": key.public.keyid, "file": str(key.path), "uri": key.uri}
    show(value, as_json, f"Key {key.public.keyid} is in {key.path}.")


def sign(
    path: RequestFile,
    location: Keys = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a request for signatures and sign it with the keys here; needs no server.

    Example: `diffserver keys sign request.json --keys /media/stick/offline`
    """
    folder = keys_folder(location)
    request = signing_requests.read(path)
    signing_requests.require_trusted(request, folder / operator_signing.TRUSTED_FOLDER / "root.json")
    if not as_json:
        show(None, False, "\n".join(key_changes.describe(request)))
    if not (yes or as_json or typer.confirm("Sign this?")):
        raise Invalid("nothing was signed", "")
    before = request.missing_keyids()
    request.sign(Keyring(folder, ask=True))
    if before and request.missing_keyids() == before:
        raise Invalid(f"none of the keys in {folder} is asked for", "pass --keys; see `diffserver keys show`")
    signing_requests.write(path, request)
    print_missing_signatures(request, path, as_json)


def trust(
    root: Annotated[Path, typer.Argument(help="The server's root.json.")],
    location: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Trust a server's root on this machine, so that requests are checked against it before they are signed.

    Example: `diffserver keys trust root.json --keys ~/keys`
    """
    folder = keys_folder(location)
    version = operator_signing.trust(Keyring(folder), root)
    show({"root_version": version, "keys": str(folder)}, as_json, f"Root version {version} is trusted in {folder}.")


def print_missing_signatures(request: Request, path: Path, as_json: bool) -> None:
    """Print who must still sign a request, and the next command."""
    lacking = request.missing_keyids()
    lines = [
        f"{role}: one of {', '.join(keyid[:12] for keyid in keyids)} must sign" for role, keyids in lacking.items()
    ]
    after = f"next: diffserver keys sign {path}" if lacking else f"next: diffserver keys submit {path}"
    show({"request": str(path), "lacking": lacking}, as_json, "\n".join([f"Request: {path}", *lines, after]))
