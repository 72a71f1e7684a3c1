"""The log of a training: numbered lines, of which the latest stay."""

from collections.abc import Sequence

import pytest
from sqlalchemy import Engine, delete

from diffserver.catalog import training_queue
from diffserver.catalog.jobs import lines
from diffserver.catalog.jobs.lines import NewLine
from diffserver.catalog.training_request import TrainingSpec
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Training


@pytest.fixture
def numbers(engine: Engine) -> list[int]:
    with writing(engine) as session:
        return [training_queue.submit(session, TrainingSpec("base", "m", "/data")).id for _ in range(2)]


def say(engine: Engine, *said: tuple[int, str]) -> None:
    lines.append(engine, [NewLine(number, utc_now(), "info", "w", text) for number, text in said])


def told(engine: Engine, number: int, after: int = 0) -> Sequence[tuple[int, str]]:
    with reading(engine) as session:
        return [(line.number, line.text) for line in lines.entries(session, number, after, 10_000)]


def test_each_training_numbers_its_own_lines(engine: Engine, numbers: list[int]) -> None:
    one, two = numbers
    say(engine, (one, "a"), (two, "b"), (one, "c"))
    say(engine, (one, "d"))
    assert told(engine, one) == [(1, "a"), (2, "c"), (3, "d")]
    assert told(engine, one, after=2) == [(3, "d")]
    assert told(engine, two) == [(1, "b")]


def test_of_a_long_log_the_first_lines_go(engine: Engine, numbers: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "KEPT", 5)
    for batch in range(4):
        say(engine, *[(numbers[0], f"{batch}.{n}") for n in range(3)])
    assert told(engine, numbers[0]) == [(8, "2.1"), (9, "2.2"), (10, "3.0"), (11, "3.1"), (12, "3.2")]


def test_lines_go_with_their_training_and_none_comes_after_it(engine: Engine, numbers: list[int]) -> None:
    say(engine, (numbers[0], "a"))
    with writing(engine) as session:
        session.execute(delete(Training).where(Training.id == numbers[0]))
    say(engine, (numbers[0], "last words"), (numbers[1], "b"))
    assert told(engine, numbers[0]) == []
    assert told(engine, numbers[1]) == [(1, "b")]


def test_what_cannot_be_stored_is_stored_as_a_line(engine: Engine, numbers: list[int]) -> None:
    say(engine, (numbers[0], "tensor '\ud800\0\x1b[31m'\nis none" + "x" * 10_000))
    (line,) = told(engine, numbers[0])
    assert line[1].startswith("tensor '???[31m' is none")
    assert len(line[1]) == 4000
