"""Every page in Chromium, with a fleet of 10,000: it opens, escapes, is accessible and light."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.console.conftest import Open
from tests.console.fleet import HOSTILE, Visited

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FIRST = f"{0:024x}"
PAGES = {
    "/": "Overview",
    "/console/rollouts": "Rollouts",
    "/console/rollouts/1": "Rollout 1",
    "/console/rollouts/1/pause": "Pause",
    "/console/rollouts/1/approve": "Approve",
    "/console/rollouts/1/abort": "Abort",
    "/console/rollouts/new/speech": "Start a rollout",
    "/console/models/speech/recall/stable": "Recall",
    "/console/devices": "Devices",
    "/console/devices?only=failed": "Devices",
    "/console/devices?search=device-99": "Devices",
    f"/console/devices/{FIRST}": "Device",
    "/console/models": "Models",
    "/console/models/speech": "speech",
    "/console/models/speech/versions/1": "speech 1",
    "/console/trainings": "Trainings",
    "/console/trainings/new": "Submit a training",
    "/console/candidates": "Candidates",
    "/console/candidates/beside?c=1&c=2": "Candidates side by side",
    "/console/candidates/2": "Candidate 2",
    "/console/candidates/3/publish?channel=stable&stages=1%25,100%25": "Publish candidate 3",
    "/console/audit": "Audit log",
    "/console/keys": "Keys",
    "/console/tokens": "Tokens",
    "/console/devices/" + "f" * 24: "Not Found",
    "/console/none": "Not Found",
}
SERIOUS = ("serious", "critical")
FIRST_LOAD, LATER = 1_500_000, 100_000
"""Bytes."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(tab: Open, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install 'diffserver[dev]'").Axe()
    found: dict[str, Any] = {}
    seen = tab("admin", color_scheme=scheme, bypass_csp=True)
    for path, title in PAGES.items():
        seen.open(path)
        assert title in seen.page.title()
        violations = axe.run(seen.page).response["violations"]
        if serious := [(v["id"], v["nodes"][0]["html"][:200]) for v in violations if v["impact"] in SERIOUS]:
            found[path] = serious
    seen.said = [line for line in seen.said if "404" not in line]
    assert found == {}


def test_pages_are_as_wide_as_a_phone(tab: Open) -> None:
    seen, wide = tab("admin", viewport={"width": 360, "height": 740}), []
    for path in PAGES:
        seen.open(path)
        if seen.page.evaluate("document.documentElement.scrollWidth") > 360:
            wide.append(path)
    seen.said = [line for line in seen.said if "404" not in line]
    assert wide == []


def test_pages_are_light(tab: Open) -> None:
    seen = tab("viewer")
    first = sum(entry["size"] for entry in _loaded(seen))
    assert first <= FIRST_LOAD
    for path in ("/console/rollouts/1", "/console/devices", f"/console/devices/{FIRST}", "/"):
        seen.open(path)
        assert sum(entry["size"] for entry in _loaded(seen)) <= LATER, path


def _loaded(seen: Any) -> Any:
    return seen.page.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".map(one => ({name: one.name, size: one.transferSize}))"
    )


def test_what_outsiders_fill_in_is_text(tab: Open) -> None:
    seen = tab("viewer")
    for path in (
        "/console/devices?search=%3Cscript%3E",
        f"/console/devices/{FIRST}",
        "/console/devices?only=failed",
        "/",
    ):
        seen.open(path)
        assert seen.page.title() != "taken"
        assert seen.page.locator("main script, main img").count() == 0
    seen.open(f"/console/devices/{FIRST}")
    assert HOSTILE in seen.page.inner_text("h1")


def test_a_viewer_sees_no_way_to_change_anything(tab: Open) -> None:
    seen = tab("viewer")
    for path in ("/", "/console/rollouts", "/console/rollouts/1"):
        seen.open(path)
        assert seen.page.locator("main a.button, main button, main a:has-text('recall')").count() == 0


def test_an_act_of_a_viewer_is_refused(visited: Visited, chromium: Browser) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(visited.url + "/")
    page.get_by_label("An operator's token").fill(visited.tokens["viewer"])
    page.get_by_role("button", name="Sign in").click()
    form = page.locator("input[name=form_token]").first.get_attribute("value")
    page.evaluate(
        """form => { const made = document.createElement('form'); made.method = 'post';
        made.action = '/console/rollouts/1/abort'; made.innerHTML = `<input name=form_token value=${form}>`;
        document.body.append(made); made.submit(); }""",
        form,
    )
    page.wait_for_selector("text=a token of role publisher or admin is needed")
    context.close()
