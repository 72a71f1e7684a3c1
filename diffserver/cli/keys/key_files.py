"""Which keys a command is about, given or made here; and what it says of where they are."""

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


def holders(chosen: Settings, name: str, folder: str, public: list[Path] | None, threshold: int) -> Holders:
    """The keys given; else the key of that name, made if there is none."""
    if public:
        return public_keys(public, threshold)
    found = keys.Keyring(chosen.keys).named(name) or keys.create(chosen.keys / folder, name)
    return Holders((found.public,))


def public_keys(public: list[Path], threshold: int) -> Holders:
    """The keys in files; raises KeyMissing, Invalid."""
    return Holders(tuple(keys.read_public(path) for path in public), threshold)


def new_key(chosen: Settings, role: str) -> Holders:
    """A key made for a role, beside the server's others, under the next free name."""
    offline = role in (ROOT, TARGETS)
    folder = chosen.keys / (OFFLINE if offline else ONLINE)
    if offline and not folder.is_dir():
        raise Invalid(
            f"the keys of {role} are not here", "make one where they are (`diffserver keys create`) and pass --public"
        )
    name = role if offline or role == ONLINE else f"model-{role}"
    taken = {file.name for file in keys.Keyring(chosen.keys).files()}
    number = next(number for number in range(2, 10_000) if f"{name}-{number}" not in taken)
    return Holders((keys.create(folder, f"{name}-{number}").public,))


def about_keys(chosen: Settings) -> str:
    """Say where the keys are, and how those that are better kept elsewhere get there."""
    offline = chosen.keys / OFFLINE
    if not offline.is_dir():
        return f"The keys that sign are in {chosen.keys}."
    return (
        f"The keys that sign are in {chosen.keys};\nto take those of root and targets offline, move {offline} to "
        "another machine, and pass it to `diffserver keys sign --keys` when it is needed."
    )


def describe_anchor(chosen: Settings, anchor: TrustAnchor) -> dict[str, str | int]:
    """Return the same for scripts."""
    return {
        "root_file": str(anchor.path),
        "root_version": anchor.version,
        "first_root_sha256": anchor.first_sha256,
        "keys": str(chosen.keys),
    }
