"""Admitting a model: the delegation that its role needs before the first version is published.

Done on the way where the targets' key is at hand; else a person does it, with `diffserver keys add-model`.
"""

from datetime import datetime
from typing import Any

from tuf.api.metadata import Metadata, Targets

from diffserver.errors import KeyMissing
from diffserver.trust import keys
from diffserver.trust.keys import KeyFile, Keyring
from diffserver.trust.metadata.delegation import Holders, holders_of, with_model
from diffserver.trust.metadata.next_metadata import expiry, follow
from diffserver.trust.metadata.roles import ROOT, TARGETS
from diffserver.trust.metadata_rows import Book
from diffserver.trust.signing import can_sign, sign

ONLINE, OFFLINE = "online", "offline"
"""The folders of a server's keys: those that it needs to run, and those that are better kept elsewhere."""


def admit(book: Book, keyring: Keyring, model: str, moment: datetime) -> tuple[dict[str, Metadata[Any]], Holders]:
    """Return who holds a model's role, and the new metadata of the top-level targets if it had none.

    Raises KeyMissing if a model is new and the targets' key is not here.
    """
    targets = book.need(TARGETS)
    holders = holders_of(targets.signed, model)
    if holders is not None:
        return {}, holders
    above = holders_of(book.need(ROOT).signed, TARGETS)
    if above is None or not can_sign(above, keyring):
        raise KeyMissing(
            f"model {model} has no role yet, and the targets' key is not in {keyring.folder}",
            f"run: diffserver keys add-model {model}",
        )
    holders = Holders((model_key(keyring, model).public,))
    metadata = delegated(targets, model, holders, moment)
    sign(metadata, above, keyring)
    return {TARGETS: metadata}, holders


def delegated(current: Metadata[Any], model: str, holders: Holders, moment: datetime) -> Metadata[Targets]:
    """Return the top-level targets, unsigned, that give a model's role to these."""
    return follow(current, with_model(current.signed, model, holders), expiry(TARGETS, moment))


def model_key(keyring: Keyring, model: str) -> KeyFile:
    """The key that the server holds for a model, made if there is none."""
    name = f"model-{model}"  # so that no model's name is that of another key
    return keyring.named(name) or keys.create(keyring.folder / ONLINE, name)
