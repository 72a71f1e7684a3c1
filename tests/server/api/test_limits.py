"""When those who are refused may come back: later the more they are, and not all at once."""

from collections import Counter

from diffserver.api.limits import LONGEST_SECONDS, Returns


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_wait_grows_with_those_that_were_refused_and_they_are_spread() -> None:
    returns = Returns(100, 5, Clock())
    waits = [returns.seconds() for _ in range(1000)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (6, 15)
    assert max(Counter(waits).values()) <= 101


def test_the_wait_is_short_again_when_the_crowd_has_passed() -> None:
    returns = Returns(100, 5, clock := Clock())
    for _ in range(1000):
        returns.seconds()
    clock.now += 8
    assert returns.seconds() == 8, "those of before are still to come"
    clock.now += 60
    assert returns.seconds() == 6


def test_nobody_is_told_to_stay_away_for_ever() -> None:
    returns = Returns(1, 5, Clock())
    assert [returns.seconds() for _ in range(5000)][-1] == LONGEST_SECONDS
