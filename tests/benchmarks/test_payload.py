"""The payload benchmark on tiny sizes, and the parts of it that its figures stand on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import layouts, limits, measure, payload, peers, synthetic, trained
from benchmarks.cases import Case
from diffclient.diff.apply import apply
from diffclient.payload.decode import open_payload
from diffclient.payload.encode import encode
from diffclient.tensors.snapshot import Snapshot, write_snapshot
from tests.factories import hashed_diff, sparse_diff, write_version

KEYS = {"name", "n", "density", "levels", "bytes", "limit_bytes", "ratio_to_limit", "peers", "bytes_per_change"}
KEYS |= {"header_bytes", "seconds_encode", "peers_left_out"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the command writes about sizes that take a second."""
    folder = tmp_path_factory.mktemp("benchmark")
    version = write_version(folder / "parent.safetensors")
    trained.save(folder / "sparse-1.npz", version.table, sparse_diff(version.table))
    trained.save(folder / "hashed-1.npz", version.table, hashed_diff(version.table))
    sizes = ["--n", "100000", "--small-n", "20000", "--densities", "1", "10", "--large", "4194304", "--tensors", "10"]
    payload.main([*sizes, "--fixtures", str(folder), "--json", str(folder / "payload.json")])
    figures: dict[str, Any] = json.loads((folder / "payload.json").read_text())
    return figures


def test_every_case_has_its_figures(report: dict[str, Any]) -> None:
    assert {"command", "machine", "peers", "peers_left_out", "bars", "seconds"} <= set(report)
    assert all(set(case) >= KEYS for case in report["cases"])
    names = [case["name"] for case in report["cases"]]
    assert len(names) == len(set(names))
    assert {"synthetic 1 %", "all peers, 10 %", "trained sparse-1", "demo hashed-1", "0.02 GB, 1 %"} <= set(names)


def test_sizes_are_near_the_limit_and_below_every_peer(report: dict[str, Any]) -> None:
    cases = {case["name"]: case for case in report["cases"]}
    for name in ("synthetic 1 %", "synthetic 10 %", "0.02 GB, 1 %"):
        case = cases[name]
        assert case["density"] == pytest.approx(float(name.split()[-2]) / 100, rel=0.01)
        assert 1 <= case["ratio_to_limit"] == case["bytes"] / case["limit_bytes"] < 1.15
        assert case["peers"]["int32 + fp16" if "GB" not in name else "int32 + levels"] > 2 * case["bytes"]
    ran = {peer.name for peer in peers.BYTE_LEVEL if peer.name not in report["peers_left_out"]}
    for case in report["cases"]:
        assert ran <= set(case["peers"]) | set(case["peers_left_out"])
    byte_level = {name: cases["all peers, 10 %"]["peers"][name] for name in ran}
    assert all(size > 2 * cases["all peers, 10 %"]["bytes"] for size in byte_level.values())


def test_a_peer_that_is_not_there_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PEERS_PYTHON", "no-such-python")
    assert all(peer.missing() for peer in peers.BYTE_LEVEL)


@given(n=st.integers(1, 2000), k=st.integers(0, 2000))
def test_positions_take_the_logarithm_of_their_number(n: int, k: int) -> None:
    k = min(k, n)
    assert limits.positions_bits(n, k) == pytest.approx(math.log2(math.comb(n, k)), abs=1e-6)


def test_entropy_of_known_frequencies() -> None:
    assert limits.entropy(np.array([1, 1, 2, 3])) == pytest.approx(1.5)
    assert limits.entropy(np.array([7, 7])) == 0
    assert limits.entropy(np.array([], np.int64)) == 0


@given(gaps=st.lists(st.integers(0, 2000), max_size=30))
def test_gaps_in_bytes_can_be_read_back(gaps: list[int]) -> None:
    decoded, gap = [], 0
    for byte in layouts.in_bytes(np.array(gaps, np.int64)).tolist():
        gap += byte
        if byte < 255:
            decoded.append(gap)
            gap = 0
    assert decoded == gaps


@given(step=st.integers(1, 1 << 24))
def test_a_step_of_three_bits_is_near(step: int) -> None:
    rounded = synthetic.three_bits(step)
    assert abs(rounded - step) <= step / 8
    assert rounded % (1 << max(0, rounded.bit_length() - 3)) == 0


def test_fixtures_hold_what_a_diff_is(tmp_path: Path) -> None:
    table = write_version(tmp_path / "parent.safetensors").table
    for diff in (sparse_diff(table), hashed_diff(table)):
        trained.save(tmp_path / "diff.npz", table, diff)
        loaded_table, loaded = trained.load(tmp_path / "diff.npz")
        assert loaded_table == table
        assert measure.same(diff, loaded)


def test_the_projects_fixtures_are_small_and_can_be_coded() -> None:
    files = sorted(trained.FIXTURES.glob("*.npz"))
    assert len(files) >= 2
    assert sum(file.stat().st_size for file in files) < 1_000_000
    table, diff = trained.load(files[-1])
    assert len(encode(diff, table, measure.PARENT)) < 100_000


CASES = [
    synthetic.uniform("uniform", 10_000, 0.05, {}),
    synthetic.many_tensors("many", 5, 300, {}),
    synthetic.exact("F32", np.float32, 5000, 0.05),
    synthetic.exact("F16", np.float16, 5000, 0.05),
    synthetic.fine_tuned("moved", 5000, 0.05),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_peers_get_what_a_device_would_have(case: Case, tmp_path: Path) -> None:
    assert case.weights is not None
    digest = write_snapshot(tmp_path / "old", case.table, case.weights)
    update = open_payload(encode(case.diff, case.table, digest), case.table, digest)
    assert apply(Snapshot(tmp_path / "old"), [update], tmp_path / "new") == write_snapshot(
        tmp_path / "expected", case.table, case.new_weights()
    )
    pairs = list(zip(case.weights, case.new_weights(), strict=True))
    assert sum(int((old.view(f"u{old.itemsize}") != new.view(f"u{new.itemsize}")).sum()) for old, new in pairs) == (
        case.changes
    )
