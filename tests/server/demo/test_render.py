"""How a report is shown, on the answers of an imagined chain."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from diffserver.demo import render
from tests.imagined import imagined_report


def test_the_report_is_written_as_json_page_and_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install 'diffserver[demo]'")
    render.write(imagined_report(), tmp_path / "out")
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    assert document["model_bytes_fp32"] == 10_000
    assert document["updates"][0]["payload_bytes"] == 200
    assert (tmp_path / "out" / "report.png").read_bytes().startswith(b"\x89PNG")
    assert "<td>+3.50</td>" in (tmp_path / "out" / "report.html").read_text()


def test_the_tables_fit_a_terminal_of_eighty_columns() -> None:
    console = Console(width=80, record=True, file=StringIO())
    console.print(render.tables(imagined_report()))
    shown = console.export_text()
    assert "…" not in shown
    assert "+3.50" in shown
