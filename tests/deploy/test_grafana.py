"""The dashboard asks for figures that a server really has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from tests.deploy.manifests import DEPLOY, compose
from tests.hostile.served import served

GRAFANA = DEPLOY / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "diffserver.json").read_text())
ASKED = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_every_figure_is_one_of_a_server(tmp_path: Path) -> None:
    with served(tmp_path / "home") as server:
        text = server.asked("GET", "/metrics", token=server.operator).body.decode()
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    histograms = {f"{name}_bucket" for name, kind in kinds.items() if kind == "histogram"}
    named = {name for expression in ASKED for name in re.findall(r"(?:diffserver|process)_\w+", expression)}
    assert len(named) > 10
    assert named - kinds.keys() - histograms == set()


def test_it_is_found_where_compose_puts_it() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/diffserver.yml").read_text())["providers"]
    mounts = compose()["services"]["grafana"]["volumes"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in mounts
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}
    assert source["url"].partition("//")[2].partition(":")[0] in compose()["services"]
