import pytest

from diffserver.api import guesses
from diffserver.api.guesses import SECONDS_EACH, Guesses
from diffserver.errors import TooMany


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def known(clock: Clock) -> Guesses:
    return Guesses(3, clock)


def guess(known: Guesses, address: str, times: int = 1) -> int:
    """Send wrong tokens; returns how many were looked up."""
    for number in range(times):
        try:
            known.admit(address, f"wrong {number}")
        except TooMany:
            return number
        known.wrong(address, f"wrong {number}")
    return times


def test_an_allowance_is_used_up_and_comes_back_with_time(known: Guesses, clock: Clock) -> None:
    assert guess(known, "10.0.0.1", 10) == 3
    with pytest.raises(TooMany) as refused:
        known.admit("10.0.0.1", "another")
    assert refused.value.retry_after == SECONDS_EACH
    clock.now += SECONDS_EACH
    assert guess(known, "10.0.0.1", 10) == 1
    clock.now += 1e6
    assert guess(known, "10.0.0.1", 10) == 3


def test_addresses_do_not_pay_for_each_other(known: Guesses) -> None:
    assert guess(known, "10.0.0.1", 10) == 3
    assert guess(known, "10.0.0.2", 10) == 3


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("unix", "unix", True),
    ],
)
def test_a_host_has_a_network_of_ipv6(known: Guesses, one: str, other: str, same: bool) -> None:
    guess(known, one, 10)
    assert guess(known, other) == (0 if same else 1)


def test_a_token_that_was_right_is_not_kept_waiting_until_it_is_revoked(known: Guesses) -> None:
    known.right("mine")
    guess(known, "10.0.0.1", 10)
    known.admit("10.0.0.1", "mine")
    known.wrong("10.0.0.1", "mine")
    with pytest.raises(TooMany):
        known.admit("10.0.0.1", "mine")


def test_memory_is_bounded(known: Guesses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "REMEMBERED", 50)
    for number in range(500):
        guess(known, f"10.0.{number // 250}.{number % 250}", 3)
        known.right(f"token {number}")
    assert (len(known._paid), len(known._right)) == (50, 50)
    assert guess(known, "10.0.1.249") == 0, "the latest are those that are remembered"
