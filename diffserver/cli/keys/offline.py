"""Commands for the machines where keys are kept: create, import, sign, trust. They need no server."""

from pathlib import Path
from typing import Annotated

import typer

from diffserver.cli.output import AsJson, show
from diffserver.cli.signing import Keys, keys_folder
from diffserver.errors import Invalid
from diffserver.trust import key_changes, operator_signing, signing_requests
from diffserver.trust import keys as keyfiles
from diffserver.trust.key_changes import Request
from diffserver.trust.keys import Keyring

RequestFile = Annotated[Path, typer.Argument(metavar="REQUEST", help="A request for signatures.")]


def add_to(group: typer.Typer) -> None:
    """Add these commands to those for keys."""
    for command in (create, sign, trust):
        group.command()(command)
    group.command("import")(import_key)


def create(
    name: Annotated[str, typer.Argument(help="What to call it: letters, digits, '.', '_', '-'.")],
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Make a key pair, encrypted at rest, on this machine.

    The file that it prints holds the public half alone; pass it to `add-model` or `rotate`.
    The passphrase comes from DIFFSERVER_PASSPHRASE, or is made and kept beside the key in the file `passphrase`.

    Example: `diffserver keys create release --keys /media/stick/keys`
    """
    made = keyfiles.create(keys_folder(keys), keyfiles.checked_name(name))
    value = {"name": made.name, "keyid": made.public.keyid, "file": str(made.path), "uri": made.uri}
    show(value, as_json, f"Key {made.public.keyid} is in {made.path}; its public half may be passed on.")


def import_key(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    uri: Annotated[str, typer.Option("--uri", help="Where the private half is: awskms:…, gcpkms:…, azurekms:…, hsm:…")],
    public: Annotated[Path, typer.Option("--public", help="The public half, as PEM.")],
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Write down a key whose private half is in a KMS or an HSM, by its URI (securesystemslib).

    Example: `diffserver keys import release --uri awskms:alias/diffs --public release.pem`
    """
    path = keys_folder(keys) / f"{keyfiles.checked_name(name)}{keyfiles.SUFFIX}"
    made = keyfiles.record(path, keyfiles.read_public(public), uri)
    value = {"name": made.name, "keyid": made.public.keyid, "file": str(made.path), "uri": made.uri}
    show(value, as_json, f"Key {made.public.keyid} is in {made.path}.")


def sign(
    request: RequestFile,
    keys: Keys = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a request for signatures and sign it with the keys here; needs no server.

    Example: `diffserver keys sign request.json --keys /media/stick/offline`
    """
    folder = keys_folder(keys)
    found = signing_requests.read(request)
    signing_requests.require_trusted(found, folder / operator_signing.TRUSTED_FOLDER / "root.json")
    if not as_json:
        show(None, False, "\n".join(key_changes.describe(found)))
    if not (yes or as_json or typer.confirm("Sign this?")):
        raise Invalid("nothing was signed", "")
    before = found.lacking()
    found.sign(Keyring(folder, ask=True))
    if before and found.lacking() == before:
        raise Invalid(f"none of the keys in {folder} is asked for", "pass --keys; see `diffserver keys show`")
    signing_requests.write(request, found)
    say_lacking(found, request, as_json)


def trust(
    root: Annotated[Path, typer.Argument(help="The server's root.json.")], keys: Keys = None, as_json: AsJson = False
) -> None:
    """Trust a server's root on this machine, so that what is signed here is checked against it.

    Example: `diffserver keys trust root.json --keys ~/keys`
    """
    folder = keys_folder(keys)
    version = operator_signing.trust(Keyring(folder), root)
    show({"root_version": version, "keys": str(folder)}, as_json, f"Root version {version} is trusted in {folder}.")


def say_lacking(request: Request, path: Path, as_json: bool) -> None:
    """Say who has to sign a request yet, and what to type next."""
    lacking = request.lacking()
    lines = [
        f"{role}: one of {', '.join(keyid[:12] for keyid in keyids)} must sign" for role, keyids in lacking.items()
    ]
    after = f"next: diffserver keys sign {path}" if lacking else f"next: diffserver keys submit {path}"
    show({"request": str(path), "lacking": lacking}, as_json, "\n".join([f"Request: {path}", *lines, after]))
