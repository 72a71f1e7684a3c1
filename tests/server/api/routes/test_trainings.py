import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from diffserver.catalog import training_queue
from diffserver.catalog.jobs import lines, losses
from diffserver.catalog.jobs.lines import NewLine
from diffserver.catalog.jobs.losses import NewLoss
from diffserver.pipeline.search.trial_search import Trial
from diffserver.storage.column_types import utc_now
from tests.server import factories
from tests.server.conftest import Service, record

BASE = {"kind": "base", "model": "speech", "data": "/data/speech"}


def submit(service: Service, **change: Any) -> Any:
    return service.operator.post("/v1/trainings", json=BASE | change)


def test_a_training_is_queued_followed_and_cancelled(service: Service) -> None:
    answer = submit(service, epochs=3, max_regression=1.5)
    assert answer.status_code == 202
    training = answer.json()
    assert (training["id"], training["state"], training["progress"]) == (1, "queued", 0.0)
    assert training["spec"] == {
        **BASE,
        "channel": "stable",
        "task": "asr",
        "domain": None,
        "method": "sparse",
        "budget": 0.02,
        "seed": 0,
        "epochs": 3,
        "device": "auto",
        "max_regression": 1.5,
        "max_drift": None,
        "checkpoint": None,
        "off_grid": [],
        "graph": None,
        "measured": {},
        "parameters": {},
    }
    assert training_queue.claim(service.engine, "w", 60) is not None
    assert training_queue.heartbeat(service.engine, 1, "w", 0.5, "epoch 2 of 3")
    running = service.operator.get("/v1/trainings/1").json()
    assert (running["state"], running["progress"], running["message"]) == ("running", 0.5, "epoch 2 of 3")
    assert running["started"] > running["created"]
    assert service.operator.delete("/v1/trainings/1").json()["state"] == "cancelled"
    assert not training_queue.heartbeat(service.engine, 1, "w", 0.6, "")


def test_a_training_asks_for_a_device_by_number(service: Service) -> None:
    assert submit(service, device="cuda:1").json()["spec"]["device"] == "cuda:1"


def test_parameters_are_kept_as_text_by_name(service: Service) -> None:
    asked = {"learning_rate": 0.002, "steps": 2000, "optimiser": "sgd"}
    kept = {"learning_rate": "0.002", "steps": "2000", "optimiser": "sgd"}
    assert submit(service, parameters=asked).json()["spec"]["parameters"] == kept
    assert submit(service, parameters={"Learning rate": 1}).status_code == 422


def test_a_higher_priority_is_taken_first(service: Service) -> None:
    submit(service)
    assert submit(service, priority=3).json()["priority"] == 3
    first = training_queue.claim(service.engine, "w", 60)
    assert first is not None
    assert first.id == 2
    assert service.operator.get("/v1/trainings/1").json()["waiting"].startswith("no worker is there")
    assert submit(service, priority=1001).status_code == 422


def test_a_log_is_read_on_from_the_last_line(service: Service) -> None:
    submit(service)
    for count in (3, 2):
        said = [NewLine(1, utc_now(), "info", "w", f"line of {count}: {n}") for n in range(count)]
        lines.append(service.engine, said)
    first = service.operator.get("/v1/trainings/1/log?limit=2").json()
    assert [line["number"] for line in first["items"]] == [1, 2]
    assert first["items"][0]["text"] == "line of 3: 0"
    rest = service.operator.get(f"/v1/trainings/1/log?after={first['next']}").json()
    assert [(line["number"], line["worker"], line["level"]) for line in rest["items"]] == [
        (number, "w", "info") for number in (3, 4, 5)
    ]
    assert rest["next"] is None


def test_losses_are_told_by_part_and_step(service: Service) -> None:
    assert service.operator.get("/v1/trainings/1/losses").status_code == 404
    submit(service)
    assert service.operator.get("/v1/trainings/1/losses").json()["items"] == []
    training_queue.claim(service.engine, "w", 60)
    losses.append(service.engine, 1, "w", [NewLoss("1-full", 1, 2.5), NewLoss("1-full", 2, 1.5)])
    told = service.operator.get("/v1/trainings/1/losses").json()
    assert told["items"] == [{"part": "1-full", "step": 1, "loss": 2.5}, {"part": "1-full", "step": 2, "loss": 1.5}]


def test_a_failure_says_why(service: Service) -> None:
    submit(service)
    training_queue.claim(service.engine, "w", 60)
    training_queue.fail(service.engine, 1, "w", "no such folder: /data/speech")
    failed = service.operator.get("/v1/trainings/1").json()
    assert (failed["state"], failed["error"]) == ("failed", "no such folder: /data/speech")
    assert service.operator.delete("/v1/trainings/1").status_code == 409


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "more"},
        {"model": "Speech"},
        {"model": "-x"},
        {"model": ""},
        {"data": "relative/folder"},
        {"data": "/a\x00b"},
        {"method": "dense"},
        {"budget": 0},
        {"budget": 1.1},
        {"budget": "much"},
        {"seed": -1},
        {"epochs": 0},
        {"device": "cuda:0; rm"},
        {"device": "cuda:01"},
        {"max_regression": -1},
        {"max_drift": 0},
        {"max_drift": -1},
        {"max_drift": 101},
        {"domain": "a/b"},
        {"domain": ".."},
        {"domain": ""},
        {"extra": 1},
    ],
)
def test_a_training_that_makes_no_sense_is_refused(service: Service, change: dict[str, Any]) -> None:
    assert submit(service, **change).status_code == 422
    assert service.operator.get("/v1/models").json()["items"] == []


