"""How soon the console paints, with many devices and a rollout under way: first paint, and when its figures are there.

Needs Chromium and Playwright. Run: python -m benchmarks.console [--devices 100000]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.console.conftest import FLAGS
from tests.console.fleet import fleet

PAGES = ("/", "/console/rollouts", "/console/rollouts/1", "/console/devices", "/console/devices?only=failed")
BAR_MS = 500
TIMES = 5

THERE = """() => {
  const paint = performance.getEntriesByName('first-contentful-paint')[0];
  if (!paint || document.readyState !== 'complete' || document.querySelector('main [aria-busy]')) return null;
  const loaded = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
  const bytes = loaded.reduce((sum, one) => sum + one.transferSize, 0);
  return { paint: paint.startTime, bytes, now: performance.now() };
}"""
"""Asked at each frame, or the waiting would be measured, too."""


def measure(page: Page, url: str) -> dict[str, Any]:
    """Open a page; return when it painted first, when its parts were there (ms), and the bytes that travelled."""
    page.goto(url, wait_until="commit")
    found: dict[str, Any] = page.wait_for_function(THERE, polling="raf").json_value()
    return found


def main() -> None:
    """Print a line for each page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=100_000)
    devices = parser.parse_args().devices
    with tempfile.TemporaryDirectory() as home, fleet(Path(home), devices) as visited, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), headless=True, args=FLAGS)
        page = browser.new_page()
        page.goto(visited.url + "/")
        page.get_by_label("An operator's token").fill(visited.tokens["viewer"])
        page.get_by_role("button", name="Sign in").click()
        print(f"{devices:,} devices; the median of {TIMES}, the first load apart")
        for path in PAGES:
            first = measure(page, visited.url + path)
            rows = [measure(page, visited.url + path) for _ in range(TIMES)]
            paint, there = (statistics.median(row[name] for row in rows) for name in ("paint", "now"))
            kilobytes = max(row["bytes"] for row in [first, *rows]) / 1000
            print(
                f"{path:32} first paint {paint:6.0f} ms ({paint / BAR_MS:.2f} of the bar), "
                f"figures there {there:6.0f} ms, {kilobytes:.1f} kB"
            )
        browser.close()


if __name__ == "__main__":
    main()
