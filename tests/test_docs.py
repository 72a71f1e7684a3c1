"""Documents stay true: their links lead somewhere, their lines are short, and the code that they name exists."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = ("", "client/", "docs/", "docs/adr/", "benchmarks/", "benchmarks/*/")
PAGES = [page for place in PLACES for page in sorted(ROOT.glob(f"{place}*.md"))]
SECURITY = (ROOT / "docs" / "security.md").read_text()

LINK = re.compile(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)")
NAMED_TEST = re.compile(r"`(?:tests/)?([\w/]*test_\w+\.py)?(?:::(test_\w+))?`")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """A page without its blocks of code and output."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What links to a page's headings are called."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_somewhere(page: Path, path: str, anchor: str) -> bool:
    target = page.parent / path if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


def dotted(first: str, text: str) -> set[str]:
    """Dotted names in a text whose first part is one of `first` (`a|b`)."""
    return set(re.findall(rf"(?<![\w/.-])((?:{first})(?:\.\w+)+)", text))


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    assert [link for link in LINK.findall(prose(page)) if not leads_somewhere(page, *link)] == []


@every_page
def test_lines_of_prose_are_short(page: Path) -> None:
    """Tables cannot be wrapped, nor can addresses."""
    lines = [re.sub(r"https?://\S+", "", line) for line in prose(page).splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > 120] == []


def shown_by() -> Iterator[tuple[str, str]]:
    """Files below tests/ and tests in them; `::test_x` is of the file named before it."""
    file = ""
    for path, test in NAMED_TEST.findall(SECURITY):
        file = path or file
        yield file, test


@pytest.mark.parametrize(("file", "test"), sorted(set(shown_by())))
def test_tests_that_show_security_exist(file: str, test: str) -> None:
    defined = re.findall(r"^def (test_\w+)\(", (ROOT / "tests" / file).read_text(), re.MULTILINE)
    assert test in defined if test else defined


def test_every_test_that_shows_security_is_looked_for() -> None:
    assert re.findall(r"test_\w+", NAMED_TEST.sub("", SECURITY)) == []


def test_code_that_defends_exists() -> None:
    modules = {path.stem for path in (ROOT / "client" / "diffclient").iterdir()}
    names = dotted("|".join(modules), "".join(re.findall(r"`[\w.]+`", SECURITY)))
    assert len(names) > 20
    for name in names:
        pkgutil.resolve_name(f"diffclient.{name}")  # raises an error if there is nothing of that name


def test_code_that_pages_name_exists() -> None:
    pytest.importorskip("torch", reason="some of it trains: pip install 'diffserver[train]'")
    names = {name for page in PAGES for name in dotted("diffclient|diffserver", page.read_text())}
    assert len(names) > 5
    for name in names:
        pkgutil.resolve_name(name)
