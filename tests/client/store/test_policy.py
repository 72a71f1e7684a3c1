"""What an update may cost."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffclient.errors import FormatError, SnapshotWithheld, StateError, TooManyBytes
from diffclient.store.policy import FullFallback, Policy, read_policy


@pytest.mark.parametrize(
    ("fallback", "metered", "allowed"),
    [
        ("never", False, False),
        ("never", True, False),
        ("unmetered", False, True),
        ("unmetered", True, False),
        ("always", False, True),
        ("always", True, True),
    ],
)
def test_snapshots(fallback: FullFallback, metered: bool, allowed: bool) -> None:
    policy = Policy(fallback)
    assert policy.allows_snapshot(metered) == allowed
    policy.check(["sparse", "exact"], 10**9, metered)
    if allowed:
        policy.check(["snapshot", "sparse"], 10**9, metered)
    else:
        with pytest.raises(SnapshotWithheld, match=f"{fallback}.*--full-fallback always"):
            policy.check(["snapshot", "sparse"], 10**9, metered)


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_the_cap_is_the_most(cap: int, needed: int) -> None:
    policy = Policy(max_bytes=cap)
    if needed <= cap:
        policy.check(["sparse"], needed, True)
    else:
        with pytest.raises(TooManyBytes, match=f"{needed:,}.*{cap:,}"):
            policy.check(["sparse"], needed, True)


MIRRORS = st.lists(st.sampled_from(["https://a", "http://b:80/c"]), max_size=16).map(tuple)


@given(st.builds(Policy, st.sampled_from(get_args(FullFallback)), st.none() | st.integers(0, 2**53 - 1), MIRRORS))
def test_a_policy_comes_back(policy: Policy) -> None:
    assert read_policy(json.dumps(policy.to_json()).encode()) == policy


@pytest.mark.parametrize(
    "fields",
    [
        {"full_fallback": "sometimes"},
        {"full_fallback": None},
        {"max_bytes": -1},
        {"max_bytes": 1.5},
        {"max_bytes": True},
        {"mirrors": "https://one"},
        {"mirrors": [3]},
        {"mirrors": ["file:///etc/passwd"]},
        {"mirrors": ["https://m"] * 17},
    ],
    ids=str,
)
def test_a_damaged_policy_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(StateError):
        read_policy(json.dumps(Policy().to_json() | fields).encode())


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(noise: bytes) -> None:
    with pytest.raises(FormatError):
        read_policy(noise)
