"""The rules of the search: what comes next, what is kept, whatever the measures say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclient.release.metric import Metric
from diffserver.choices.methods import EXACT, FULL
from diffserver.pipeline.search.size_estimate import AIM, BOLDEST, SLOPE
from diffserver.pipeline.search.trial_search import (
    MOST_OF_CHECKPOINT,
    MOST_TRAININGS,
    WORTHWHILE,
    Goal,
    NextTraining,
    Trial,
    choose,
    next_training,
    refusal,
)

BOTH: tuple[str, ...] = ("sparse", "hashed")
KNOWN = Trial(FULL, None, 3.0, 0.0, trained=False)
ERRORS = Metric("mistakes", "birds")
MISS = 0.985
"""The share of its budget that a payload takes."""

Drift = Callable[[str, float], float]
"""A method's drift in points at a payload share."""


def trial_after(following: NextTraining, drift: Drift, regression: float = 0.0) -> Trial:
    """What would come of a training."""
    if following.budget is None:
        return Trial(following.method, None, 3.0, 0.0)
    share = MISS * following.budget
    points = drift(following.method, share)
    return Trial(following.method, following.budget, 3.0 + points, points, regression, round(share * 1e6), share)


def searched(goal: Goal, drift: Drift, *catalogued: Trial) -> list[Trial]:
    """All trials of a request, in order."""
    trials = list(catalogued)
    while following := next_training(goal, trials):
        trials.append(trial_after(following, drift))
        assert len(trials) <= goal.trainings + len(catalogued)
    return trials


def power(at_two_percent: float, slope: float = -1.0) -> Drift:
    """Drift on a line in logarithms."""
    return lambda method, share: at_two_percent * (share / 0.02) ** slope


def aimed(share: float, drift: float) -> float:
    """The payload share that one try points to."""
    return float(share * (AIM / drift) ** (1 / SLOPE))


def plan(trials: list[Trial]) -> list[tuple[str, float | None]]:
    return [(trial.method, trial.budget) for trial in trials if trial.trained]


def test_one_method_within_a_budget_is_one_training() -> None:
    goal = Goal(("hashed",), 0.02)
    trials = searched(goal, power(1.0))
    assert plan(trials) == [("hashed", 0.02)]
    assert choose(goal, trials) is trials[0]
    assert refusal(goal, trials, ERRORS) is None


def test_the_fully_retrained_model_alone_takes_no_budget() -> None:
    goal = Goal((FULL,), 0.02)
    trials = searched(goal, power(1.0))
    assert plan(trials) == [(FULL, None)]
    assert choose(goal, trials) is trials[0]


def test_auto_tries_both_and_keeps_the_least_mean_wer() -> None:
    goal = Goal(BOTH, 0.02)
    trials = searched(goal, lambda method, share: 0.5 if method == "hashed" else 0.9, KNOWN)
    assert plan(trials) == [("sparse", 0.02), ("hashed", 0.02)]
    assert choose(goal, trials).method == "hashed"


def test_auto_keeps_one_that_holds_its_bounds_before_a_better_one_that_does_not() -> None:
    goal = Goal(BOTH, 0.02, max_regression=2.0)
    trials = [
        Trial("sparse", 0.02, 3.0, regression=2.1, payload_share=0.02),
        Trial("hashed", 0.02, 4.0, regression=2.0, payload_share=0.02),
    ]
    assert choose(goal, trials).method == "hashed"
    assert choose(replace(goal, max_regression=None), trials).method == "sparse"
    assert choose(replace(goal, max_regression=1.0), trials).method == "sparse", "refused, but the better one"


def test_the_fully_retrained_model_comes_first_and_counts() -> None:
    goal = Goal(("sparse",), 0.05, max_drift=1.0)
    second = pytest.approx(aimed(MISS * 0.02, 0.5 / MISS))
    assert plan(searched(goal, power(0.5))) == [(FULL, None), ("sparse", 0.02), ("sparse", second)]
    assert plan(searched(goal, power(0.9), KNOWN)) == [("sparse", 0.02)], "near enough"
    steep = plan(searched(goal, power(0.2, -2.5), KNOWN))
    assert [method for method, _ in steep] == ["sparse", "sparse", "sparse"]


@pytest.mark.parametrize("slope", [-1.0, -1.5, -2.5])
@pytest.mark.parametrize("at_two_percent", [0.1, 0.5, 1.2, 2.0])
def test_on_a_line_the_payload_found_is_near_the_smallest_that_holds(slope: float, at_two_percent: float) -> None:
    goal = Goal(("sparse",), 0.05, max_drift=1.0)
    drift = power(at_two_percent, slope)
    best = 0.02 * (1.0 / at_two_percent) ** (1 / slope)
    trials = searched(goal, drift, KNOWN)
    if best > MISS * 0.05:
        assert trials[-1].budget == 0.05, "all of the budget was tried"
        assert choose(goal, trials) is trials[-1]
        assert "drift is" in str(refusal(goal, trials, ERRORS))
        return
    chosen = choose(goal, trials)
    assert chosen.drift is not None
    assert chosen.drift <= 1.0
    assert best <= chosen.payload_share <= max(1.6 * best, 0.02 / BOLDEST**2), "as small as bold steps lead"


