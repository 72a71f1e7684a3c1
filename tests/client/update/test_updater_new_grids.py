"""Devices over a step that sends tensors to new grids and off them: chains, single steps, and the way back."""

from __future__ import annotations

import pytest

from diffclient.payload import frame
from diffclient.tensors.snapshot import Snapshot
from tests.client.conftest import Device
from tests.client.lineage import CLASSIFIER, Lineage
from tests.factories import outgrowing_diff


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    """Versions 0 to 3: two sparse diffs, and an exact one with new grids between them."""
    line = Lineage(tmp_path_factory.mktemp("new-grids"), CLASSIFIER).grow(1)
    line.extend(outgrowing_diff(line.versions[1].table, "head.weight", "unused"))
    return line.grow(1)


@pytest.mark.parametrize("targets", [(0, 3), (0, 1, 2, 3), (1, 3), (0, 2), (2, 3), (3,)])
def test_a_device_follows_by_any_steps(device: Device, lineage: Lineage, targets: tuple[int, ...]) -> None:
    for device.server.target in targets:
        assert device.update().action == "installed"
        assert device.digest() == lineage.digest(device.server.target)
    held = Snapshot(device.store.weights(lineage.digest(targets[-1])))
    assert held.table == lineage.versions[targets[-1]].table


def test_it_goes_back_to_the_old_grids_and_on_again(device: Device, lineage: Lineage) -> None:
    for device.server.target in (1, 2):
        device.update()
    device.updater().rollback()
    assert device.digest() == lineage.digest(1)
    device.server.target = 3
    assert device.update().action == "installed"
    assert device.digest() == lineage.digest(3)


def test_a_client_that_knows_format_2_alone_follows_by_a_snapshot(
    device: Device, lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame, "KNOWN", {frame.PLAIN: frame.KNOWN[frame.PLAIN]})
    device.server.goes_round = True
    for device.server.target in (1, 2):
        assert device.update().action == "installed"
        assert device.digest() == lineage.digest(device.server.target)
    assert "format 3, kind 3: this client knows format 2; update it" in device.server.reports[-1]["reason"]
