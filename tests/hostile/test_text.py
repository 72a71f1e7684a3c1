"""Hostile text: what devices, operators and servers call things and say, as commands show it."""

from __future__ import annotations

import ast
import json
import unicodedata
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from diffclient.cli import output as device_output
from diffclient.plain_text import plain, printable
from diffserver.cli import output
from diffserver.errors import DiffServerError
from diffserver.storage.database import connect, writing
from diffserver.storage.tables import Device, Report
from tests.hostile.served import Served, served

ROOT = Path(__file__).parents[2]
HOSTILE = [
    "[/x]",
    "[link=https://evil.example]click[/link]",
    "[bold red]",
    "[[",
    ":skull:",
    "a\nkitchen │ 2 │ stable",
    "a\r\x1b[2Kb",
    "\x1b]8;;https://evil.example\x07click",
    "\x9b31mred",
    "\u202egnp.exe",
    "\u2066\u2069\u200f",
    "\u2028\u2029\u0085",
    "\x00\x07\x08\x7f",
    "z\u200bero",
]


def shows(text: str) -> bool:
    """Whether every character but the ends of lines shows as itself."""
    return all(char == "\n" or unicodedata.category(char)[0] not in "C" for char in text) and "\u2028" not in text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("text")) as running:
        yield running


@pytest.mark.parametrize("text", HOSTILE)
def test_a_report_says_what_it_wants_and_forges_nothing(server: Served, text: str) -> None:
    device = server.device()
    body = {"stage": "failed", "failed_stage": text, "reason": text}
    assert server.asked("POST", "/v1/device/reports", body, device).status == 201
    shown = plain(text, 200) or "?"
    (*_, kept) = server.asked("GET", "/v1/reports?limit=500", token=server.operator).json()["items"]
    assert (kept["failed_stage"], kept["reason"]) == (shown, plain(text, 200))
    done = server.command("devices", "speech")
    assert done.returncode == 0, done.stderr
    assert shows(done.stdout)
    devices = server.asked("GET", "/v1/models/speech/devices", token=server.operator).json()["items"]
    assert sum(line.startswith("│ ") for line in done.stdout.splitlines()) == len(devices)
    assert shown[:8].strip() in done.stdout


@pytest.mark.parametrize("text", [*HOSTILE, "", " kitchen", "kitchen ", "-kitchen", "a/b", "..", "a" * 101, "\ud800"])
@pytest.mark.parametrize("what", ["device", "domain", "model", "channel", "task"])
def test_no_name_is_hostile(server: Served, what: str, text: str) -> None:
    enrol = {"model": "speech", "name": "x", "channel": "stable"}
    train = {"kind": "update", "model": "speech", "data": "/data"}
    path, body = {
        "device": ("/v1/enroll", enrol | {"name": text}),
        "model": ("/v1/enroll", enrol | {"model": text}),
        "channel": ("/v1/enroll", enrol | {"channel": text}),
        "domain": ("/v1/trainings", train | {"domain": text}),
        "task": ("/v1/trainings", train | {"task": text}),
    }[what]
    answer = server.asked("POST", path, body, server.operator)
    assert answer.status == 422
    assert answer.body.isascii()


@pytest.mark.parametrize("name", ["kitchen", "Küche 2 (links)", "キッチン", "किचन", "O'Brien #3, R&D", "7"])
def test_people_may_call_devices_in_their_own_words(server: Served, name: str) -> None:
    server.device(name)
    assert name in server.command("devices", "speech").stdout


def test_what_an_earlier_release_let_in_is_shown_as_well(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        for _ in HOSTILE:
            server.device()
        engine = connect(f"sqlite:///{tmp_path}/diffserver.db")
        with writing(engine) as session:
            for device, text in zip(session.query(Device).order_by(Device.id), HOSTILE, strict=True):
                device.name = device.client = text
                session.add(
                    Report(device_id=device.id, stage="failed", failed_stage=text, reason=text, downloaded_bytes=0)
                )
        engine.dispose()
        done = server.command("devices", "speech")
        as_json = json.loads(server.command("devices", "speech", "--json").stdout)
    assert done.returncode == 0, done.stderr
    assert shows(done.stdout)
    assert sum(line.startswith("│ ") for line in done.stdout.splitlines()) == len(HOSTILE)
    assert [device["name"] for device in as_json] == HOSTILE


@pytest.mark.parametrize("text", [*HOSTILE, "half \ud800", "byte \udcff"])
def test_an_error_is_one_line_and_a_remedy_another(text: str) -> None:
    said = StringIO()
    with redirect_stderr(said):
        output.print_error(DiffServerError(f"no such {text}", text or "none"))
    first, second = said.getvalue().splitlines()
    assert shows(first + second)
    assert first == plain(f"error: no such {text}", 200)


@pytest.mark.parametrize("text", [*HOSTILE, "half \ud800", "byte \udcff"])
def test_the_device_says_it_in_as_many_lines_as_it_means(text: str) -> None:
    said, complained = StringIO(), StringIO()
    with redirect_stdout(said), redirect_stderr(complained):
        device_output.print_result(False, {}, f"model    {text}", "in use   nothing")
        device_output.print_error(f"diffclient: {text}")
    assert said.getvalue() == f"model    {printable(text)}\nin use   nothing\n"
    assert complained.getvalue() == f"diffclient: {printable(text)}\n"
    assert shows(said.getvalue() + complained.getvalue())


PRINTERS = {"print", "rprint", "echo", "secho", "pprint", "print_exc", "print_exception"}
MARKUP = {"Console", "TextColumn", "RenderableColumn", "from_markup", "from_ansi", "Markdown", "Prompt", "Confirm"}
STREAMS = {"sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"}
LOGS = {ROOT / "diffserver/logs.py"}
"""Lines of JSON, which escapes what does not print."""


def printing(path: Path) -> Iterator[str]:
    """Where a module prints by itself, or makes something that parses markup; to flush is to print nothing."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    flushed = [node.value for node in nodes if isinstance(node, ast.Attribute) and node.attr == "flush"]
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in PRINTERS | {"Progress"}:
            yield f"{path}:{node.lineno} {node.func.id}"
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in STREAMS and node not in flushed:
            yield f"{path}:{node.lineno} {ast.unparse(node)}"
        elif isinstance(node, ast.Attribute) and node.attr in (PRINTERS | MARKUP) - {"print"}:
            yield f"{path}:{node.lineno} .{node.attr}"
        elif isinstance(node, ast.ImportFrom | ast.Import):
            yield from (f"{path}:{node.lineno} {name.name}" for name in node.names if name.name in PRINTERS | MARKUP)


@pytest.mark.parametrize(("package", "place"), [("diffserver", "cli"), ("client/diffclient", "cli")])
def test_one_module_prints(package: str, place: str) -> None:
    one = ROOT / package / place / "output.py"
    assert list(printing(one)), "the walk must see what it looks for"
    others = sorted((ROOT / package).rglob("*.py"))
    assert [found for path in others if path not in {one, *LOGS} for found in printing(path)] == []