def test_both_methods_and_a_bound_share_three_trainings() -> None:
    goal = Goal(BOTH, 0.05, max_drift=1.0)
    drifts = {"sparse": power(0.3), "hashed": power(0.2)}
    trials = searched(goal, lambda method, share: drifts[method](method, share))
    assert [method for method, _ in plan(trials)] == [FULL, "sparse", "hashed"]
    first, second = (trial.payload_share for trial in trials if trial.method != FULL)
    assert second == pytest.approx(MISS * aimed(first, 0.3 / MISS)), (
        "the second method begins where the first one points to"
    )
    assert choose(goal, trials).method == "hashed"
    with_catalogue = searched(goal, lambda method, share: drifts[method](method, share), KNOWN)
    assert [method for method, _ in plan(with_catalogue)] == ["sparse", "hashed", "hashed"]


def test_the_second_method_is_given_more_where_the_first_one_breaks_the_bound() -> None:
    goal = Goal(BOTH, 0.05, max_drift=1.0)

    def drift(method: str, share: float) -> float:
        return 1.4 if method == "sparse" else 0.9

    trials = searched(goal, drift, KNOWN)
    assert plan(trials) == [("sparse", 0.02), ("hashed", pytest.approx(aimed(MISS * 0.02, 1.4)))]
    assert choose(goal, trials).method == "hashed"
    assert refusal(goal, trials, ERRORS) is None
    assert plan(searched(goal, drift)) == [(FULL, None), ("sparse", 0.02), ("hashed", 0.05)], "the last one gets all"
    assert plan(searched(replace(goal, budget=0.02), drift, KNOWN)) == [("sparse", 0.02), ("hashed", 0.02)]


def test_the_last_training_gets_the_whole_budget_where_none_holds() -> None:
    goal = Goal(("sparse",), 0.05, max_drift=1.0)
    trials = searched(goal, lambda method, share: 1.1, KNOWN)
    assert plan(trials) == [("sparse", 0.02), ("sparse", pytest.approx(aimed(MISS * 0.02, 1.1))), ("sparse", 0.05)]
    assert plan(searched(goal, lambda method, share: 1.1)) == [(FULL, None), ("sparse", 0.02), ("sparse", 0.05)]
    assert plan(searched(goal, lambda method, share: 9.0, KNOWN)) == [("sparse", 0.02), ("sparse", 0.05)]
    small = replace(goal, budget=0.01)
    assert plan(searched(small, lambda method, share: 1.1, KNOWN)) == [("sparse", 0.01)], "nothing larger is allowed"


def test_where_one_method_holds_the_other_may_still_promise_less() -> None:
    goal = Goal(BOTH, 0.05, max_drift=1.0)
    holding = Trial("sparse", 0.02, 3.3, 0.3, payload_share=0.0197)
    broke = Trial("hashed", 0.0104, 4.1, 1.1, payload_share=0.0102)
    cases = [(holding, ("sparse", aimed(0.0197, 0.3))), (replace(holding, drift=0.6), ("hashed", aimed(0.0102, 1.1)))]
    for first, expected in cases:
        following = next_training(goal, [KNOWN, first, broke])
        assert following is not None
        assert following.method == expected[0]
        assert following.budget == pytest.approx(expected[1])


def test_where_none_holds_the_least_drift_is_kept_and_says_what_would_help() -> None:
    goal = Goal(BOTH, 0.02, max_drift=0.5)
    trials = searched(goal, lambda method, share: 1.5 if method == "sparse" else 1.0, KNOWN)
    assert choose(goal, trials).method == "hashed"
    message = refusal(goal, trials, ERRORS)
    assert message is not None
    assert message.startswith("drift is 1.00 points of mean mistakes over the fully retrained model, more than 0.5")
    assert f"a larger budget (about {MISS * 0.02 * 2 ** (-1 / SLOPE):.1%}, by a rough estimate)" in message
    assert "the whole model" in str(refusal(replace(goal, max_drift=0.001), trials, ERRORS))


def test_what_is_tried_next_lies_between_what_held_and_what_broke() -> None:
    goal = Goal(("sparse",), 0.05, max_drift=1.0)

    def tried(share: float, drift: float) -> Trial:
        return Trial("sparse", share, 3.0 + drift, drift, payload_share=share)

    for held, broke in [(0.99, 1.01), (-3.0, 40.0), (0.01, 1.01), (0.99, 60.0), (0.5, 2.0)]:
        following = next_training(goal, [KNOWN, tried(0.05, held), tried(0.01, broke)])
        assert following is not None
        assert following.budget is not None
        assert 0.01 * 1.2 < following.budget < 0.05 * 0.9
    smooth = next_training(goal, [KNOWN, tried(0.05, 0.4), tried(0.0125, 1.6)])
    assert smooth is not None
    assert smooth.budget == pytest.approx(0.025, rel=0.01), "drift of 0.8, the aim, on the line through both"


