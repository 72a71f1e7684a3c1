"""The boot of a machine: the same for as long as it runs, and another one elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffclient.network import boot
from tests.client.conftest import Device


@pytest.fixture(autouse=True)
def forgetful() -> None:
    boot.boot_id.cache_clear()


def test_it_stays_until_the_machine_starts_again(tmp_path: Path) -> None:
    source = tmp_path / "boot_id"
    source.write_text("one\n")
    first = boot.boot_id(source)
    assert len(first) == 64
    boot.boot_id.cache_clear()
    assert boot.boot_id(source) == first
    source.write_text("two\n")
    boot.boot_id.cache_clear()
    assert boot.boot_id(source) != first


def test_where_no_system_tells_it_is_the_process(tmp_path: Path) -> None:
    first = boot.boot_id(tmp_path / "none")
    assert boot.boot_id(tmp_path / "none") == first
    boot.boot_id.cache_clear()
    assert boot.boot_id(tmp_path / "none") != first


def test_polls_and_what_is_told_between_them_name_it(device: Device) -> None:
    device.update()
    polls = [request.body["boot"] for request in device.server.seen if request.path == "/v1/device/poll"]
    assert {*polls, *(body["boot"] for body in device.server.told)} == {boot.boot_id()}
