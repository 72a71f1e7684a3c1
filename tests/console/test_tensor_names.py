"""Script in the names of a checkpoint's tensors, taken through uploads and a worker: on every page it is text."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="a worker needs torch: pip install 'diffserver[train]'")

from diffclient.tensors.snapshot import Array
from diffserver.pipeline.worker import Worker
from tests.console.conftest import Open
from tests.console.fleet import Visited
from tests.server.checkpoint_files import save

MODEL = "words"
SCRIPT = "<script>document.title='taken'</script>"
IMAGE = "<img src=x onerror=\"console.log('taken')\">"
BREAKOUT = "'\"></td></textarea><svg onload=alert(1)>{{ 7 * 7 }}"
NAMES = {"on the grid": f"a.{SCRIPT}", "off it": f"b.{IMAGE}", "outgrown": f"c.{BREAKOUT}"}
NEW = f"d.{SCRIPT}{IMAGE}"


def tensors(**changes: Array) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    known = {
        "on the grid": rng.normal(0, 0.1, (40, 30)).astype(np.float32),
        "off it": np.array([1e-30, 1.0, 2.0], np.float32),  # too far apart for any grid
        "outgrown": rng.normal(0, 0.1, 50).astype(np.float32),
    }
    return {NAMES[what]: array for what, array in (known | changes).items()}


class Ways:
    """The ways in: an upload, a training that a worker takes, publishing."""

    def __init__(self, visited: Visited, folder: Path) -> None:
        self._service, self._file = visited.service, folder / "checkpoint.safetensors"

    def train(self, given: dict[str, Array], kind: str, **asked: Any) -> Any:
        """Return the training as it ended."""
        data = save(self._file, given).read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        assert self._service.operator.put(f"/v1/checkpoints/{sha256}", content=data).status_code == 201
        body = {"kind": kind, "model": MODEL, "task": "delivery", "checkpoint": sha256, "budget": 1.0, **asked}
        made = self._service.operator.post("/v1/trainings", json=body)
        assert made.status_code == 202, made.text
        Worker(self._service.engine, self._service.settings).run(once=True)
        return self._service.operator.get(f"/v1/trainings/{made.json()['id']}").json()

    def publish(self, training: Any) -> None:
        made = self._service.operator.post(f"/v1/candidates/{training['candidate_id']}/publish", json={})
        assert made.status_code == 201, made.text


@pytest.fixture(scope="module")
def pages(visited: Visited, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Pages on which names of tensors stand, and the names that they show."""
    ways = Ways(visited, tmp_path_factory.mktemp("named"))
    on_grid, off_grid, outgrown = NAMES.values()
    unknown, base = ways.train(tensors(), "base", off_grid=[BREAKOUT]), ways.train(tensors(), "base")
    ways.publish(base)
    larger = {"off it": np.array([1e-30, 1.0, 3.0], np.float32), "outgrown": np.full(50, 1e6, np.float32)}
    exact, sparse = (ways.train(tensors(**larger), "update", method=method) for method in ("exact", "sparse"))
    ways.publish(exact)
    grown = tensors() | {NEW: np.ones(3, np.float32)}
    whole = ways.train(grown, "update", method="snapshot")
    misfit = ways.train(grown, "update", method="exact")
    candidates = [base["candidate_id"], exact["candidate_id"], sparse["candidate_id"], whole["candidate_id"]]
    beside = "&".join(f"c={number}" for number in candidates)
    return {
        f"/console/candidates/{candidates[0]}": [off_grid],
        f"/console/candidates/{candidates[1]}": [outgrown],
        f"/console/candidates/{candidates[2]}": [off_grid, outgrown],
        f"/console/candidates/{candidates[3]}": [NEW],
        f"/console/candidates/{candidates[3]}/publish": [],
        f"/console/candidates/beside?{beside}": [off_grid, outgrown, NEW],
        "/console/candidates": [],
        f"/console/models/{MODEL}": [],
        f"/console/models/{MODEL}/versions/0": [off_grid],
        f"/console/models/{MODEL}/versions/1": [outgrown],
        "/console/trainings": [NEW, on_grid, BREAKOUT],
        f"/console/trainings/{misfit['id']}": [NEW],
        f"/console/trainings/{unknown['id']}": [on_grid, off_grid, outgrown, BREAKOUT],
        f"/console/audit?model={MODEL}": [],
        "/": [],
    }


def test_names_of_tensors_are_text_on_every_page(tab: Open, pages: dict[str, list[str]]) -> None:
    seen = tab("publisher")
    for path, names in pages.items():
        seen.open(path)
        assert seen.page.title() != "taken", path
        assert seen.page.locator("main script, main img, main svg[onload], main textarea").count() == 0, path
        shown = " ".join(seen.page.inner_text("main").split())
        assert [name for name in names if name not in shown] == [], path
