from collections.abc import Iterable
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffserver.catalog.update_path import Edge, arriving, plan
from diffserver.errors import NoPath

NODES = "abcde"

CHAIN = [Edge(None, "v0", 1000), Edge("v0", "v1", 20), Edge("v1", "v2", 20), Edge("v2", "v3", 20)]


@pytest.mark.parametrize(
    ("device", "target", "more", "expected"),
    [
        pytest.param("v3", "v3", [], [], id="already there"),
        pytest.param("v2", "v3", [], ["v3"], id="one step"),
        pytest.param("v0", "v3", [], ["v1", "v2", "v3"], id="a chain"),
        pytest.param(None, "v1", [], ["v0", "v1"], id="nothing held: snapshot, then diffs"),
        pytest.param("stranger", "v1", [], ["v0", "v1"], id="an unknown version counts as nothing"),
        pytest.param("v0", "v3", [Edge("v0", "v3", 59)], ["v3"], id="a merged diff is cheaper"),
        pytest.param("v0", "v3", [Edge("v0", "v3", 61)], ["v1", "v2", "v3"], id="a merged diff is dearer"),
        pytest.param("v0", "v3", [Edge("v0", "v3", 60)], ["v3"], id="fewer steps at the same cost"),
        pytest.param("v0", "v3", [Edge(None, "v3", 30)], ["v3"], id="a snapshot is cheaper"),
        pytest.param("v0", "v3", [Edge(None, "v2", 30)], ["v2", "v3"], id="a snapshot half way is cheaper"),
        pytest.param("v3", "v1", [], ["v0", "v1"], id="back: no diff leads there"),
        pytest.param("v3", "v1", [Edge("v3", "v1", 5)], ["v1"], id="back: a diff leads there"),
    ],
)
def test_takes_the_cheapest_steps(device: str | None, target: str, more: list[Edge], expected: list[str]) -> None:
    assert [edge.to_digest for edge in plan(arriving([*CHAIN, *more]), device, target)] == expected


@pytest.mark.parametrize(
    ("device", "most"),
    [pytest.param("v9989", 11, id="ten behind"), pytest.param(None, 51, id="nothing held: no further than it pays")],
)
def test_it_looks_at_no_versions_but_those_between(device: str | None, most: int) -> None:
    versions = [f"v{number}" for number in range(10_000)]
    steps = arriving(
        [Edge(None, to, 1000) for to in versions] + [Edge(start, to, 20) for start, to in pairwise(versions)]
    )
    asked = []

    def asking(version: str) -> Iterable[Edge]:
        asked.append(version)
        return steps(version)

    assert len(plan(asking, device, "v9999")) == (10 if device else 1)
    assert len(asked) <= most


def test_names_the_missing_link() -> None:
    edges = [Edge("v0", "v1", 1), Edge("v2", "v3", 1), Edge("v3", "v4", 1), Edge("v4", "v2", 1)]
    with pytest.raises(NoPath, match="no steps lead from version v1 to version v3") as caught:
        plan(arriving(edges), "v1", "v3")
    assert caught.value.reachable_from == ["v2", "v3", "v4"]
    assert caught.value.target == "v3"


def test_no_edges_at_all() -> None:
    with pytest.raises(NoPath, match="from nothing"):
        plan(arriving([]), None, "v0")


edges_strategy = st.lists(
    st.builds(Edge, st.one_of(st.none(), st.sampled_from(NODES)), st.sampled_from(NODES), st.integers(0, 20)),
    max_size=14,
)


def brute_force(edges: list[Edge], device: str | None, target: str) -> int | None:
    """The least bytes over all orders of versions, by following the cheapest edge between neighbours."""
    if device == target:
        return 0
    cheapest: dict[tuple[str | None, str], int] = {}
    for edge in edges:
        key = (edge.from_digest, edge.to_digest)
        cheapest[key] = min(edge.length, cheapest.get(key, edge.length))
    others = [node for node in NODES if node != target]
    totals = []
    for count in range(len(others) + 1):
        for between in permutations(others, count):
            for start in {None, device}:
                stops = [start, *between, target]
                hops = [cheapest.get((a, b)) for a, b in pairwise(stops) if b]
                if all(hop is not None for hop in hops):
                    totals.append(sum(hop for hop in hops if hop is not None))
    return min(totals, default=None)


@settings(max_examples=150)
@given(edges_strategy, st.one_of(st.none(), st.sampled_from(NODES)), st.sampled_from(NODES))
def test_agrees_with_brute_force_on_any_graph(edges: list[Edge], device: str | None, target: str) -> None:
    expected = brute_force(edges, device, target)
    if expected is None:
        with pytest.raises(NoPath):
            plan(arriving(edges), device, target)
        return
    steps = plan(arriving(edges), device, target)
    assert sum(edge.length for edge in steps) == expected
    held = device
    for index, edge in enumerate(steps):
        assert edge in edges
        assert edge.from_digest == held or (index == 0 and edge.from_digest is None)
        held = edge.to_digest
    assert held == target
