"""The manifests follow Kubernetes' schemas, and no pod may more than it needs."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest

from diffserver.settings import Settings
from tests.deploy.manifests import kubernetes, pods

RELEASE = "1.31"


@pytest.mark.parametrize("manifest", kubernetes(), ids=lambda it: f"{it['kind']} {it['metadata']['name']}")
def test_it_follows_the_schema(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, RELEASE, strict=True)


def test_the_schema_finds_mistakes() -> None:
    (service,) = [manifest for manifest in kubernetes() if manifest["kind"] == "Service"]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service | {"spec": {"port": 80}}, RELEASE, strict=True)


@pytest.mark.parametrize("name", pods())
def test_no_pod_may_more_than_it_needs(name: str) -> None:
    pod = pods()[name]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    for container in pod["containers"]:
        held = container["securityContext"]
        assert held["readOnlyRootFilesystem"]
        assert not held["allowPrivilegeEscalation"]
        assert held["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


def test_one_server_is_always_there() -> None:
    (budget,) = [manifest for manifest in kubernetes() if manifest["kind"] == "PodDisruptionBudget"]
    (server,) = [
        manifest
        for manifest in kubernetes()
        if manifest["metadata"]["name"] == "server" and "replicas" in manifest["spec"]
    ]
    assert server["spec"]["replicas"] == 2
    assert server["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert budget["spec"]["selector"] == server["spec"]["selector"]


def test_the_example_of_the_secret_can_be_read() -> None:
    (secret,) = [manifest for manifest in kubernetes() if manifest["kind"] == "Secret"]
    assert Settings.from_environment(secret["stringData"]).objects.startswith("s3://")
