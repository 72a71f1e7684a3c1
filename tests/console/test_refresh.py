"""Parts of a page that follow by themselves: where the server fails they say that they are not current."""

from __future__ import annotations

from tests.console.conftest import Open


def test_a_part_that_cannot_be_had_says_that_it_is_not_current(tab: Open) -> None:
    seen = tab("viewer")
    part = seen.page.locator("[data-refresh='/console/overview/fleet']")
    assert part.locator("xpath=self::*[@data-stale]").count() == 0
    seen.page.route("**/console/overview/fleet", lambda route: route.fulfill(status=503, body="away"))
    seen.page.evaluate("refresh(document.querySelector('[data-refresh]'))")
    seen.page.wait_for_selector("[data-stale]")
    assert "Rollouts under way" in part.inner_text(), "what was known stays"
    seen.page.unroute("**/console/overview/fleet")
    seen.page.evaluate("refresh(document.querySelector('[data-refresh]'))")
    seen.page.wait_for_selector("[data-refresh]:not([data-stale])")
    seen.said.clear()
