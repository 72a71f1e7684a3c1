"""Who may call what: every endpoint, by its name, with every role, over HTTP.

A new endpoint without a row fails here, and so does a row without an endpoint.
"""

from collections.abc import Mapping
from typing import Any, get_args

import pytest
from fastapi.routing import APIRoute

from diffserver.catalog.tokens import Role
from tests.server import factories
from tests.server.conftest import Service

NOBODY = "nobody"
CALLERS = (NOBODY, *get_args(Role))

EVERYBODY = frozenset(CALLERS)
VIEWERS = frozenset({"viewer", "publisher", "admin"})
PUBLISHERS = frozenset({"publisher", "admin"})
ADMINS = frozenset({"admin"})
ENROLLERS = frozenset({"enroll", "admin"})
DEVICES = frozenset({"device"})

TABLE: Mapping[str, frozenset[str]] = {
    "live": EVERYBODY,
    "ready": EVERYBODY,
    "get_metadata": EVERYBODY,
    "get_blob": EVERYBODY,
    "enroll": ENROLLERS,
    "poll": DEVICES,
    "tell": DEVICES,
    "report": DEVICES,
    "list_models": VIEWERS,
    "get_model": VIEWERS,
    "list_versions": VIEWERS,
    "get_version": VIEWERS,
    "get_ledger": VIEWERS,
    "list_tallies": VIEWERS,
    "list_failures": VIEWERS,
    "list_reports": VIEWERS,
    "list_devices": VIEWERS,
    "get_device": VIEWERS,
    "list_channels": VIEWERS,
    "get_way": VIEWERS,
    "get_reach": VIEWERS,
    "list_trainings": VIEWERS,
    "get_training": VIEWERS,
    "list_training_lines": VIEWERS,
    "list_losses": VIEWERS,
    "list_candidates": VIEWERS,
    "get_candidate": VIEWERS,
    "get_status": VIEWERS,
    "list_audit": VIEWERS,
    "list_roles": VIEWERS,
    "get_metrics": VIEWERS,
    "get_webhook": VIEWERS,
    "put_checkpoint": PUBLISHERS,
    "put_graph": PUBLISHERS,
    "put_diff": PUBLISHERS,
    "submit_training": PUBLISHERS,
    "cancel_training": PUBLISHERS,
    "publish_candidate": PUBLISHERS,
    "delete_candidate": PUBLISHERS,
    "move_channel": PUBLISHERS,
    "renew": PUBLISHERS,
    "list_rollouts": VIEWERS,
    "get_rollout": VIEWERS,
    "list_looks": VIEWERS,
    "start_rollout": PUBLISHERS,
    "approve_rollout": PUBLISHERS,
    "pause_rollout": PUBLISHERS,
    "resume_rollout": PUBLISHERS,
    "abort_rollout": PUBLISHERS,
    "retire": ADMINS,
    "list_stranded": VIEWERS,
    "change_model": ADMINS,
    "delete_model": ADMINS,
    "create_channel": ADMINS,
    "change_channel": ADMINS,
    "change_device": ADMINS,
    "decommission_device": ADMINS,
    "revoke_device": ADMINS,
    "list_tokens": ADMINS,
    "create_token": ADMINS,
    "revoke_token": ADMINS,
    "try_webhook": ADMINS,
}

NOTHING = {
    "model": "none",
    "channel": "none",
    "name": "none",
    "device_id": "f" * 24,
    "sha256": factories.digest("nothing"),
    "number": 999,
    "training_id": 999,
    "candidate_id": 999,
    "token_id": 999,
    "rollout_id": 999,
}
"""What is in no server: whoever may call is told so."""


def routes(service: Service) -> list[APIRoute]:
    found: list[APIRoute] = service.app.state.routes
    return found


def test_every_endpoint_has_a_row(service: Service) -> None:
    assert {route.name for route in routes(service)} == TABLE.keys()


@pytest.mark.parametrize("caller", CALLERS)
def test_who_may_and_who_may_not(service: Service, caller: str) -> None:
    service.publish_chain(0)
    client = {NOBODY: service.public, "device": service.device()}.get(caller) or _made(service, caller)
    refused = {}
    for route in routes(service):
        for method in route.methods or ():
            answer: Any = client.request(method, route.path.format(**NOTHING), json={})
            refused[route.name, method] = answer.status_code if answer.status_code in (401, 403) else None
    no = 401 if caller == NOBODY else 403
    expected = {(name, method): None if caller in TABLE[name] else no for name, method in refused}
    assert refused == expected


def _made(service: Service, role: Any) -> Any:
    return service.client(service.token(role, "somebody"))


def test_a_refusal_names_the_roles_that_would_do(service: Service) -> None:
    answer = _made(service, "viewer").post("/v1/candidates/1/publish", json={})
    assert answer.json()["detail"] == "a token of role publisher or admin is needed, this one is of role viewer"
