"""A home with versions of a small model, of which two are published."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.client.lineage import CLASSIFIER, Lineage
from tests.hostile.home_server import HomeServer


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    return Lineage(tmp_path_factory.mktemp("lineage"), CLASSIFIER).grow(2)


@pytest.fixture
def home(tmp_path: Path, lineage: Lineage) -> HomeServer:
    home = HomeServer(tmp_path / "home", lineage)
    home.publish(0, 1)
    return home