def test_a_training_that_promises_little_is_not_done() -> None:
    goal = Goal(("sparse",), 0.05, max_drift=1.0)
    holding = Trial("sparse", 0.05, 3.9, 0.9, payload_share=0.049)
    assert next_training(goal, [KNOWN, holding]) is None
    assert next_training(replace(goal, least_budget=0.049), [KNOWN, replace(holding, drift=0.1)]) is None


def test_a_bound_on_regressions_is_searched_for_too() -> None:
    goal = Goal(("sparse",), 0.05, max_drift=1.0, max_regression=2.0)
    first = Trial("sparse", 0.05, 3.1, 0.1, 1.0, payload_share=0.049)
    forgets = Trial("sparse", 0.0125, 3.3, 0.3, 2.5, payload_share=0.0123)
    following = next_training(goal, [KNOWN, first, forgets])
    assert following is not None
    assert following.budget is not None
    assert forgets.payload_share < following.budget < first.payload_share
    assert choose(goal, [KNOWN, first, forgets]) is first
    assert refusal(goal, [KNOWN, forgets], ERRORS) is None, "that it forgets is said elsewhere"


Noise = st.floats(-50, 50) | st.sampled_from([0.0, -0.0, 1e-300, 1e6])


@given(
    methods=st.sampled_from([("sparse",), ("hashed",), BOTH]),
    budget=st.floats(1e-3, 1.0),
    max_drift=st.none() | st.floats(1e-3, 100),
    max_regression=st.none() | st.floats(0, 100),
    least=st.floats(1e-4, 1e-3),
    known=st.booleans(),
    measured=st.lists(st.tuples(Noise, Noise), min_size=MOST_TRAININGS, max_size=MOST_TRAININGS),
)
def test_whatever_is_measured(
    methods: tuple[str, ...],
    budget: float,
    max_drift: float | None,
    max_regression: float | None,
    least: float,
    known: bool,
    measured: list[tuple[float, float]],
) -> None:
    goal = Goal(methods, budget, max_drift, max_regression, least)
    trials = [KNOWN] if known else []
    for drift, regression in measured:
        following = next_training(goal, trials)
        if following is None:
            break
        if following.budget is not None:
            assert least <= following.budget <= budget
            assert all(following != NextTraining(trial.method, trial.budget) for trial in trials)
            smallest = min(
                (trial.payload_share for trial in trials if trial.trained and trial.payload_share), default=0.0
            )
            assert following.budget >= min(smallest / BOLDEST, budget) * 0.999 or following.budget == least
            shares = [trial.payload_share for trial in trials if trial.method == following.method and trial.holds(goal)]
            assert not shares or following.budget < WORTHWHILE * min(shares)
        trials.append(trial_after(following, lambda method, share, drift=drift: drift, regression))  # type: ignore[misc]
    assert next_training(goal, trials) is None, "no request costs more"
    trained = [trial for trial in trials if trial.trained]
    assert len(trained) <= MOST_TRAININGS
    assert {trial.method for trial in trained if trial.method != FULL} == set(methods)
    chosen = choose(goal, trials)
    assert chosen.method in methods
    diffs = [trial for trial in trained if trial.method in methods]
    if any(trial.holds(goal) for trial in diffs):
        assert chosen.holds(goal)
    message = refusal(goal, trials, ERRORS)
    assert (message is not None) == (max_drift is not None and (chosen.drift or 0.0) > max_drift)
    if max_drift is not None and chosen.holds(goal):
        assert chosen.payload_share == min(trial.payload_share for trial in diffs if trial.holds(goal))
    assert not math.isnan(chosen.mean_error_rate)


@given(needed=st.floats(0.002, 0.9), slope=st.floats(-3.0, -1.0))
def test_of_a_checkpoint_more_budgets_are_tried_and_come_nearer(needed: float, slope: float) -> None:
    goal = Goal(("sparse",), 1.0, 1.0, reference=EXACT)
    trials = searched(goal, lambda _method, share: (share / needed) ** slope)
    assert (trials[0].method, len(trials) <= MOST_OF_CHECKPOINT) == (EXACT, True)
    kept = choose(goal, trials)
    assert kept.holds(goal)
    assert kept.payload_share < 1.5 * needed


def test_a_checkpoint_that_needs_more_is_told_so() -> None:
    goal = Goal(("sparse",), 0.05, 1.0, reference=EXACT)
    reason = refusal(goal, searched(goal, power(20.0)), ERRORS) or ""
    assert "points of mean mistakes over the checkpoint, more than 1: a larger budget (about " in reason
    assert "longer training" not in reason
