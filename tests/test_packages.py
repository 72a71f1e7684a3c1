"""What is installed: no package is left out of the wheels, and the client alone stays light."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def project(path: str) -> dict[str, object]:
    table: dict[str, object] = tomllib.loads((ROOT / path).read_text())["project"]
    return table


def test_every_package_of_the_server_is_in_its_wheel() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    packages = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "diffserver").rglob("__init__.py")}
    assert {name for name in listed if not name.startswith("diffserver.migrations")} == packages
    assert {"diffserver.migrations", "diffserver.migrations.versions"} <= set(listed)


def test_the_client_needs_five_packages() -> None:
    dependencies = project("client/pyproject.toml")["dependencies"]
    assert isinstance(dependencies, list)
    named = {item.partition(">")[0] for item in dependencies}
    assert named == {"numpy", "zstandard", "urllib3", "tuf", "securesystemslib[crypto]"}


def test_the_server_serves_without_torch() -> None:
    dependencies = project("pyproject.toml")["dependencies"]
    assert isinstance(dependencies, list)
    assert not [item for item in dependencies if item.startswith(("torch", "onnx", "diffclient["))]
