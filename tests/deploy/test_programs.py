"""A program that is missing is named with the line that installs it."""

from __future__ import annotations

import pytest

from deploy.loopback.programs import Missing, Program, located, require

ABSENT = Program("no-such-program", "its-package")


def test_all_that_is_missing_is_told_at_once() -> None:
    other = Program("nor-this-one", "another")
    with pytest.raises(Missing, match=r"apt-get install --no-install-recommends its-package another$"):
        require([ABSENT, Program("sh", "dash"), other])


def test_a_program_is_found_by_its_path() -> None:
    assert located(Program("sh", "dash")).endswith("/sh")
    with pytest.raises(Missing):
        located(ABSENT)
