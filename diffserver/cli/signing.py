"""Send a change of a model's releases, and sign it here where the server does not hold the model's key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from diffserver import settings
from diffserver.cli.output import warn
from diffserver.cli.remote import Remote, RemoteError

NEEDED = "urn:diffserver:problem:signature-needed"

Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        help="Folder of the keys that sign here. [env: DIFFSERVER_KEYS; default: keys in the home]",
        show_default=False,
    ),
]


def keys_folder(keys: Path | None) -> Path:
    """Return the folder given, the environment's, or the home's."""
    return keys.absolute() if keys else settings.keys_folder()


def change(
    remote: Remote, path: str, body: Mapping[str, Any], expected: Mapping[str, Any], keys: Path | None = None
) -> Any:
    """Post a change; where the server needs signatures on it, check it, sign it here and post it again.

    `expected` holds the members of the change, as `operator_signing.answer` takes them. Raises RemoteError.
    """
    try:
        return remote.post(path, body)
    except RemoteError as error:
        if error.problem.get("type") != NEEDED:
            raise
        challenge = error.problem["challenge"]
    # Imported late, since most commands sign nothing.
    from diffserver.trust import operator_signing
    from diffserver.trust.keys import Keyring

    signed = operator_signing.answer(challenge, expected, Keyring(keys_folder(keys), ask=True), remote.url)
    warn(f"Signed here: {signed.change}.")
    return remote.post(path, {**body, "proof": signed.proof})
