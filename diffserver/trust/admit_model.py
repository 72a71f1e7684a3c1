"""Admit a model: delegate its role before its first version is published.

Publishing does so where the targets' key is here; elsewhere it is left to `diffserver keys add-model`.
"""

from datetime import datetime
from typing import Any

from tuf.api.metadata import Metadata, Targets

from diffserver.errors import KeyMissing
from diffserver.trust import keys
from diffserver.trust.keys import KeyFile, Keyring
from diffserver.trust.metadata.delegation import Holders, holders_of, with_model
from diffserver.trust.metadata.next_metadata import expiry, follow, least
from diffserver.trust.metadata.roles import ROOT, SNAPSHOT, TARGETS
from diffserver.trust.metadata_rows import CurrentMetadata
from diffserver.trust.signing import can_sign, sign

ONLINE, OFFLINE = "online", "offline"
"""Folders of a server's keys: those that it needs to run, and those that are safer on another machine."""


def admit(
    in_force: CurrentMetadata, keyring: Keyring, model: str, moment: datetime
) -> tuple[dict[str, Metadata[Any]], Holders]:
    """Return new top-level targets metadata, if the model had no role, and the role's holders.

    Raises KeyMissing if a model is new and the targets' key is not here.
    """
    targets = in_force.require(TARGETS)
    holders = holders_of(targets.signed, model)
    if holders is not None:
        return {}, holders
    above = holders_of(in_force.require(ROOT).signed, TARGETS)
    if above is None or not can_sign(above, keyring):
        raise KeyMissing(
            f"model {model} has no role yet, and the targets' key is not in {keyring.folder}",
            f"run: diffserver keys add-model {model}",
        )
    holders = Holders((model_key(keyring, model).public,))
    metadata = delegated(targets, model, holders, moment, least(in_force.get(SNAPSHOT)))
    sign(metadata, above, keyring)
    return {TARGETS: metadata}, holders


def delegated(current: Metadata[Any], model: str, holders: Holders, moment: datetime, lowest: int) -> Metadata[Targets]:
    """Return unsigned top-level targets of version `lowest` or later that delegate a model's role to `holders`."""
    return follow(current, with_model(current.signed, model, holders), expiry(TARGETS, moment), lowest)


def model_key(keyring: Keyring, model: str) -> KeyFile:
    """Return the server's key for a model, made if there is none."""
    name = f"model-{model}"  # the prefix keeps model keys apart from others
    return keyring.named(name) or keys.create(keyring.folder / ONLINE, name)
