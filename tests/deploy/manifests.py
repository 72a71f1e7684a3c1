"""What the files below deploy/ and docker-compose.yml say, read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def compose() -> Any:
    """docker-compose.yml, where no variable is set."""
    return yaml.safe_load(re.sub(r"\$\{\w+:-(.*?)\}", r"\1", (ROOT / "docker-compose.yml").read_text()))


def kubernetes() -> list[Any]:
    """All manifests."""
    files = [path for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) if path.stem != "kustomization"]
    return [manifest for path in files for manifest in yaml.safe_load_all(path.read_text())]


def pods() -> dict[str, Any]:
    """By kind and name, what Kubernetes makes pods of."""
    return {
        f"{manifest['kind']} {manifest['metadata']['name']}": manifest["spec"]["template"]["spec"]
        for manifest in kubernetes()
        if manifest["kind"] in ("Deployment", "Job")
    }


def unit(name: str) -> dict[str, list[str]]:
    """What a systemd unit says, by key."""
    said: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", (DEPLOY / "systemd" / name).read_text(), re.MULTILINE):
        said.setdefault(key, []).append(value)
    return said
