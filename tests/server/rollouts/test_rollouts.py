"""Rollouts over HTTP: stages, whom they reach, what stops them, and the way back."""

import random

import pytest

from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Attribute, Channel, Model, Rollout
from tests.server import factories
from tests.server.conftest import Service
from tests.server.rollouts.fleet import PollingDevice, enrolled, look, publish_in_stages, running, shown


def channel(service: Service) -> str | None:
    with reading(service.engine) as session:
        return session.get_one(Channel, ("speech", "stable")).digest


def act(service: Service, rollout: int, what: str, status: int = 200) -> str:
    answer = service.operator.post(f"/v1/rollouts/{rollout}/{what}", json={"reason": "of a test"})
    assert answer.status_code == status, answer.text
    return str(answer.json()["state"] if status == 200 else answer.json()["detail"])


def permitted(service: Service) -> list[str]:
    with reading(service.engine) as session:
        return session.get_one(Model, "speech").returns


def test_a_rollout_goes_from_stage_to_stage_by_hand(service: Service) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 12)
    rollout = publish_in_stages(service, 2, "2,5,100%")
    for reached in (2, 5, 12):
        for device in devices:
            device.poll()
        assert len(running(devices, "v2")) == reached
        assert shown(service, rollout)["running"] == reached
        if reached < 12:
            assert channel(service) == factories.digest("v1"), "what is trained next starts from here"
            act(service, rollout, "approve")
    assert (shown(service, rollout)["state"], channel(service)) == ("done", factories.digest("v2"))
    assert permitted(service) == []


def test_a_device_that_has_the_version_keeps_it_from_stage_to_stage(service: Service) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 30)
    rollout = publish_in_stages(service, 2, "10%,30%,60%,100%")
    had: set[str] = set()
    for _ in range(3):
        for device in devices:
            device.poll()
        have = {device.id for device in running(devices, "v2")}
        assert had <= have
        had = have
        act(service, rollout, "approve")


def test_an_aborted_rollout_takes_every_device_back_for_nothing(service: Service) -> None:
    service.publish_chain(2)
    devices = enrolled(service, 8)
    late = enrolled(service, 1)[0]
    late.holds = factories.digest("v1")
    late.client.post("/v1/device/state", json={"digest": late.holds})
    rollout = publish_in_stages(service, 3, "9,100%")
    assert permitted(service) == [factories.digest("v1"), factories.digest("v2")]
    for device in [*devices, late]:
        device.poll()
    assert len(running([*devices, late], "v3")) == 9
    assert act(service, rollout, "abort") == "aborted"
    assert [device.poll()["version"] for device in devices] == [2] * 8
    assert [late.poll()["version"] for _ in range(3)] == [1, 2, 2], "by what it kept, and on by a diff"
    with reading(service.engine) as session:
        assert session.get_one(Rollout, rollout).reason == "of a test"
    assert act(service, rollout, "resume", 409) == f"rollout {rollout} is aborted, and cannot be resumed"


def test_the_next_version_starts_from_the_channel_and_not_from_a_refused_one(service: Service) -> None:
    service.publish_chain(1)
    act(service, publish_in_stages(service, 2, "50%,100%"), "abort")
    answer = service.operator.post(
        f"/v1/candidates/{service.record(factories.update('v2', 'v3', 3)).id}/publish", json={}
    )
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:diffserver:problem:head-moved")
    rollout = publish_in_stages(service, 3, "100%", start=1)
    assert (shown(service, rollout)["state"], channel(service)) == ("done", factories.digest("v3"))


def test_a_device_that_was_away_for_the_recall_and_the_next_version_returns_to_what_it_kept(service: Service) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 3)
    refused = publish_in_stages(service, 2, "3,100%")
    for device in devices:
        device.poll()
    act(service, refused, "abort")
    (away, *there) = devices
    for device in there:
        device.poll()
    act(service, publish_in_stages(service, 3, "50%,100%", start=1), "approve")
    assert [device.poll()["version"] for device in there] == [3, 3]
    assert permitted(service) == [factories.digest("v1")], "as long as a device runs what was refused"
    answers = [away.poll() for _ in range(2)]
    assert [answer["version"] for answer in answers] == [1, 3]
    assert answers[0]["digest"] == factories.digest("v1")
    publish_in_stages(service, 4, "100%", start=3)
    assert permitted(service) == []


def test_a_paused_rollout_gives_the_version_to_no_further_device(service: Service) -> None:
    service.publish_chain(1)
    early, late = enrolled(service, 2)
    rollout = publish_in_stages(service, 2, "2,100%")
    early.poll()
    act(service, rollout, "pause")
    assert (early.poll()["version"], late.poll()["version"]) == (2, 1)
    assert act(service, rollout, "approve", 409) == f"rollout {rollout} is paused, and cannot be approved"
    act(service, rollout, "resume")
    assert late.poll()["version"] == 2


