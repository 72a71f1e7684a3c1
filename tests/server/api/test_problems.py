import json
from typing import Any

import pytest

from diffserver.storage.database import connect
from tests.server import factories
from tests.server.conftest import Service, record

MEMBERS = {"type", "title", "status", "detail", "remedy", "request_id"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"),
    [
        ("GET", "/nowhere", None, 404, "not-found"),
        ("GET", "/v1/models/nobody", None, 404, "not-found"),
        ("GET", "/v1/trainings/7", None, 404, "not-found"),
        ("GET", "/v1/trainings/7/log", None, 404, "not-found"),
        ("GET", "/v1/candidates/7", None, 404, "not-found"),
        ("GET", "/v1/models/nobody/versions", None, 404, "not-found"),
        ("GET", "/v1/models/nobody/devices", None, 404, "not-found"),
        ("DELETE", "/v1/trainings/7", None, 404, "not-found"),
        ("POST", "/v1/candidates/7/publish", "{}", 404, "not-found"),
        ("POST", "/v1/enroll", '{"model": "nobody", "name": "x"}', 404, "not-found"),
        ("PUT", "/v1/models", None, 405, "method-not-allowed"),
        ("GET", "/v1/trainings/x", None, 422, "invalid"),
        ("GET", f"/v1/trainings/{2**40}", None, 422, "invalid"),
        ("GET", "/v1/candidates/0", None, 422, "invalid"),
        ("GET", "/v1/models/%00", None, 422, "invalid"),
        ("GET", "/v1/models?limit=0", None, 422, "invalid"),
        ("GET", "/v1/trainings?after=9999999999", None, 422, "invalid"),
        ("GET", "/v1/reports?model=%00", None, 422, "invalid"),
        ("POST", "/v1/enroll", None, 422, "invalid"),
        ("POST", "/v1/enroll", "{", 422, "invalid"),
        ("POST", "/v1/enroll", "[]", 422, "invalid"),
        ("POST", "/v1/enroll", '{"model": "speech"}', 422, "invalid"),
        ("POST", "/v1/candidates/1/publish", '{"force": true, "more": 1}', 422, "invalid"),
        ("POST", "/v1/enroll", '{"model": "speech", "name": "a\\u0000b"}', 422, "invalid"),
        ("POST", "/v1/enroll", '{"model": "speech", "name": "\\ud800"}', 422, "invalid"),
        ("POST", "/v1/enroll", "\x00", 422, "invalid"),
    ],
)
def test_every_error_is_a_problem_with_a_remedy(
    service: Service, method: str, path: str, body: str | None, status: int, kind: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = service.operator.request(method, path, content=body, headers=headers)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem.keys() >= MEMBERS
    assert (answer.status_code, problem["status"]) == (status, status)
    assert problem["type"] == f"urn:diffserver:problem:{kind}"
    assert problem["detail"]
    assert problem["remedy"]
    assert problem["request_id"] == answer.headers["x-request-id"]


def test_a_validation_problem_names_the_fields_and_repeats_no_input(service: Service) -> None:
    answer = service.operator.post("/v1/enroll", json={"model": "BAD secret", "name": ""})
    assert [error["where"] for error in answer.json()["errors"]] == ["body.model", "body.name"]
    assert "secret" not in answer.text


def test_the_allowed_methods_are_named(service: Service) -> None:
    assert service.operator.put("/v1/models").headers["allow"] == "GET"


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        (None, "no token was sent"),
        ("Basic YTpi", "no token was sent"),
        ("Bearer", "no token was sent"),
        ("Bearer wrong", "the token is not valid"),
        ("Bearer ds_operator_" + "A" * 43, "the token is not valid"),
    ],
)
def test_without_a_valid_token(service: Service, header: str | None, detail: str) -> None:
    answer = service.public.get("/v1/models", headers={"Authorization": header} if header else {})
    assert (answer.status_code, answer.json()["detail"]) == (401, detail)
    assert answer.headers["www-authenticate"].startswith("Bearer ")


DEVICE_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/device/poll", {"digest": None}),
    ("/v1/device/reports", {"stage": "installed"}),
]


@pytest.mark.parametrize(("path", "body"), DEVICE_CALLS)
def test_an_operator_is_no_device(service: Service, path: str, body: dict[str, Any]) -> None:
    answer = service.operator.post(path, json=body)
    assert answer.status_code == 403
    assert "role device" in answer.json()["detail"]


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_beyond_the_limit_is_refused(service: Service, declared: bool) -> None:
    large = b'{"reason": "' + b"x" * (1 << 20) + b'"}'
    content = large if declared else iter([large[:600_000], large[600_000:]])
    answer = service.operator.post("/v1/trainings", content=content)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:diffserver:problem:too-large")
    assert "1,048,576 bytes" in answer.json()["detail"]


def test_a_refusal_carries_its_evidence(service: Service) -> None:
    service.publish_chain(0)
    new = factories.update("v0", "v1", 1, refusals=["over the budget"])
    answer = service.operator.post(f"/v1/candidates/{record(service.engine, new).id}/publish", json={})
    problem = json.loads(answer.text)
    assert (answer.status_code, problem["type"]) == (409, "urn:diffserver:problem:refused")
    assert (problem["refusals"], problem["evaluation"]) == (["over the budget"], factories.EVALUATION)


def test_while_the_database_is_away_callers_are_told_to_come_back(service: Service) -> None:
    service.app.state.engine = connect(f"sqlite:///{service.settings.home}/no/such/folder/x.db")
    answer = service.operator.get("/v1/models")
    assert answer.status_code == 503
    assert 5 <= int(answer.headers["retry-after"]) <= 7
    assert answer.json()["type"] == "urn:diffserver:problem:unavailable"
    assert "no/such" not in answer.text
    assert service.logged()[-2]["event"] == "failed"
