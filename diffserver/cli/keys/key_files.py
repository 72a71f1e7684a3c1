"""The keys that a command is given or makes, and the text on where keys are kept."""

from pathlib import Path
from typing import Annotated

import typer

from diffserver.errors import Invalid
from diffserver.settings import Settings
from diffserver.trust import keys
from diffserver.trust.admit_model import OFFLINE, ONLINE
from diffserver.trust.bootstrap import TrustAnchor
from diffserver.trust.metadata.delegation import Holders
from diffserver.trust.metadata.roles import ROOT, TARGETS

Public = Annotated[
    list[Path] | None, typer.Option("--public", help="A public key: a *.key.json or a PEM. [default: a key made here]")
]
Threshold = Annotated[int, typer.Option("--threshold", help="How many of the keys given must sign.", min=1)]


def holders(settings: Settings, name: str, folder: str, public: list[Path] | None, threshold: int) -> Holders:
    """Return the keys given, or else the key of that name, made if there is none."""
    if public:
        return public_keys(public, threshold)
    key = keys.Keyring(settings.keys).named(name) or keys.create(settings.keys / folder, name)
    return Holders((key.public,))


def public_keys(public: list[Path], threshold: int) -> Holders:
    """Read public keys from files; raises KeyMissing, Invalid."""
    return Holders(tuple(keys.read_public(path) for path in public), threshold)


def new_key(settings: Settings, role: str) -> Holders:
    """Make a key for a role in the server's folder, under the next free name; raises Invalid if keys are elsewhere."""
    offline = role in (ROOT, TARGETS)
    folder = settings.keys / (OFFLINE if offline else ONLINE)
    if offline and not folder.is_dir():
        raise Invalid(
            f"the keys of {role} are not here", "make one where they are (`diffserver keys create`) and pass --public"
        )
    name = role if offline or role == ONLINE else f"model-{role}"
    taken = {file.name for file in keys.Keyring(settings.keys).files()}
    number = next(number for number in range(2, 10_000) if f"{name}-{number}" not in taken)
    return Holders((keys.create(folder, f"{name}-{number}").public,))


def describe_keys(settings: Settings) -> str:
    """Return a text on where the keys are, and how to take the offline ones to another machine."""
    offline = settings.keys / OFFLINE
    if not offline.is_dir():
        return f"The keys that sign are in {settings.keys}."
    return (
        f"The keys that sign are in {settings.keys};\nto take those of root and targets offline, move {offline} to "
        "another machine, and pass it to `diffserver keys sign --keys` when it is needed."
    )


def describe_anchor(settings: Settings, anchor: TrustAnchor) -> dict[str, str | int]:
    """Return the trust anchor and the folder of keys as JSON values."""
    return {
        "root_file": str(anchor.path),
        "root_version": anchor.version,
        "first_root_sha256": anchor.first_sha256,
        "keys": str(settings.keys),
    }
