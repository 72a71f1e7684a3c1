from dataclasses import replace

from diffserver.polls.credentials import Credentials, Known
from tests.server.factories import digest

KNOWN = Known(7, "01a2183f5993445877eca048", "speech", "stable", -(2**62), frozenset({("group", "pilots"), ("s", "1")}))


def put(credentials: Credentials, *numbers: int) -> None:
    for number in numbers:
        credentials.put(digest(str(number)), replace(KNOWN, token=number), credentials.mark())


def known(credentials: Credentials) -> set[int]:
    found = (credentials.get(digest(str(number))) for number in range(30))
    return {one.token for one in found if one}


def test_a_device_comes_back_as_it_was() -> None:
    credentials = Credentials(10)
    for device in (KNOWN, replace(KNOWN, channel="canary", attributes=frozenset()), replace(KNOWN, device="d")):
        credentials.put(digest("token"), device, credentials.mark())
        assert credentials.get(digest("token")) == device


def test_so_many_are_kept_at_least_and_twice_as_many_at_most() -> None:
    credentials = Credentials(10)
    put(credentials, *range(30))
    assert set(range(20, 30)) <= known(credentials)
    assert len(credentials) <= 20


def test_one_that_was_forgotten_is_not_put_by_whoever_read_it_before() -> None:
    credentials = Credentials(10)
    put(credentials, 1, 2)
    mark = credentials.mark()
    credentials.forget(digest("1"))
    credentials.put(digest("1"), KNOWN, mark)
    assert known(credentials) == {2}
    credentials.forget()
    assert known(credentials) == set()
