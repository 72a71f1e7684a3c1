from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffserver.errors import Invalid
from diffserver.rollouts.plan import PLACES, Conditions, from_json, place, reach, stages_of


def test_stages_are_shares_counts_and_attributes() -> None:
    group, count, small, everyone = stages_of(["group=pilots", "20", "2.5%", "100%"])
    assert (group.attribute, count.count, small.share, everyone.share) == (("group", "pilots"), 20, 0.025, 1)


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ([], "ends with all devices"),
        (["1%", "50%"], "ends with all devices"),
        (["50%", "10%", "100%"], "more devices than the one before"),
        (["20", "20", "100%"], "more devices than the one before"),
        (["0%", "100%"], "'0%' is no stage"),
        (["101%"], "'101%' is no stage"),
        (["a lot", "100%"], "'a lot' is no stage"),
        (["group=", "100%"], "'group=' is no stage"),
    ],
)
def test_stages_that_make_no_rollout(texts: list[str], reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        stages_of(texts)


@given(st.integers(1, 2**31), st.text("0123456789abcdef", min_size=24, max_size=24))
def test_a_place_is_always_the_same_and_another_in_another_rollout(rollout: int, device: str) -> None:
    assert 0 <= place(rollout, device) == place(rollout, device) < PLACES
    assert place(rollout, device) != place(rollout + 1, device)


def test_places_are_spread_evenly() -> None:
    places = [place(1, f"{number:024x}") for number in range(20_000)]
    for text, share in (("1%", 0.01), ("10%", 0.1), ("50%", 0.5)):
        bound = reach(stages_of([text, "100%"])[0], places)
        assert sum(found < bound for found in places) / 20_000 == pytest.approx(share, abs=4 * (share / 20_000) ** 0.5)


@given(st.sets(st.integers(0, PLACES - 1), max_size=30), st.integers(1, 40))
def test_a_count_reaches_just_so_many_devices(places: set[int], count: int) -> None:
    bound = reach(stages_of([str(count), "100%"])[0], list(places))
    assert sum(found < bound for found in places) == min(count, len(places))


@pytest.mark.parametrize(
    ("window", "hour", "is_open"),
    [("22:00-05:00", 23, True), ("22:00-05:00", 4, True), ("22:00-05:00", 5, False), ("09:00-17:30", 17, True)],
)
def test_hours_of_a_day(window: str, hour: int, is_open: bool) -> None:
    hours = Conditions(window=window).hours()
    assert hours is not None
    assert hours.is_open(datetime(2026, 11, 26, hour, 0, tzinfo=UTC)) is is_open


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"window": "22-5"}, "no hours of a day"),
        ({"window": "22:00-22:00"}, "no hours of a day"),
        ({"window": "25:00-26:00"}, "no hours of a day"),
        ({"evidence": "hope"}, "no gate 'hope'"),
        ({"evidence": "none"}, "needs a least time"),
        ({"margin": 0}, "margin above 0"),
        ({"only": ["eu"]}, "'eu' is no attribute of devices"),
    ],
)
def test_conditions_that_make_no_sense(wrong: dict[str, object], reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        from_json(wrong)


def test_conditions_are_kept_as_json() -> None:
    conditions = Conditions("failures", 3600, "22:00-05:00", by="cpu", margin=1.0, only=("region=eu",))
    assert from_json(conditions.to_json()) == conditions


@pytest.mark.parametrize(
    ("attributes", "admitted"),
    [
        ({"region": "eu", "group": "pilots"}, True),
        ({"region": "us", "group": "pilots", "cpu": "arm"}, True),
        ({"region": "eu"}, False),
        ({"region": "asia", "group": "pilots"}, False),
        ({}, False),
    ],
)
def test_values_of_a_name_are_alternatives_and_names_are_all_asked_for(
    attributes: dict[str, str], admitted: bool
) -> None:
    only = Conditions(only=("region=eu", "region=us", "group=pilots")).filter()
    assert only.admits(attributes.items()) is admitted
    assert Conditions().filter().admits(attributes.items())
