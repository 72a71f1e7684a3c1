"""Whom the removal of old diffs would strand: seen over HTTP, and asked about by the command."""

import pytest

from diffserver.errors import Conflict
from diffserver.main import app
from tests.server import factories
from tests.server.conftest import Service, Type
from tests.server.rollouts.fleet import PollingDevice, enrolled, publish_in_stages


@pytest.fixture
def fleet(service: Service) -> list[PollingDevice]:
    """Four devices, one of which has stayed at version 0 of 3, and one that runs nothing."""
    service.publish_chain(3)
    devices = enrolled(service, 4)
    devices[0].client.post("/v1/device/state", json={"digest": factories.digest("v0")})
    service.operator.post("/v1/enroll", json={"model": "speech", "name": "new"})
    return devices


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(("before", "count"), [(0, 0), (1, 0), (2, 1), (4, 1)])
def test_a_device_is_stranded_if_a_diff_on_its_way_goes(service: Service, before: int, count: int) -> None:
    found = service.operator.get(f"/v1/models/speech/stranded?before={before}").json()
    assert sum(row["devices"] for row in found) == count
    for row in found:
        assert (row["channel"], row["version"]) == ("stable", 0)
        assert row["bytes_then"] > row["bytes_now"], "a snapshot in place of diffs"


@pytest.mark.usefixtures("fleet")
def test_a_rollouts_version_counts_too(service: Service) -> None:
    publish_in_stages(service, 4, "1,100%")
    found = service.operator.get("/v1/models/speech/stranded?before=5").json()
    assert [(row["version"], row["devices"]) for row in found] == [(0, 1), (3, 3)]


@pytest.mark.usefixtures("fleet")
def test_who_retires_is_asked(service: Service, typed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.confirm", lambda _: False)
    assert app(["retire", "speech", "--before", "2"], standalone_mode=False) == 1
    with pytest.raises(Conflict, match="1 devices would have to take a snapshot"):
        typed("retire", "speech", "--before", 2)
    assert typed("retire", "speech", "--before", 1) == {"dropped": 0}
    assert typed("retire", "speech", "--before", 2, "--yes") == {"dropped": 1}
    assert service.operator.get("/v1/models/speech/stranded?before=2").json() == []
