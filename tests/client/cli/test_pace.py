"""The pace of progress: silent for what is short, and then a line each time that it is due."""

from __future__ import annotations

from diffclient.cli.pace import Pace


def test_a_line_is_due_once_in_so_many_seconds() -> None:
    now = [100.0]
    pace = Pace(10, lambda: now[0])
    due = []
    for now[0] in (100, 105, 109.9, 110, 111, 119, 121, 150, 151):
        due.append(pace.due())
    assert due == [False, False, False, True, False, False, True, True, False]
    assert pace.seconds() == 51


def test_what_is_short_tells_nothing() -> None:
    pace = Pace(10, lambda: 0.0)
    assert not pace.due()
    assert not pace.told