def test_a_stage_may_be_those_with_an_attribute(service: Service) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 6)
    with writing(service.engine) as session:
        session.add_all(Attribute(device_id=device.id, name="group", value="pilots") for device in devices[:2])
    publish_in_stages(service, 2, "group=pilots,100%")
    assert [device.poll()["version"] for device in devices] == [2, 2, 1, 1, 1, 1]


def of_regions(service: Service, **counts: int) -> dict[str, list[PollingDevice]]:
    return {region: enrolled(service, count, attributes={"region": region}) for region, count in counts.items()}


def have_it(devices: list[PollingDevice]) -> int:
    return sum(device.poll()["version"] == 2 for device in devices)


def test_a_rollout_may_be_for_some_devices_alone_until_it_is_approved_for_all(service: Service) -> None:
    service.publish_chain(1)
    fleet = of_regions(service, eu=10, us=6)
    rollout = publish_in_stages(service, 2, "4,100%", evidence="failures", only=["region=eu"])
    assert (have_it(fleet["eu"]), have_it(fleet["us"])) == (4, 0)
    act(service, rollout, "approve")
    assert (have_it(fleet["eu"]), have_it(fleet["us"])) == (10, 0)
    told = shown(service, rollout)
    assert (told["state"], told["chosen"], told["running"], told["tried"]) == ("running", 10, 10, 10)
    assert look(service) == {rollout: "stays"}
    assert channel(service) == factories.digest("v1")
    act(service, rollout, "approve")
    assert (have_it(fleet["us"]), channel(service)) == (6, factories.digest("v2"))
    assert shown(service, rollout)["state"] == "done"


def test_an_abort_returns_the_devices_that_a_rollout_is_for(service: Service) -> None:
    service.publish_chain(1)
    fleet = of_regions(service, eu=3, us=3)
    rollout = publish_in_stages(service, 2, "100%", only=["region=eu"])
    assert (have_it(fleet["eu"]), have_it(fleet["us"])) == (3, 0)
    act(service, rollout, "abort")
    assert {device.poll()["version"] for devices in fleet.values() for device in devices} == {1}


def test_the_gate_looks_at_the_devices_that_a_rollout_is_for(service: Service) -> None:
    service.publish_chain(1)
    fleet = of_regions(service, eu=4, us=20)
    rollout = publish_in_stages(service, 2, "4,100%", evidence="failures", least=4, only=["region=eu"])
    for device in fleet["us"]:
        device.report("failed", to_digest=factories.digest("v2"), failed_stage="probation", cause="version")
    have_it(fleet["eu"])
    assert look(service) == {rollout: "goes on"}
    assert shown(service, rollout)["tried"] == 4


def test_outside_its_hours_a_rollout_gives_the_version_to_nobody(service: Service) -> None:
    service.publish_chain(1)
    (device,) = enrolled(service, 1)
    rollout = publish_in_stages(service, 2, "1,100%", window="00:00-00:01")
    heard = set()
    for window in ("00:00-12:00", "12:00-00:00"):
        with writing(service.engine) as session:
            row = session.get_one(Rollout, rollout)
            row.terms = {**row.terms, "window": window}
        body = {"digest": factories.digest("v1")}
        heard.add(device.client.post("/v1/device/poll", json=body).json()["version"])
    assert heard == {1, 2}, "at any moment one of them is open"


def test_where_two_persons_are_needed_the_first_one_proposes(service: Service) -> None:
    service.publish_chain(1)
    (device,) = enrolled(service, 1)
    with writing(service.engine) as session:
        session.get_one(Channel, ("speech", "stable")).two_persons = True
    at_once = service.record(factories.update("v1", "v2", 2)).id
    answer = service.operator.post(f"/v1/candidates/{at_once}/publish", json={})
    assert (answer.status_code, "approval of a second person" in answer.json()["detail"]) == (409, True)
    rollout = publish_in_stages(service, 2, "100%")
    assert (shown(service, rollout)["state"], device.poll()["version"]) == ("proposed", 1)
    assert act(service, rollout, "approve", 409) == f"rollout {rollout} was proposed by anna"
    other = service.client(service.token("publisher", "berta"))
    assert other.post(f"/v1/rollouts/{rollout}/approve").json()["state"] == "done"
    assert device.poll()["version"] == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"version": 1}, 409),
        ({"version": 9}, 404),
        ({"version": 0, "channel": "beta"}, 404),
        ({"version": 0, "stages": ["50%"]}, 422),
        ({"version": 0, "stages": []}, 422),
        ({"version": 0, "conditions": {"evidence": "none"}}, 422),
        ({"version": 0, "conditions": {"window": "dawn"}}, 422),
        ({"version": 0, "conditions": {"only": ["eu"]}}, 422),
        ({"version": 0}, 201),
    ],
)
def test_rollouts_to_a_published_version(service: Service, body: dict[str, object], status: int) -> None:
    service.publish_chain(1)
    answer = service.operator.post("/v1/models/speech/rollouts", json=body)
    assert answer.status_code == status, answer.text


