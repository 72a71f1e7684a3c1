"""A value is made once while it is fresh, and nobody but the first waits for a new one."""

from __future__ import annotations

import itertools
import threading

import pytest

from diffserver.storage.fresh import Fresh


def test_a_value_is_made_again_when_it_is_old() -> None:
    kept, renewed = (Fresh(itertools.count().__next__, seconds) for seconds in (60, -1))
    assert [kept.get() for _ in range(3)] == [0, 0, 0]
    assert [renewed.get() for _ in range(3)] == [0, 1, 2]


def test_others_take_the_old_value_while_one_makes_a_new_one() -> None:
    numbers, making, go_on = itertools.count(), threading.Event(), threading.Event()

    def make() -> int:
        number = next(numbers)
        if number:
            making.set()
            assert go_on.wait(10)
        return number

    value = Fresh(make, -1)
    assert value.get() == 0
    thread = threading.Thread(target=value.get)
    thread.start()
    assert making.wait(10)
    assert value.get() == 0
    go_on.set()
    thread.join()
    assert next(numbers) == 2, "one thread made it, once"


def test_a_failure_is_not_kept() -> None:
    answers = iter([ZeroDivisionError, None])

    def make() -> str:
        if (error := next(answers)) is not None:
            raise error
        return "made"

    value = Fresh(make, 60)
    with pytest.raises(ZeroDivisionError):
        value.get()
    assert value.get() == "made"
