"""Every attack of the table: its own error, at its own stage, with nothing changed, and the honest server goes on."""

from __future__ import annotations

import copy

import pytest

from diffclient.errors import UpdateFailed
from diffclient.store.policy import Policy
from tests.attacks.attack import Attack, honest
from tests.attacks.table import ATTACKS
from tests.client.conftest import Device
from tests.client.lineage import Lineage
from tests.client.repository import Repository
from tests.faults.chain import known

ROWS = [(holds, attack) for holds, attacks in ATTACKS.items() for attack in attacks]
TARGET = 3


def installed(device: Device) -> dict[str, bytes]:
    """The weights here, byte by byte."""
    slots = device.store.root / "slots"
    return {str(path): path.read_bytes() for path in slots.rglob("*") if path.is_file()}


def mend(device: Device, before: Repository) -> None:
    """The server as it was, its metadata newer than whatever the attacker had signed."""
    for role, metadata in device.server.repository.metadata.items():
        before.metadata.setdefault(role, metadata)  # a snapshot must never forget a role's name
    device.server.heal()
    device.server.repository = before
    for role, metadata in before.metadata.items():
        metadata.signed.version += 100 if role != "root" else 0
    device.server.sign()
    for role in ("targets", "snapshot", "timestamp"):
        before.write(role)
    device.store.allow(Policy("always"))


@pytest.mark.parametrize(("holds", "attack"), ROWS, ids=[f"{holds}: {attack.name}" for holds, attack in ROWS])
def test_nothing_changes(holds: str, attack: Attack, device: Device, lineage: Lineage) -> None:
    honest(device, attack.runs)
    before, files, relied = device.store.state(), installed(device), known(device.store.root.parent)
    repository = copy.copy(device.server.repository)
    repository.files, repository.metadata = dict(repository.files), copy.deepcopy(repository.metadata)
    repository.signers = dict(repository.signers)
    device.server.target = TARGET
    attack.move(device)

    with pytest.raises(UpdateFailed) as failed:
        device.update()

    assert (failed.value.stage, type(failed.value.cause)) == (attack.stage, attack.cause), failed.value.cause
    after = device.store.state()
    assert (after.current, after.previous) == (before.current, before.previous)
    assert {path: data for path, data in installed(device).items() if path in files} == files
    assert device.digest() == lineage.digest(attack.runs)
    assert all(known(device.store.root.parent)[role] >= version for role, version in relied.items())

    if known(device.store.root.parent)["root"] == 1:  # nor has the attacker, with the root's own key, replaced it
        mend(device, repository)
        assert device.update(force=True).action == "installed"
        assert device.digest() == lineage.digest(TARGET)


def test_there_are_enough() -> None:
    names = [attack.name for _, attack in ROWS]
    assert len(set(names)) == len(names) > 60
