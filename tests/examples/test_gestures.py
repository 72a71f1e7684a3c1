"""docs/tasks.md as it stands: its commands run in order, on a server and a device of their own, and keep its word."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch: pip install 'diffserver[train]'")

from diffclient.store.store import Store
from diffserver.demo.run import free_port, wait_until_ready

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tasks.md").read_text()
SCORE = "examples/gestures/gesture_device.py:score"

pytestmark = pytest.mark.slow


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def commands() -> list[str]:
    """The lines that the page shows after a `$` prompt."""
    return [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]


@dataclass
class Place:
    """An empty folder in which the page's commands run, its server among them."""

    folder: Path
    port: int = field(default_factory=free_port)
    token: str = ""
    server: subprocess.Popen[bytes] | None = None
    said: dict[str, list[str]] = field(default_factory=dict)
    """What each command printed, every time that it ran."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        own = {"DIFFSERVER_PORT": str(self.port), "DIFFSERVER_URL": self.url, "ENROLL_TOKEN": self.token}
        return os.environ | own | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "client")])}

    def words(self, command: str) -> list[str]:
        """The command, with this place's address and token, run by this Python."""
        plain = command.replace("http://127.0.0.1:8080", self.url).replace("$ENROLL_TOKEN", self.token)
        program, *rest = shlex.split(plain)
        return [sys.executable, *([] if program == "python" else ["-m", program]), *rest]

    def run(self, command: str, status: int = 0) -> str:
        """Run a command to its end; returns what it prints, or its errors if it is to fail."""
        done = subprocess.run(
            self.words(command), cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, f"{command}: {done.stderr}"
        self.said.setdefault(command, []).append(done.stdout)
        return done.stdout if status == 0 else done.stderr

    def start(self, command: str) -> None:
        """Start what runs in the background: the server."""
        with (self.folder / "log").open("wb") as log:
            words = self.words(command.removesuffix("&"))
            self.server = subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        wait_until_ready(self.url, self.server, self.folder / "log")

    def show(self, command: str) -> Any:
        return json.loads(self.run(f"{command} --json"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The place in which all of the page was done."""
    finished = Place(tmp_path_factory.mktemp("place"))
    (finished.folder / "examples").symlink_to(ROOT / "examples")
    try:
        for command in commands():
            if command.endswith("&"):
                finished.start(command)
            elif " token create " in command:
                finished.token = finished.run(command).strip()
            else:
                finished.run(command)
        yield finished
    finally:
        if finished.server:
            finished.server.terminate()
            finished.server.wait()


def test_the_page_shows_the_code_as_it_is() -> None:
    code = "".join(path.read_text() for path in sorted((ROOT / "examples" / "gestures").glob("*.py")))
    shown = [block for block in blocks("python") if "def " in block]
    assert len(shown) == 2
    for block in shown:
        assert block in code


def test_two_sparse_updates_are_learned_within_their_budget(place: Place) -> None:
    base, *updates = place.show("diffserver candidates gestures")
    assert [candidate["method"] for candidate in updates] == ["sparse", "sparse"]
    assert list(base["evaluation"]) == ["0-base"]
    for update, domain in zip(updates, ("1-wave", "2-twist"), strict=True):
        errors = update["evaluation"][domain]
        assert errors["candidate"]["errors"] < errors["parent"]["errors"] / 2
        assert update["payload_share"] <= update["budget"]


def test_the_device_measured_every_version_as_the_server_did(place: Place) -> None:
    said = place.said[f"diffclient update --score {SCORE}"]
    pattern = r"now at version (\d), error rate ([\d.]+) % measured \(\d+ of \d+ gestures\), ([\d.]+) % expected"
    matches = [re.match(pattern, line) for line in said]
    figures = [match.groups() for match in matches if match]
    assert [number for number, _, _ in figures] == ["0", "1", "2"]
    assert all(measured == expected for _, measured, expected in figures)
    current = Store(place.folder / "diffclient-store").state().current
    assert current is not None
    assert current.measured.errors == sum(probe.errors for probe in current.manifest.probes)
    assert current.measured.total == sum(probe.total for probe in current.manifest.probes)
    [standing] = place.show("diffserver devices gestures")
    assert (standing["version"], standing["digest"]) == (2, current.digest)


def test_a_device_without_the_scorer_keeps_what_it_has_and_says_what_to_do(place: Place) -> None:
    other = "--store other"
    known = f"--token {place.token} --root diffserver-home/root.json"
    place.run(f"diffclient enroll {place.url} {known} --model gestures --name other {other}")
    assert "--score" in place.run(f"diffclient update {other}", status=3)
    assert "now at version 2" in place.run(f"diffclient update --score {SCORE} {other}")


@pytest.mark.parametrize("name", ["vision", "gestures.py", "json.decoder"])
def test_a_name_that_is_unknown_lists_those_that_are_known(place: Place, name: str) -> None:
    refused = place.run(f"diffserver base other-{name} --task {name} --data build/gestures", status=1)
    assert f"there is no task '{name}'; known: asr, asr-words, delivery, gestures;" in refused
    assert "--task-file" in refused


@pytest.mark.parametrize("path", ["examples/gestures/gestures.py", "gesture_device:score"])
def test_a_request_cannot_name_code(place: Place, path: str) -> None:
    assert "task" in place.run(f"diffserver base other --task {path} --data build/gestures", status=1)
    assert "other" not in {training["model"] for training in place.show("diffserver trainings")}


def test_the_experiment_ran_on_it(place: Place) -> None:
    [command] = [command for command in commands() if "experiment chain" in command]
    results = json.loads((place.folder / shlex.split(command)[-1]).read_text())
    assert not results["failures"]
    assert [(row["method"], row["update"]) for row in results["runs"]] == [
        ("full", 1), ("full", 2), ("sparse", 1), ("sparse", 2),
    ]  # fmt: skip


def test_no_link_of_the_page_leads_nowhere() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)", PAGE):
        assert (ROOT / "docs" / link).exists(), link


def test_its_options_are_in_the_help(place: Place) -> None:
    for command in ("diffserver serve", "diffserver worker"):
        assert "--task-file" in place.run(f"{command} --help")
    assert "file.py:function" in place.run("diffclient update --help")
