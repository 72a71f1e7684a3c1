"""The commands about a fleet, typed against a service behind a socket."""

import json
from typing import Any

import pytest

from diffserver.cli.remote import RemoteError
from diffserver.errors import Invalid
from diffserver.main import app
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import writing
from diffserver.storage.tables import Device
from tests.server import factories
from tests.server.conftest import Service, Type
from tests.server.rollouts.fleet import enrolled, publish_in_stages


def test_a_device_is_shown_described_moved_and_taken_out(service: Service, typed: Type) -> None:
    service.publish_chain(1)
    (device,) = enrolled(service, 1)
    typed("channels", "create", "speech", "beta")
    assert typed("device", "set", device.id, "group=pilots", "region=eu")["attributes"] == {
        "group": "pilots",
        "region": "eu",
    }
    assert typed("device", "set", device.id, "region=")["attributes"] == {"group": "pilots"}
    assert typed("device", "move", device.id, "beta")["channel"] == "beta"
    assert typed("device", "show", device.id)["version"] == 1
    assert [item["devices"] for item in typed("channels", "list", "speech")] == [1, 0]
    assert typed("device", "revoke", device.id)["left"] is None
    assert typed("device", "decommission", device.id)["left"] is not None


def test_devices_are_listed_by_channel_and_attribute(
    service: Service, typed: Type, capsys: pytest.CaptureFixture[str]
) -> None:
    service.publish_chain(1)
    first, second = (device.id for device in enrolled(service, 2))
    typed("device", "set", first, "group=pilots", "region=eu")
    typed("device", "set", second, "group=pilots")
    typed("device", "decommission", second)

    def listed(*options: str) -> set[str]:
        return {item["id"] for item in typed("devices", "speech", *options)}

    assert listed("--attribute", "group=pilots", "--attribute", "region=eu", "--channel", "stable") == {first}
    assert (listed(), listed("--left")) == ({first}, {first, second})
    with writing(service.engine) as session:
        session.get_one(Device, first).cloned_at = utc_now()
    app(["devices", "speech", "--left"], standalone_mode=False)
    shown = capsys.readouterr()
    assert "group=pilots, region=eu" in shown.out
    assert "left 20" in shown.out
    assert f"used by two machines at once: {first}\n" in shown.err


def test_devices_that_are_behind_and_failed_are_listed(service: Service, typed: Type) -> None:
    service.publish_chain(1)
    failing, fine, late = enrolled(service, 3)
    service.publish(factories.update("v1", "v2", 2))
    fine.poll()
    failing.report("failed", to_digest=factories.digest("v2"), failed_stage="digest", cause="version")

    def listed(*options: str) -> set[str]:
        return {item["id"] for item in typed("devices", "speech", *options)}

    assert listed("--behind") == {failing.id, late.id}
    assert listed("--failed", "--behind") == {failing.id}
    assert listed("--stuck") == set()


def test_what_is_no_attribute_is_told(typed: Type) -> None:
    with pytest.raises(Invalid, match="'pilots' is no attribute"):
        typed("device", "set", "0" * 24, "pilots")


def test_models_and_candidates_that_no_one_wants(service: Service, typed: Type) -> None:
    service.publish_chain(1)
    candidate = service.record(factories.update("v1", "v2", 2)).id
    assert typed("model", "delete-candidate", candidate)["deleted"] is True
    assert typed("model", "archive", "speech")["archived"] is not None
    assert typed("model", "list") == []
    assert [item["name"] for item in typed("model", "list", "--archived")] == ["speech"]
    assert typed("model", "restore", "speech")["archived"] is None
    service.record(factories.base(model="other"))
    assert typed("model", "delete", "other") == {"model": "other", "deleted": True}


def test_the_audit_log_is_exported_line_by_line(
    service: Service, typed: Type, capsys: pytest.CaptureFixture[str]
) -> None:
    service.publish_chain(1)
    typed("channels", "set", "speech", "stable", "--two-persons")
    app(["audit", "--model", "speech", "--since", "1h", "--json"], standalone_mode=False)
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (row["act"], row["details"]) == ("channel.change", {"channel": "stable", "two_persons": True})


def test_a_rollout_is_started_watched_and_stopped(
    service: Service, typed: Type, capsys: pytest.CaptureFixture[str]
) -> None:
    service.publish_chain(1)
    enrolled(service, 2)
    rollout = publish_in_stages(service, 2, "50%,100%")
    assert typed("rollouts", "pause", rollout, "--reason", "a holiday")["state"] == "paused"
    assert typed("rollouts", "resume", rollout)["state"] == "running"
    assert typed("rollouts", "abort", rollout)["state"] == "aborted"
    again = typed("rollouts", "start", "speech", "--version", 2, "--stages", "1,100%", "--wait", "2h")
    assert again["conditions"]["wait_seconds"] == 7200
    assert typed("rollouts", "approve", again["id"])["state"] == "done"
    listed: list[dict[str, Any]] = typed("rollouts", "list", "speech")
    assert [item["state"] for item in listed] == ["aborted", "done"]
    assert typed("rollouts", "show", rollout)["reason"] == "by hand"
    app(["rollouts", "watch", str(rollout)], standalone_mode=False)
    told = capsys.readouterr().out
    assert "version 1 → 2 of speech" in told
    assert "aborted: by hand" in told


def test_a_rollout_for_some_devices_names_them(
    service: Service, typed: Type, capsys: pytest.CaptureFixture[str]
) -> None:
    service.publish_chain(1)
    enrolled(service, 1, attributes={"region": "eu"})
    candidate = service.record(factories.update("v1", "v2", 2)).id
    typed("publish", candidate, "--only", "region=eu", "--stages", "100%", "--gate", "failures")
    app(["rollouts", "show", "1"], standalone_mode=False)
    told = capsys.readouterr().out
    assert "Only devices with region=eu" in told
    assert "Next all other devices of the channel: diffserver rollouts approve 1" in told
    with pytest.raises(RemoteError, match="only some devices in a rollout"):
        typed("publish", candidate, "--only", "region=eu")


def test_a_length_of_time_that_is_none(typed: Type) -> None:
    with pytest.raises(Invalid, match="'soon' is no length of time"):
        typed("rollouts", "start", "speech", "--version", 2, "--wait", "soon")
