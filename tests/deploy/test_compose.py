"""docker-compose.yml follows the Compose specification, and fits the files that it mounts."""

from __future__ import annotations

import json
import re

import pytest
from compose_spec import PyCompose

from diffserver.settings import Settings
from tests.deploy.manifests import DEPLOY, ROOT, compose


def test_it_follows_the_specification() -> None:
    names = PyCompose.from_json(json.dumps(compose())).service_names()
    assert {"database", "objects", "migrate", "server-1", "server-2", "worker", "nginx", "prometheus"} <= set(names)


def test_the_specification_finds_mistakes() -> None:
    with pytest.raises(ValueError, match="restrt"):
        PyCompose.from_json(json.dumps({"services": {"one": {"image": "x", "restrt": "no"}}}))


def test_what_is_mounted_from_here_is_here() -> None:
    volumes = [volume for service in compose()["services"].values() for volume in service.get("volumes", ())]
    mounted = {volume.partition(":")[0] for volume in volumes if volume.startswith("./")} - {"./data"}
    assert len(mounted) == 5
    assert [path for path in mounted if not (ROOT / path).exists()] == []


def test_nginx_and_prometheus_know_both_servers() -> None:
    services = compose()["services"]
    said = services["nginx"]["environment"]
    template = (DEPLOY / "nginx" / "diffserver.conf.template").read_text()
    assert set(re.findall(r"\$\{(\w+)\}", template)) == said.keys()
    (replicas,) = json.loads((DEPLOY / "prometheus" / "replicas.json").read_text())
    assert replicas["targets"] == [said["REPLICA_1"], said["REPLICA_2"]]
    assert [target.partition(":")[0] for target in replicas["targets"]] == [
        name for name in services if name.startswith("server")
    ]


def test_servers_can_read_their_settings() -> None:
    for name in ("migrate", "server-1", "server-2", "worker", "viewer"):
        settings = Settings.from_environment(compose()["services"][name]["environment"])
        assert settings.database.startswith("postgresql+psycopg://")
        assert settings.objects.startswith("s3://")
