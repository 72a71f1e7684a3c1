"""Documents stay true: their links lead somewhere, their lines are short, and the code that they name exists."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLIENT = ROOT / "client" / "diffclient"
PAGES = sorted(page for place in (".", "client", "docs", "docs/adr", "benchmarks", "benchmarks/*")
               for page in ROOT.glob(f"{place}/*.md"))  # fmt: skip
SECURITY = (ROOT / "docs" / "security.md").read_text()

LINK = re.compile(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)")
TEST = re.compile(r"`(?:tests/)?([\w/]*test_\w+\.py)?(?:::(test_\w+))?`")


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


def named_tests() -> Iterator[tuple[str, str]]:
    """Files below tests/ and their tests that docs/security.md names; `::test_x` is of the file named before it."""
    file = ""
    for path, test in TEST.findall(SECURITY):
        file = path or file
        yield file, test


def named_code(pattern: str, text: str) -> list[str]:
    return sorted({found[0] for found in re.finditer(rf"(?<![\w/.-]){pattern}(\.\w+)+(?![\w/(-])", text)})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert [link for link in LINK.findall(page.read_text()) if not leads_somewhere(page, *link)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_of_prose_are_short(page: Path) -> None:
    lines = [re.sub(r"https?://\S+", "", line) for line in prose(page).splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize(("file", "test"), sorted(set(named_tests())))
def test_tests_that_show_security_exist(file: str, test: str) -> None:
    assert re.search(rf"^def {test or 'test_'}", (ROOT / "tests" / file).read_text(), re.MULTILINE)


def test_no_other_spelling_of_a_test_goes_unchecked() -> None:
    assert not re.findall(r"test_\w+", TEST.sub("", SECURITY))


def test_modules_that_defend_exist() -> None:
    own = "|".join(path.stem for path in CLIENT.iterdir())
    names = [name.strip("`") for name in named_code(f"`({own})", SECURITY)]
    assert len(names) > 20
    for name in names:
        assert pkgutil.resolve_name(f"diffclient.{name}"), name


def test_code_that_pages_name_exists() -> None:
    pytest.importorskip("torch", reason="some of it trains: pip install 'diffserver[train]'")
    names = {name for page in PAGES for name in named_code("(diffclient|diffserver)", page.read_text())}
    assert len(names) > 5
    for name in sorted(names):
        assert pkgutil.resolve_name(name), name
