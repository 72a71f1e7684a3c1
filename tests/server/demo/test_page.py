"""The page: one file, opened by a real browser where there is one, that asks for nothing else."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from diffserver.demo import render, report
from diffserver.demo.page import page
from tests.imagined import imagined_report

ROOT = Path(__file__).parents[3]
CHROMIUM = shutil.which("chromium")
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


def made(known: report.Report) -> str:
    return page(known, "five updates", render.CAPTIONS)


@pytest.fixture(scope="module")
def committed() -> report.Report:
    return report.from_json((ROOT / "benchmarks/results/demo-sparse.json").read_text())


class Elements(HTMLParser):
    """The elements of a page in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, *tags: str) -> list[tuple[str, dict[str, str | None]]]:
        return [one for one in self.found if one[0] in tags]


def test_the_verdict_comes_first_then_pictures_then_tables(committed: report.Report) -> None:
    elements = Elements(made(committed))
    order = [tag for tag, _ in elements.of("h1", "svg", "table")]
    assert order == ["h1", *["svg"] * 4, *["table"] * 4]


def test_nothing_is_fetched_and_everything_is_named(committed: report.Report) -> None:
    text = made(committed)
    elements = Elements(text)
    assert not elements.of("img", "script", "link", "iframe", "object")
    assert not {name for _, attributes in elements.found for name in attributes} & {"src", "href", "style", "onload"}
    assert "url(" not in text
    assert all(attributes["aria-label"] for _, attributes in elements.of("svg"))
    assert len(elements.of("caption")) == len(elements.of("table"))
    assert {attributes.get("scope") for _, attributes in elements.of("th")} == {"col", "row"}
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_bars_show_how_far_figures_may_be_off() -> None:
    known = imagined_report()
    assert known.updates[0].margin_published
    assert "95 % intervals" in made(known)
    before = replace(known, updates=[replace(row, margin_published=None, margin_full=None) for row in known.updates])
    assert "95 % intervals" not in made(before)


def test_names_are_escaped() -> None:
    known = imagined_report()
    hostile = replace(known, updates=[replace(row, domain="<script>alert(1)</script>") for row in known.updates])
    assert not Elements(made(hostile)).of("script")


def test_a_report_is_read_back() -> None:
    known = imagined_report()
    assert json.loads(report.from_json(known.to_json()).to_json()) == json.loads(known.to_json())


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it(width: int, scheme: Any, committed: report.Report, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser is driven by playwright")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install 'diffserver[dev]'").Axe()
    path = tmp_path / "report.html"
    path.write_text(made(committed))
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        shown = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
        asked: list[str] = []
        said: list[str] = []
        shown.on("request", lambda request: asked.append(request.url))
        shown.on("console", lambda message: said.append(message.text))
        shown.goto(path.as_uri())
        wide = shown.evaluate("document.documentElement.scrollWidth")
        ground = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        lines = shown.evaluate("[...document.querySelectorAll('svg .line')].map(one => getComputedStyle(one).stroke)")
        violations = axe.run(shown).response["violations"]
        browser.close()
    assert (asked, said) == ([path.as_uri()], [])
    assert wide <= width, "only the tables scroll sideways"
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 25, 29)")
    assert "none" not in lines
    assert [(one["id"], one["impact"], one["nodes"][0]["html"][:200]) for one in violations] == []
