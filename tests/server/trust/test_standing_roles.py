"""What is told of the roles in force: every one, with its expiry, its keys, and whether they are here."""

from __future__ import annotations

import shutil

import pytest

from tests.server.conftest import Service


def roles(service: Service) -> dict[str, dict[str, object]]:
    answer = service.operator.get("/v1/roles")
    assert answer.status_code == 200, answer.text
    return {row["role"]: row for row in answer.json()["items"]}


def test_every_role_is_told_with_its_keys(service: Service) -> None:
    service.publish_chain(1)
    found = roles(service)
    assert found.keys() >= {"root", "targets", "snapshot", "timestamp", "speech"}
    assert [row["model"] for row in found.values() if row["model"]] == ["speech"] * (len(found) - 4)
    assert all(row["keys"] and row["signs_here"] and not row["due"] for row in found.values())


@pytest.mark.parametrize("keys", ["offline", "online"])
def test_keys_elsewhere_are_told(service: Service, keys: str) -> None:
    service.publish_chain(1)
    shutil.rmtree(service.settings.keys / keys)
    found = roles(service)
    assert found["root"]["signs_here"] == (keys == "online")
    assert found["speech"]["signs_here"] == (keys == "offline")
