from datetime import UTC, datetime, timedelta

import pytest

from diffserver.catalog.clones import SHOWN_FOR, SILENT_FOR, Boots, after, are_clones

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def heard(*boots: str | None, every: timedelta = timedelta(minutes=5)) -> tuple[Boots, list[bool]]:
    """What is known after machines said these boot ids in a row, and which of them the row told of."""
    known, seen, believed = Boots(), None, []
    for number, boot in enumerate(boots):
        moment = NOW + number * every
        known, is_believed = after(known, boot, seen, moment)
        seen = moment if is_believed else seen
        believed.append(is_believed)
    return known, believed


@pytest.mark.parametrize("boots", [("a", "a", "a"), ("a", "b", "c", "d"), (None, None), (None, "a", None, "a")])
def test_one_machine_that_starts_again_and_again_is_no_clone(boots: tuple[str | None, ...]) -> None:
    known, believed = heard(*boots)
    assert known.cloned_at is None
    assert all(believed)


def test_a_boot_that_comes_back_is_a_second_machines() -> None:
    known, believed = heard("a", "b", "a", "b", "a")
    assert are_clones(known.cloned_at, NOW)
    assert (known.boot, believed) == ("b", [True, True, False, True, False]), "the row keeps to one of them"


def test_the_other_one_is_told_of_once_the_first_is_silent() -> None:
    known, believed = heard("a", "b", "a", every=SILENT_FOR + timedelta(minutes=1))
    assert (known.boot, believed) == ("a", [True, True, True])


def test_clones_are_clones_no_longer_after_a_day() -> None:
    assert not are_clones(NOW - SHOWN_FOR, NOW)
    assert not are_clones(None, NOW)
