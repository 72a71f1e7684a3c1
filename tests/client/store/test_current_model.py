"""An application beside the agent: it opens what is in use, and notices a switch."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from diffclient.errors import NothingKept, SnapshotError
from diffclient.store.current_model import CurrentModel
from diffclient.store.store import Store
from tests.client.conftest import Device, enrolled
from tests.client.lineage import Lineage
from tests.client.scripted_server import ScriptedServer
from tests.client.speech import SPEECH


def test_there_is_nothing_to_open_before_the_first_update(tmp_path: Path) -> None:
    with pytest.raises(NothingKept, match="diffclient update"):
        CurrentModel.open(tmp_path)


def test_the_weights_are_those_of_the_version_in_use(device: Device, lineage: Lineage) -> None:
    device.update()
    model = CurrentModel.open(device.store.root)
    assert (model.version, model.digest) == (0, lineage.digest(0))
    assert model.is_current()
    expected = lineage.versions[0].snapshot.read_all()
    for name, array in model.arrays().items():
        np.testing.assert_array_equal(array, expected[name])


def test_a_switch_is_noticed_and_what_was_opened_stays(device: Device, lineage: Lineage) -> None:
    device.update()
    model = CurrentModel.open(device.store.root)
    device.server.target = 1
    device.update()
    assert not model.is_current()
    assert model.weights.digest() == lineage.digest(0)
    assert CurrentModel.open(device.store.root).version == 1


def test_errors_that_a_version_made_are_its_own(device: Device, lineage: Lineage) -> None:
    device.update()
    model = CurrentModel.open(device.store.root)
    device.server.target = 1
    device.update()
    model.count(3, 50)
    device.update()
    told = device.server.reports[-1]
    assert (told["stage"], told["to_digest"], told["errors"], told["total"]) == ("field", lineage.digest(0), 3, 50)


def test_damage_is_told(device: Device) -> None:
    device.update()
    device.store.weights(CurrentModel.open(device.store.root).digest).write_bytes(b"")
    with pytest.raises(SnapshotError, match="diffclient verify"):
        CurrentModel.open(device.store.root)


def test_it_is_opened_whole_while_updates_replace_it(device: Device) -> None:
    device.update()
    done, opened = threading.Event(), set[int]()

    def open_again_and_again() -> None:
        while not done.is_set():
            opened.add(CurrentModel.open(device.store.root).version)

    opening = threading.Thread(target=open_again_and_again)
    opening.start()
    for device.server.target in (1, 2, 3):
        device.update()
    done.set()
    opening.join()
    assert opened <= {0, 1, 2, 3}
    assert len(opened) > 1


def test_it_runs_in_onnxruntime(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path / "speech", SPEECH)
    server = ScriptedServer(lineage)
    try:
        device = enrolled(Store(tmp_path / "store"), server, SPEECH.score)
        device.update()
        session = CurrentModel.open(device.store.root).session()
        assert session.metadata
    finally:
        server.close()
