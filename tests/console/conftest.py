"""Chromium, driven by Playwright, at a server with a fleet."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from diffserver.catalog.tokens import Role
from tests.console.fleet import Visited, fleet

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PICTURES = "DIFFSERVER_TEST_PICTURES"
"""The variable that names a folder for pictures of pages, as those of docs; without it none are taken."""

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    with fleet(tmp_path_factory.mktemp("console")) as served:
        yield served


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser; it ends with its module, for until then no other test of the process can run an event loop."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install 'diffserver[dev]'")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


class Tab:
    """A page of a browser, what it asked for, and what its console said."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def open(self, path: str) -> None:
        """Open a page, and wait for its parts."""
        self.page.goto(self.url + path, wait_until="load")
        self.page.wait_for_selector("main:not(:has([aria-busy]))")

    def picture(self, name: str) -> None:
        """Take a picture of the page, if pictures are wanted."""
        if folder := os.environ.get(PICTURES):
            self.page.wait_for_selector("main:not(:has([aria-busy]))")
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    @property
    def foreign(self) -> list[str]:
        """The addresses of other hosts that were asked for."""
        return [url for url in self.asked if not url.startswith((self.url, "data:"))]


Open = Callable[..., Tab]


@pytest.fixture
def tab(chromium: Browser, visited: Visited) -> Iterator[Open]:
    """Open a tab that somebody of a role is signed in at; what the browser said against the pages is a failure."""
    contexts: list[Any] = []
    tabs: list[Tab] = []

    def make(role: Role = "admin", **options: Any) -> Tab:
        contexts.append(context := chromium.new_context(**options))
        tabs.append(made := Tab(context.new_page(), visited.url))
        made.page.goto(visited.url + "/")
        made.page.get_by_label("An operator's token").fill(visited.tokens[role])
        made.page.get_by_role("button", name="Sign in").click()
        made.page.wait_for_selector("main:not(:has([aria-busy]))")
        return made

    yield make
    for context in contexts:
        context.close()
    assert [tab.said for tab in tabs if tab.said] == []
    assert [tab.foreign for tab in tabs if tab.foreign] == []
