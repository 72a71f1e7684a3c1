"""Tokens over HTTP: made, listed and revoked by admins."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from diffserver.catalog.tokens import ENROLL_FOR
from tests.server.conftest import Service


def made(service: Service, **fields: Any) -> dict[str, Any]:
    answer = service.operator.post("/v1/tokens", json={"role": "viewer", "name": "berta", **fields})
    assert answer.status_code == 201, answer.text
    token: dict[str, Any] = answer.json()
    return token


def listed(service: Service) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = service.operator.get("/v1/tokens").json()["items"]
    return items


def test_a_token_works_until_it_is_revoked(service: Service) -> None:
    token = made(service)
    berta = service.client(token["token"])
    assert berta.get("/v1/status").status_code == 200
    assert service.operator.delete(f"/v1/tokens/{token['id']}").json()["revoked"] is not None
    assert berta.get("/v1/status").status_code == 401


def test_a_list_shows_no_secret_and_no_token_of_a_device(service: Service) -> None:
    service.publish_chain(0)
    secret = made(service)["token"]
    service.device()
    assert [(item["role"], item["name"]) for item in listed(service)] == [("admin", "anna"), ("viewer", "berta")]
    assert secret not in service.operator.get("/v1/tokens").text


def test_a_token_to_enrol_with_ends_by_itself(service: Service) -> None:
    token = made(service, role="enroll")
    created, expires = (datetime.fromisoformat(token[name]) for name in ("created", "expires"))
    assert abs(expires - created - ENROLL_FOR).total_seconds() < 60
    assert made(service)["expires"] is None


def test_a_token_does_not_end_itself(service: Service) -> None:
    (own,) = listed(service)
    answer = service.operator.delete(f"/v1/tokens/{own['id']}")
    assert (answer.status_code, answer.json()["detail"]) == (409, "a token does not end itself")
    assert listed(service)[0]["revoked"] is None


def test_a_devices_token_is_ended_with_the_device(service: Service) -> None:
    service.publish_chain(0)
    service.device()
    answer = service.operator.delete("/v1/tokens/2")
    assert answer.status_code == 404
    assert "/revoke" in answer.json()["remedy"]


@pytest.mark.parametrize(
    "body",
    [
        {"role": "device", "name": "berta"},
        {"role": "viewer", "name": "\u202e"},
        {"role": "viewer", "name": "berta", "uses": 3},
        {"role": "viewer", "name": "berta", "expires": "2001-01-01T00:00:00Z"},
    ],
)
def test_what_makes_no_token(service: Service, body: dict[str, Any]) -> None:
    assert service.operator.post("/v1/tokens", json=body).status_code == 422
    assert len(listed(service)) == 1
