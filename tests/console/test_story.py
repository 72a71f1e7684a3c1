"""One publisher's day, by mouse: compare, publish in stages, watch the gate, abort, see the devices return."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from diffclient.simulate.plan import Attribute, Plan
from tests.client.lineage import MODEL
from tests.console.conftest import Open, Tab
from tests.console.fleet import Visited, fleet
from tests.console.steered import REFUSAL, Steered, steered

if TYPE_CHECKING:
    from playwright.sync_api import Page

PATIENCE = 20_000
"""How long, in milliseconds, until the server has looked and the page has asked again."""


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    """A server that looks at its rollouts every second."""
    with fleet(tmp_path_factory.mktemp("story"), rollout_seconds=1) as served:
        yield served


@pytest.fixture(scope="module")
def model(visited: Visited, tmp_path_factory: pytest.TempPathFactory) -> Steered:
    return steered(visited, tmp_path_factory.mktemp("steered"))


def figures(page: Page) -> dict[str, str]:
    """What a page's figures say, by their names."""
    names, values = (page.locator(f".figures {tag}").all_inner_texts() for tag in ("dt", "dd"))
    return {name: " ".join(value.split()) for name, value in zip(names, values, strict=True)}


def go(page: Page, name: str) -> None:
    """Take a link of the navigation."""
    page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()


def interval(page: Page, than: float = float("inf")) -> float:
    """How wide the gate's interval is, once the page shows one that is narrower."""
    page.wait_for_function(
        """than => { const drawn = document.querySelector("svg.chart[role=img]");
        const ends = drawn && drawn.getAttribute("aria-label").match(/-?\\d+\\.\\d+/g);
        return ends && ends[1] - ends[0] < than; }""",
        arg=min(than, 1e9),
        timeout=PATIENCE,
    )
    drawn = page.locator("svg.chart[role=img]").get_attribute("aria-label") or ""
    low, high = map(float, re.findall(r"-?\d+\.\d+", drawn)[:2])
    return high - low


def test_the_story_by_mouse(tab: Open, model: Steered) -> None:
    seen = tab("publisher", viewport={"width": 1200, "height": 800})
    seen.picture("console")
    page, eu = seen.page, model.versions("eu").total()
    compare(seen, model)
    publish(seen, model, eu)
    watch(seen, model, eu)
    abort(seen, model, eu)
    start_again(page)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_selector("text=An operator's token")


def compare(seen: Tab, model: Steered) -> None:
    """Open the open candidates side by side, and go on to publish the good one from there."""
    page = seen.page
    go(page, "Candidates")
    for number in (model.good, model.worse):
        assert page.get_by_label(f"Compare candidate {number}").is_checked(), "those that are open are ticked"
    page.get_by_role("button", name="Compare the chosen").click()
    assert REFUSAL in page.inner_text("main")
    seen.picture("console-candidates")
    page.get_by_role("link", name=f"Publish {model.good} …").click()


def publish(seen: Tab, model: Steered, eu: int) -> None:
    """Publish for one region in stages; the page before says how many devices that comes to."""
    page = seen.page
    page.get_by_label("Stages", exact=True).fill("50%,100%")
    page.get_by_label("Only devices with").fill("region=eu")
    page.get_by_text("More conditions").click()
    page.get_by_label("Worsening that is borne, points").fill("0.2")
    page.get_by_role("button", name="Publish …").click()
    asked = figures(page)
    assert asked["In the end"].startswith(f"{eu} devices")
    assert asked["First stage, 50%"].startswith(f"about {-(-eu // 2)} devices")
    assert re.search(r"Only devices with\s+region=eu", page.inner_text("main"))
    seen.picture("console-publish")
    page.get_by_role("button", name="Publish version 2").click()
    assert "50%" in page.inner_text("ol.stages li.now"), "the rollout follows"
    assert model.versions("eu") == {1: eu}


def watch(seen: Tab, model: Steered, eu: int) -> None:
    """Watch how the interval narrows with the reports, pause and resume, and let it go on to the whole region."""
    page = seen.page
    model.live(2)
    first = interval(page)
    assert 0 < model.versions("eu")[2] < eu
    model.live(3)
    assert interval(page, than=first) < first
    seen.picture("console-rollout")
    page.get_by_role("link", name="Pause").click()
    page.get_by_label("Why, for the record").fill("lunch")
    page.get_by_role("button", name="Pause").click()
    assert "lunch" in page.inner_text("main")
    page.get_by_role("link", name="Resume").click()
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("link", name="Approve the next stage").click()
    page.get_by_role("button", name="Approve").click()
    model.live(1)
    assert model.versions("eu") == {2: eu}
    assert model.versions("us").keys() == {1}
    model.join(Plan(1, real=1, attributes=(Attribute("region", (("eu", 1.0),)),)))
    assert model.versions("eu") == {2: eu + 1}, "a device that is new keeps nothing to return to"


def abort(seen: Tab, model: Steered, eu: int) -> None:
    """Abort, after a page that says how many devices return and what they fetch; see them return."""
    page = seen.page
    page.get_by_role("link", name="Abort").click()
    asked = figures(page)
    assert asked["Devices that do not run version 1"] == str(eu + 1)
    assert asked["Of them keep it, and fetch nothing"] == str(eu)
    assert re.fullmatch(r"\d[\d.]* kB", asked["Bytes, at most"]), "a snapshot for the new one"
    page.get_by_label("Why, for the record").fill("the pilots complain")
    seen.picture("console-abort")
    page.get_by_role("button", name="Abort").click()
    assert "the pilots complain" in page.inner_text("main")
    assert figures(page)["Run it now"] == str(eu + 1)
    model.live(1)
    assert model.versions("eu") == {1: eu + 1}
    go(page, "Rollouts")
    row: Any = page.locator("tbody tr").first
    assert row.locator("td").all_inner_texts()[:5] == [f"{MODEL}, stable", "1 → 2", "aborted", "100%", "0"]
    go(page, "Devices")
    assert set(page.locator("tbody td.number").all_inner_texts()) == {"1"}


def start_again(page: Page) -> None:
    """Lead the channel to the version once more, from the version's page."""
    go(page, "Models")
    page.get_by_role("link", name=MODEL, exact=True).click()
    page.get_by_role("rowheader", name="2", exact=True).get_by_role("link").click()
    page.get_by_role("link", name="Start a rollout of version 2").click()
    page.get_by_label("Stages").fill("5%,100%")
    page.get_by_role("button", name="Start").click()
    assert "5%" in page.inner_text("ol.stages li.now")
