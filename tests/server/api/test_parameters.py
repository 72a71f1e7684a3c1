"""Query parameters: what an endpoint does not have is refused by name, at every endpoint."""

import pytest

from tests.server import factories
from tests.server.conftest import Service

VALUES = {"sha256": factories.digest("x"), "model": "speech", "name": "timestamp.json"}
VALUES |= {
    "training_id": "1",
    "rollout_id": "1",
    "candidate_id": "1",
    "token_id": "1",
    "device_id": "a" * 24,
    "channel": "stable",
    "number": "1",
}


def test_an_unknown_parameter_is_named_with_those_that_there_are(service: Service) -> None:
    answer = service.operator.get("/v1/reports?model=speech&channel=stable")
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (422, "urn:diffserver:problem:unknown-parameter")
    assert problem["detail"] == "there is no query parameter 'channel' here"
    assert problem["remedy"] == "leave it out; those that there are: after, limit, model"
    assert problem["known"] == ["after", "limit", "model"]


@pytest.mark.parametrize("name", ["sort", "Limit", "\u202e", "a" * 5000, "\x00"])
def test_no_name_is_too_odd_to_be_refused(service: Service, name: str) -> None:
    answer = service.operator.get("/v1/models", params={name: "1"})
    assert (answer.status_code, answer.json()["known"]) == (422, ["after", "archived", "limit"])
    assert len(answer.text) < 500


def test_every_endpoint_refuses_what_its_description_does_not_name(service: Service) -> None:
    service.publish_chain(0)
    device, document = service.device(), service.public.get("/openapi.json").json()
    asked = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            caller = device if "/device/" in path else service.operator
            answer = caller.request(method, path.format(**VALUES), params={"sort": "name"}, json={})
            assert answer.status_code == 422, (method, path, answer.text)
            named = operation.get("parameters", [])
            known = [one["name"] for one in named if one["in"] == "query"]
            assert method == "head" or answer.json()["known"] == sorted(known)
            asked += 1
    assert asked > 20


def test_who_is_asking_comes_first(service: Service) -> None:
    assert service.public.get("/v1/models?sort=name").status_code == 401
