import pytest

from diffserver.catalog.versions import find_version
from diffserver.gate.percentiles import LEAST
from diffserver.rollouts.on_devices import OnDevices, on_devices
from diffserver.storage.database import reading
from tests.server import factories
from tests.server.conftest import Service
from tests.server.rollouts.fleet import enrolled

ONE, ZERO = factories.digest("v1"), factories.digest("v0")


def measured(service: Service, number: int) -> OnDevices:
    with reading(service.engine) as session:
        return on_devices(session, find_version(session, "speech", number))


def test_a_device_counts_once_by_its_last_report_on_arrival(service: Service) -> None:
    _, one = service.publish_chain(1)
    expected = one.candidate.manifest["error_rate_ppm"] / 1e4
    devices = enrolled(service, LEAST)
    for device in devices:
        device.report("failed", to_digest=ONE, error_rate_ppm=900_000, cause="version")
        device.report("installed", to_digest=ONE, error_rate_ppm=30_000)
    found = measured(service, 1)
    assert found.arrival.devices == LEAST
    assert found.arrival.values == pytest.approx(dict.fromkeys(["5", "25", "50", "75", "95"], 3.0))
    assert found.difference.values is not None
    assert found.difference.values["50"] == pytest.approx(3.0 - expected)
    assert measured(service, 0).arrival.devices == 0


def test_changes_in_the_field_are_of_devices_that_counted_both_versions(service: Service) -> None:
    service.publish_chain(1)
    service.operator.post("/v1/models/speech/channels", json={"name": "beta"})
    stable, beta = enrolled(service, LEAST), enrolled(service, 2, channel="beta")
    for device in (*stable, *beta[:1]):
        device.report("field", to_digest=ZERO, errors=5, total=100)
        device.report("field", to_digest=ZERO, errors=15, total=100)
        device.report("field", to_digest=ONE, errors=6, total=50)
        device.report("field", to_digest=ONE, errors=50, total=50, measure="corrections")
    beta[1].report("field", to_digest=ONE, errors=6, total=50)
    found = measured(service, 1).field
    assert {channel: one.devices for channel, one in found.items()} == {"stable": LEAST, "beta": 1}
    assert found["stable"].values == pytest.approx(dict.fromkeys(["5", "25", "50", "75", "95"], 2.0))
    assert measured(service, 0).field == {}
