"""Whoever stops a server waits until it has drained, and until the requests under way have ended after that."""

from __future__ import annotations

import pytest

from deploy.loopback.topology import DRAIN_SECONDS, SHUTDOWN_SECONDS
from diffserver.connections import serve
from tests.deploy.manifests import compose, pods, unit

DRAIN = "DIFFSERVER_DRAIN_SECONDS"


def said() -> dict[str, tuple[float, float]]:
    """Of each way to run servers: the seconds of the drain, and those until the process is killed."""
    service = compose()["services"]["server-1"]
    pod = pods()["Deployment server"]
    (container,) = pod["containers"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    installed = unit("diffserver.service")
    (drain,) = [word.partition("=")[2] for words in installed["Environment"] for word in words.split() if DRAIN in word]
    return {
        "loopback": (DRAIN_SECONDS, SHUTDOWN_SECONDS),
        "compose": (int(service["environment"][DRAIN]), int(service["stop_grace_period"].removesuffix("s"))),
        "systemd": (int(drain), int(installed["TimeoutStopSec"][0])),
        "kubernetes": (int(variables[DRAIN]), pod["terminationGracePeriodSeconds"]),
    }


@pytest.mark.parametrize("way", said())
def test_the_wait_is_longer_than_the_drain(way: str) -> None:
    drain, wait = said()[way]
    assert drain > 5  # for as long a server keeps idle connections
    assert wait > drain + serve.SHUTDOWN_SECONDS
