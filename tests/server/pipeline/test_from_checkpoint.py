"""A checkpoint that was trained elsewhere, taken through the worker to candidates, and entered as a base."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch: pip install 'diffserver[train]'")

from diffclient.diff.apply import apply
from diffclient.payload.decode import open_payload
from diffclient.release.manifest import from_json
from diffclient.tensors.snapshot import Array, Snapshot, fp32_bytes
from diffserver.catalog import versions
from diffserver.catalog.candidate import NewCandidate
from diffserver.catalog.training_request import TrainingSpec
from diffserver.errors import CheckpointError, Invalid
from diffserver.pipeline.worker import Worker
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Candidate
from tests.server.checkpoint_files import save
from tests.server.pipeline.home import Home, with_base

pytestmark = pytest.mark.slow

BUDGET = 0.02


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_corpus: Path) -> Home:
    return with_base(tmp_path_factory.mktemp("home"), tiny_corpus)


@pytest.fixture(scope="module")
def parent(home: Home) -> Snapshot:
    with reading(home.engine) as session:
        head = versions.head(session, "m")
    assert head is not None
    return Snapshot(home.objects.download(head.candidate.snapshot.sha256, home.scratch / "parent.safetensors"))


@pytest.fixture
def checkpoint(home: Home, parent: Snapshot, tmp_path: Path) -> Callable[[dict[str, Array]], str]:
    """Store the parent's weights with some replaced; returns the checkpoint's SHA-256."""
    return lambda changes: home.objects.put(save(tmp_path / "checkpoint", parent.read_all() | changes)).sha256


def retrained(parent: Snapshot, seed: int = 1) -> dict[str, Array]:
    """Every weight moved, most of them a little: as training elsewhere would."""
    rng = np.random.default_rng(seed)
    before = parent.read_all()
    scales = {name: 0.01 * float(np.abs(array).mean()) for name, array in before.items()}
    moved = {name: array + rng.laplace(0, scales[name], array.shape) for name, array in before.items()}
    return {name: array.astype(np.float32) for name, array in moved.items()}


def spec_of(corpus: Path, sha256: str, method: str) -> TrainingSpec:
    budget = 1.0 if method == "exact" else BUDGET
    return TrainingSpec("update", "m", str(corpus), checkpoint=sha256, method=method, budget=budget)


@pytest.fixture(scope="module")
def candidates(home: Home, parent: Snapshot, tiny_corpus: Path) -> dict[str, Candidate]:
    """Both candidates of one checkpoint, made by a worker."""
    path = save(home.scratch / "retrained.safetensors", retrained(parent))
    sha256 = home.objects.put(path).sha256
    numbers = {method: home.submit(spec_of(tiny_corpus, sha256, method)) for method in ("exact", "sparse")}
    Worker(home.engine, home.settings).run(once=True)
    by_method = {}
    for method, number in numbers.items():
        state, error, candidate = home.training(number)
        assert (state, error) == ("done", None)
        with reading(home.engine) as session:
            by_method[method] = versions.find_candidate(session, candidate or 0)
            assert by_method[method].payload_data
    return by_method


def test_exact_arrives_at_the_checkpoint_within_half_a_unit_of_the_grid(
    home: Home, parent: Snapshot, candidates: dict[str, Candidate], tmp_path: Path
) -> None:
    data, digest = candidates["exact"].payload_data, parent.digest()
    assert data is not None
    assert apply(parent, [open_payload(data, parent.table, digest)], tmp_path / "v") == candidates["exact"].digest
    after, expected = Snapshot(tmp_path / "v"), retrained(parent)
    for spec in parent.table:
        assert spec.grid is not None
        off = np.abs(after.read(spec.name).astype(np.float64) - expected[spec.name])
        assert off.max() <= 2.0 ** (-spec.grid - 1)
    assert home.objects.get(candidates["exact"].snapshot.sha256) == (tmp_path / "v").read_bytes()


def test_sparse_keeps_to_its_budget_and_comes_nearer(
    parent: Snapshot, candidates: dict[str, Candidate], tmp_path: Path
) -> None:
    data, digest = candidates["sparse"].payload_data, parent.digest()
    assert data is not None
    assert 0.9 * BUDGET < len(data) / fp32_bytes(parent.table) <= BUDGET
    assert apply(parent, [open_payload(data, parent.table, digest)], tmp_path / "v") == candidates["sparse"].digest
    after, expected = Snapshot(tmp_path / "v"), retrained(parent)
    after_error, before = (sum(_squares(snapshot, expected, name) for name in expected) for snapshot in (after, parent))
    assert after_error < 0.8 * before


def _squares(snapshot: Snapshot, expected: dict[str, Array], name: str) -> float:
    return float(np.sum((snapshot.read(name).astype(np.float64) - expected[name]) ** 2))


def test_both_are_measured_on_every_test_set_and_tell_of_rounding(candidates: dict[str, Candidate]) -> None:
    for method, candidate in candidates.items():
        manifest = from_json(candidate.manifest)
        assert (candidate.method, manifest.kind, manifest.to_version) == (method, method, 1)
        assert candidate.domains == ["0-base"]
        assert candidate.evaluation["0-base"]["parent"]["total"] == candidate.evaluation["0-base"]["candidate"]["total"]
        assert [probe.domain for probe in manifest.probes] == ["0-base"]
        origin, rounding = candidate.notes
        assert origin.startswith("made of the checkpoint ")
        assert "weights were rounded to their grids: the most in " in rounding
    assert candidates["exact"].payload_share > 10 * candidates["sparse"].payload_share


def test_a_checkpoint_that_forgets_is_refused_like_a_training(
    home: Home, parent: Snapshot, tiny_corpus: Path, checkpoint: Callable[[dict[str, Array]], str]
) -> None:
    silent = {name: np.zeros_like(array) for name, array in parent.read_all().items()}
    candidate = home.run(replace(spec_of(tiny_corpus, checkpoint(silent), "exact"), max_regression=-100.0))
    assert "0-base loses" in candidate.refusals[0]


def test_a_checkpoint_may_bring_a_domain(
    home: Home, parent: Snapshot, tiny_corpus: Path, checkpoint: Callable[[dict[str, Array]], str]
) -> None:
    spec = replace(spec_of(tiny_corpus, checkpoint(retrained(parent, 2)), "sparse"), domain="1-athletes")
    candidate = home.run(spec)
    assert list(candidate.domains) == ["0-base", "1-athletes"]
    assert candidate.evaluation["1-athletes"]["parent"] is not None
    assert [probe.domain for probe in from_json(dict(candidate.manifest)).probes] == ["0-base", "1-athletes"]


def test_the_second_version_of_a_checkpoint_cannot_be_published_on_top_of_the_first(
    home: Home, candidates: dict[str, Candidate]
) -> None:
    with writing(home.engine) as session:
        versions.publish(session, candidates["sparse"].id, force=True)
        with pytest.raises(Exception, match="starts from another version"):
            versions.publish(session, candidates["exact"].id, force=True)
        session.rollback()


def test_what_is_wrong_with_a_checkpoint_is_told(
    home: Home, parent: Snapshot, tiny_corpus: Path, checkpoint: Callable[[dict[str, Array]], str]
) -> None:
    name = next(spec.name for spec in parent.table if len(spec.shape) > 1)
    array = parent.read(name)
    broken = array.copy()
    broken.reshape(-1)[3] = np.nan
    for changes, reason in [
        ({}, "the very weights of version 0"),
        ({"stray": array + 1}, "has tensors that the model has not: stray"),
        ({name: array.astype(np.float16)}, f"{name} \\(F16"),
        ({name: array.reshape(-1)}, f"{name} \\(F32 \\[{array.size}\\]"),
        ({name: broken}, f"{name} holds a number that is not finite"),
    ]:
        with pytest.raises(CheckpointError, match=reason):
            home.run(spec_of(tiny_corpus, checkpoint(changes), "exact"))
    number = home.submit(spec_of(tiny_corpus, checkpoint({"stray": array + 1}), "sparse"))
    Worker(home.engine, home.settings).run(once=True)
    state, error, _ = home.training(number)
    assert state == "failed"
    assert "stray" in (error or "")


def test_a_weight_that_outgrew_its_grid_travels_in_exact_and_is_cut_in_sparse(
    home: Home, parent: Snapshot, tiny_corpus: Path, checkpoint: Callable[[dict[str, Array]], str], tmp_path: Path
) -> None:
    name = next(spec.name for spec in parent.table if spec.name.endswith("bias"))
    bias = parent.read(name)
    end = 2.0 ** (24 - next(spec.grid or 0 for spec in parent.table if spec.name == name))
    bias[3] = 1.24 * end
    sha256 = checkpoint({name: bias})
    exact, sparse = (home.run(spec_of(tiny_corpus, sha256, method)) for method in ("exact", "sparse"))
    arrived = {}
    for candidate in (exact, sparse):
        opened = open_payload(candidate.payload or b"", parent.table, parent.digest())
        assert apply(parent, [opened], tmp_path / candidate.method) == candidate.digest
        arrived[candidate.method] = float(Snapshot(tmp_path / candidate.method).read(name)[3])
        assert any(f"{name} holds a weight of {bias[3]:g}, and its grid ends at {end:g}" in n for n in candidate.notes)
    assert arrived["exact"] == pytest.approx(1.24 * end, rel=1e-6)
    assert end / 2 < arrived["sparse"] <= end
    assert len(exact.payload or b"") < 200


def entering(home: Home, corpus: Path, sha256: str, **changes: object) -> NewCandidate:
    spec = TrainingSpec("base", "other", str(corpus), domain="0-base", checkpoint=sha256)
    return home.run(replace(spec, **changes))  # type: ignore[arg-type]


def test_a_checkpoint_becomes_a_base_as_the_one_that_was_trained_here(
    home: Home, parent: Snapshot, tiny_corpus: Path, checkpoint: Callable[[dict[str, Array]], str]
) -> None:
    candidate = entering(home, tiny_corpus, checkpoint({}))
    assert (candidate.kind, candidate.number, candidate.payload) == ("base", 0, None)
    assert candidate.digest == parent.digest(), "its weights are on the grid already, and choose the same one"
    with reading(home.engine) as session:
        head = versions.head(session, "m")
        assert head is not None
        assert candidate.evaluation == head.candidate.evaluation
        assert candidate.graph == head.candidate.graph
    assert "no weight had to be rounded" in candidate.notes[1]


def test_tensors_of_a_base_may_stay_off_the_grid(
    home: Home, parent: Snapshot, tiny_corpus: Path, checkpoint: Callable[[dict[str, Array]], str]
) -> None:
    name = parent.table[0].name
    candidate = entering(home, tiny_corpus, checkpoint(retrained(parent)), off_grid=(name,))
    table = Snapshot(home.objects.download(candidate.snapshot.sha256, home.scratch / "off")).table
    assert [spec.name for spec in table if spec.grid is None] == [name]
    assert Snapshot(home.scratch / "off").read(name).tobytes() == retrained(parent)[name].tobytes()
    with pytest.raises(Invalid, match="no tensor is called nothing"):
        entering(home, tiny_corpus, candidate.snapshot.sha256, off_grid=("nothing*",))


def test_the_checkpoint_is_the_object_that_was_named(home: Home, tiny_corpus: Path) -> None:
    absent = hashlib.sha256(b"nothing").hexdigest()
    with pytest.raises(Exception, match=f"there is no object {absent}"):
        home.run(spec_of(tiny_corpus, absent, "exact"))