def test_a_budget_goes_without_saying(service: Service) -> None:
    service.publish_chain(0)

    def budget(**asked: Any) -> Any:
        return submit(service, kind="update", **asked).json()["spec"]["budget"]

    assert budget() == budget(budget=None) == budget(method="auto") == 0.02
    assert budget(max_drift=1.0) == budget(max_drift=0.1, method="auto") == 0.05
    assert budget(max_drift=1.0, budget=0.3) == 0.3


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"kind": "base", "max_drift": 1.0}, "for updates; a base has no payload"),
        ({"kind": "base", "method": "auto"}, "for updates; a base has no payload"),
        (
            {"kind": "update", "max_drift": 1.0, "method": "full"},
            "a bound on drift is for diffs that are made to a budget",
        ),
        (
            {"kind": "update", "max_drift": 1.0, "method": "exact"},
            "a bound on drift is for diffs that are made to a budget",
        ),
        (
            {"kind": "update", "max_drift": 1.0, "method": "exact", "checkpoint": ...},
            "a bound on drift is for diffs that are made to a budget, not for exact",
        ),
        ({"kind": "update", "method": "auto", "checkpoint": ...}, "method auto is for trainings; a checkpoint"),
    ],
)
def test_a_search_without_anything_to_search_is_refused(
    service: Service, tmp_path: Path, asked: dict[str, Any], reason: str
) -> None:
    service.publish_chain(0)
    if "checkpoint" in asked:
        (tmp_path / "checkpoint").write_bytes(b"weights")
        asked = asked | {"checkpoint": service.objects.put(tmp_path / "checkpoint").sha256}
    answer = submit(service, **asked)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:diffserver:problem:invalid")
    assert reason in answer.json()["detail"]
    assert answer.json()["remedy"]
    assert service.operator.get("/v1/trainings").json()["items"] == []


def test_an_update_needs_a_published_base(service: Service) -> None:
    assert submit(service, kind="update").status_code == 404
    submit(service)
    assert submit(service, kind="update").status_code == 409
    service.publish_chain(0)
    assert submit(service, kind="update").status_code == 202
    assert submit(service).status_code == 409
    listed = service.operator.get("/v1/trainings?model=speech").json()["items"]
    assert [item["spec"]["kind"] for item in listed] == ["base", "update"]


def test_a_candidate_is_shown_published_and_shown_again(service: Service) -> None:
    service.publish_chain(0)
    made = record(service.engine, factories.update("v0", "v1", 1))
    shown = service.operator.get(f"/v1/candidates/{made.id}").json()
    assert (shown["state"], shown["number"], shown["kind"]) == ("open", 1, "update")
    assert (shown["parent_digest"], shown["digest"]) == (factories.digest("v0"), factories.digest("v1"))
    assert (shown["evaluation"], shown["payload_share"], shown["tried"]) == (factories.EVALUATION, 0.02, [])
    answer = service.operator.post(f"/v1/candidates/{made.id}/publish", json={})
    assert answer.status_code == 201
    assert (answer.json()["number"], answer.json()["published_by"]) == (1, "anna")
    assert service.operator.get("/v1/candidates?model=speech").json()["items"][1]["state"] == "published"
    again = service.operator.post(f"/v1/candidates/{made.id}/publish", json={"force": True})
    assert (again.status_code, again.json()["type"]) == (409, "urn:diffserver:problem:conflict")


def test_what_was_tried_is_shown(service: Service) -> None:
    service.publish_chain(0)
    full = Trial("full", None, 3.1, 0.0, seconds=40.5, trained=False)
    sparse = Trial("sparse", 0.02, 3.9, 0.8, -0.5, 20_000, 0.0197, 0.09, 15, (0.001, 0.002), 44.0)
    tried = [asdict(full) | {"chosen": False}, asdict(sparse) | {"chosen": True}]
    made = record(service.engine, factories.update("v0", "v1", 1, tried=tried))
    shown = service.operator.get(f"/v1/candidates/{made.id}").json()["tried"]
    assert shown == json.loads(json.dumps(tried))


def test_a_candidate_whose_parent_is_not_the_latest_is_refused(service: Service) -> None:
    service.publish_chain(1)
    made = record(service.engine, factories.update("v0", "v1-late", 1))
    answer = service.operator.post(f"/v1/candidates/{made.id}/publish", json={"force": True})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:diffserver:problem:head-moved")
    assert "version 1" in answer.json()["detail"]


def test_what_was_forced_is_recorded(service: Service) -> None:
    service.publish_chain(0)
    made = record(service.engine, factories.update("v0", "v1", 1, refusals=["over the budget"]))
    path = f"/v1/candidates/{made.id}/publish"
    assert service.operator.post(path, json={"force": False}).status_code == 409
    assert service.operator.post(path, json={"force": True}).json()["forced"] is True