def test_a_channel_is_in_one_rollout_at_a_time(service: Service) -> None:
    service.publish_chain(1)
    rollout = publish_in_stages(service, 2, "50%,100%")
    for path, body in (
        ("/v1/models/speech/rollouts", {"version": 0}),
        ("/v1/models/speech/channel", {"version": 0}),
        (f"/v1/candidates/{service.record(factories.update('v1', 'v3', 3)).id}/publish", {}),
    ):
        answer = service.operator.post(path, json=body)
        assert (answer.status_code, f"rollout {rollout} of speech is running" in answer.json()["detail"]) == (409, True)


# By the gate


def counts(devices: list[PollingDevice], rate: float, rng: random.Random) -> None:
    for device in devices:
        device.count(sum(rng.random() < rate for _ in range(200)), 200)


def in_the_field(service: Service, devices: list[PollingDevice], harm: float, stages: str) -> int:
    """Devices count before a rollout and after it began; those that have the version are worse by `harm`."""
    rng = random.Random(7)
    for _ in range(4):
        counts(devices, 0.1, rng)
    rollout = publish_in_stages(service, 2, stages, margin=3.0)
    for device in devices:
        device.poll()
    for _ in range(4):
        counts(running(devices, "v2"), 0.1 + harm, rng)
        counts(running(devices, "v1"), 0.1, rng)
    return rollout


def test_a_good_version_goes_through_its_stages_by_itself(service: Service) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 40)
    rollout = in_the_field(service, devices, 0.0, "20,100%")
    assert look(service) == {rollout: "done"}
    assert channel(service) == factories.digest("v2")
    assert look(service) == {}


def test_a_version_that_does_harm_in_the_field_is_aborted(service: Service) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 40)
    rollout = in_the_field(service, devices, 0.15, "20,100%")
    assert look(service) == {rollout: "aborted"}
    told = shown(service, rollout)
    assert told["reason"].startswith("harm: worse by")
    assert told["verdict"]["low"] > 0
    assert {device.poll()["version"] for device in devices} == {1}


def test_without_reports_a_rollout_waits_and_says_for_what(service: Service) -> None:
    service.publish_chain(1)
    enrolled(service, 3)
    rollout = publish_in_stages(service, 2, "1,100%")
    assert look(service) == {rollout: "stays"}
    verdict = shown(service, rollout)["verdict"]
    assert (verdict["finding"], verdict["reason"]) == (
        "inconclusive",
        "0 devices with the version have reported, and 10 must",
    )


def test_by_failures_alone(service: Service) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 30)
    rollout = publish_in_stages(service, 2, "12,100%", evidence="failures", least=13)
    chosen = [device for device in devices if device.poll()["version"] == 2]
    bad = factories.digest("v2")
    chosen[0].report("failed", to_digest=bad, failed_stage="apply", reason="no memory", cause="device")
    chosen[0].report("installed", to_digest=bad)
    failed = {"failed_stage": "probation", "reason": "other words", "cause": "version"}
    for device in chosen:
        device.report("failed", to_digest=bad, **failed)
    look(service)
    told = shown(service, rollout)
    assert (told["state"], told["reason"]) == ("aborted", "harm: 12 of 12 devices failed with it")
    assert told["failures"] == [{"stage": "failed", "at": "probation", "cause": "version", "devices": 12}]


def test_what_network_and_server_prevent_counts_against_no_version(service: Service) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 12)
    rollout = publish_in_stages(service, 2, "11,100%", evidence="failures", least=2)
    for device in devices:
        device.poll()
        device.report("postponed", to_digest=factories.digest("v2"), failed_stage="download", cause="network")
    assert look(service) == {rollout: "done"}


def test_a_stage_lasts_for_its_wait(service: Service) -> None:
    service.publish_chain(1)
    rollout = publish_in_stages(service, 2, "1,100%", evidence="none", wait_seconds=3600)
    assert look(service) == {rollout: "stays"}
    with writing(service.engine) as session:
        row = session.get_one(Rollout, rollout)
        row.terms = {**row.terms, "wait_seconds": 0, "evidence": "failures", "least": 2}
    assert look(service) == {rollout: "stays"}, "nobody tried it"
