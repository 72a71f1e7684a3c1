"""How commands change a model's releases: the server signs if it may, else the keys that are here do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from diffserver import settings
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
    remote: Remote, path: str, body: Mapping[str, Any], asked: Mapping[str, Any], keys: Path | None = None
) -> Any:
    """Post a change; where the server needs signatures on it, check it, sign it here and post it again.

    `asked` is what the change has to say, by `operator_signing.answer`'s rules.
    """
    try:
        return remote.post(path, body)
    except RemoteError as error:
        if error.problem.get("type") != NEEDED:
            raise
        challenge = error.problem["challenge"]
    # Imported late: most commands sign nothing.
    from diffserver.trust import operator_signing
    from diffserver.trust.keys import Keyring

    proof = operator_signing.answer(challenge, asked, Keyring(keys_folder(keys), ask=True), remote.url)
    return remote.post(path, {**body, "proof": proof})
