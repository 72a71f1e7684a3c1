"""Every table is readable in 60 columns: all words of the wide one are there, and whole."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.table import Table

from diffserver.charts.folding_table import FoldingTable
from diffserver.cli import output
from diffserver.main import app
from tests.server import factories
from tests.server.conftest import Service, Type
from tests.server.rollouts.fleet import enrolled, publish_in_stages

COLUMNS = 60
CLI = Path(output.__file__).parent

LISTS = {
    "fleet/audit.py": ["audit"],
    "fleet/channels.py": ["channels list speech"],
    "fleet/device.py": ["device show {device}"],
    "fleet/devices.py": ["devices speech"],
    "fleet/models.py": ["model list"],
    "fleet/status.py": ["status"],
    "fleet/webhook.py": ["webhook show"],
    "release/publishing.py": ["candidates speech", "versions speech"],
    "release/rollouts.py": ["rollouts list", "rollouts show 1"],
    "release/shown.py": ["candidate show {candidate}", "version show speech 1", "ledger speech"],
    "train/trainings.py": ["trainings"],
}
"""The commands that ask a server, by the module that prints their tables."""
LOCAL = {
    "host/prune.py": ["prune"],
    "host/tokens.py": ["token list"],
    "host/verify.py": ["verify"],
    "keys/at_server.py": ["keys show"],
}
"""Those that open the server's home."""
ELSEWHERE = {"train/checkpoints.py", "release/changes.py", "output.py"}
"""What a checkpoint would become, whom a retirement strands, and evaluations: tables of any shape are tried below."""


def words(text: str) -> set[str]:
    return set(re.sub(r"[\u2500-\u257f]", " ", text).split())


def test_no_table_is_left_out() -> None:
    def calls(path: Path) -> set[str]:
        found = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        return {name.id for name in found if isinstance(name, ast.Name)}

    printing = {
        str(path.relative_to(CLI)) for path in CLI.rglob("*.py") if calls(path) & {"listing", "show_list", "Table"}
    }
    assert printing == LISTS.keys() | LOCAL.keys() | ELSEWHERE


def fits(narrow: str, wide: str) -> None:
    """Nothing is missing or broken, and nothing is too wide."""
    whole = narrow.replace("\n", "")
    assert [word for word in words(wide) - words(narrow) if len(word) <= COLUMNS or word not in whole] == []
    assert [line for line in narrow.splitlines() if cell_len(line.rstrip()) > COLUMNS] == []


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_tables_of_a_server_fit(
    service: Service, typed: Type, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service.publish_chain(1)
    devices = enrolled(service, 3)
    typed("device", "set", devices[0].id, "group=pilots", "region=europe-north")
    reason = "there is no space left on the device for the weights of this version"
    devices[0].report("failed", to_digest=factories.digest("v1"), downloaded_bytes=70, cause="device", reason=reason)
    publish_in_stages(service, 2, "1,100%")
    service.operator.post("/v1/trainings", json={"kind": "update", "model": "speech", "data": "/data"})
    candidate = service.record(factories.update("v2", "v3", 3)).id
    named = {"device": devices[0].id, "candidate": candidate}
    commands = [command.format(**named).split() for rows in LISTS.values() for command in rows]

    def shown() -> list[str]:
        texts = []
        for command in commands:
            capsys.readouterr()
            app(command, standalone_mode=False)
            texts.append(capsys.readouterr().out)
        return texts

    wide = shown()
    monkeypatch.setattr(output, "console", output._Console(width=COLUMNS, force_terminal=True, color_system=None))
    for command, before, after in zip(commands, wide, shown(), strict=True):
        assert words(before), command
        fits(after, before)
    assert reason.split()[-1] in words(shown()[2])


@pytest.mark.parametrize("command", [command for rows in LOCAL.values() for command in rows])
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_tables_of_a_home_fit(
    service: Service,
    command: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service.publish_chain(1)
    monkeypatch.setenv("DIFFSERVER_DATABASE", service.settings.database)
    monkeypatch.setenv("DIFFSERVER_OBJECTS", service.settings.objects)
    monkeypatch.setenv("DIFFSERVER_HOME", str(service.settings.home))

    def shown() -> str:
        capsys.readouterr()
        app(command.split(), standalone_mode=False)
        return capsys.readouterr().out

    wide = shown()
    assert words(wide)
    monkeypatch.setattr(output, "console", output._Console(width=COLUMNS, force_terminal=True, color_system=None))
    fits(shown(), wide)


def render(table: Table, width: int) -> str:
    console = output._Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


ROW = ["0199a7c41d5e3f0a9b8c7d6e", "kitchen", "3", "it broke off\n in the middle of the download of the payload"]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("count", [2, 4, 9])
def test_a_table_of_any_shape_fits(width: int, count: int) -> None:
    headings = [f"heading {number}" for number in range(count)]
    table = output.listing("A title", headings, [(ROW * 3)[:count], ["–"] * count])
    assert isinstance(table, FoldingTable)
    fits_in = render(table, width)
    assert words(render(table, 10_000)) <= words(fits_in)
    assert max(cell_len(line.rstrip()) for line in fits_in.splitlines()) <= width


def test_a_digest_that_is_wider_than_the_terminal_is_all_there() -> None:
    digest = "0123456789abcdef" * 4
    assert digest in render(output.listing("Versions", ["number", "digest"], [(1, digest)]), 60).replace("\n", "")
