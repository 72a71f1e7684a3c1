"""Candidates, versions, the ledger and the status, as commands show them."""

import pytest

from diffserver.main import app
from tests.server import factories
from tests.server.conftest import Service, Type
from tests.server.rollouts.fleet import enrolled, publish_in_stages


def test_a_candidate_and_a_version_are_shown(service: Service, typed: Type, capsys: pytest.CaptureFixture[str]) -> None:
    service.publish_chain(1)
    candidate = service.record(factories.update("v1", "v2", 2)).id
    assert typed("candidate", "show", candidate)["number"] == 2
    assert typed("version", "show", "speech", 1)["on_devices"]["arrival"] == {"devices": 0, "values": None}
    for words in (["candidate", "show", str(candidate)], ["version", "show", "speech", "1"], ["candidates", "speech"]):
        app(words, standalone_mode=False)
    told = capsys.readouterr().out
    assert "Drift: not known" in told
    assert f"a device keeps version {factories.digest('v1')[:12]}" in told
    assert "not enough" in told


def test_the_ledger_and_the_status_are_shown(service: Service, typed: Type, capsys: pytest.CaptureFixture[str]) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 3)
    devices[0].report("failed", to_digest=factories.digest("v1"), downloaded_bytes=70, cause="version")
    rollout = publish_in_stages(service, 2, "1,100%")
    assert typed("ledger", "speech")["fetched"] == 70
    answer = typed("status")
    (model,) = answer["models"]
    assert (model["channels"], model["behind"], model["stuck"], model["failed"]) == ({"stable": 1}, 1, 0, 1)
    assert [(one["id"], one["stage"]) for one in model["rollouts"]] == [(rollout, "1")]
    assert answer["expiring"]
    for word in (["ledger", "speech"], ["status"]):
        app(word, standalone_mode=False)
    told = capsys.readouterr().out
    assert "Rollouts under way" in told
    assert "Metadata that expires first: " in told
