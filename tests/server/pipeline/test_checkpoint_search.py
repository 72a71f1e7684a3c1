"""The smallest sparse diff whose error rate is within points of a checkpoint's: what is tried, kept and told."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'diffserver[train]'")

from safetensors.numpy import save_file  # noqa: E402

from diffclient.tensors.snapshot import Snapshot  # noqa: E402
from diffserver.catalog import training_queue, versions  # noqa: E402
from diffserver.catalog.candidate import NewCandidate  # noqa: E402
from diffserver.catalog.training_request import TrainingSpec  # noqa: E402
from diffserver.evaluation import from_json, mean_error_rate  # noqa: E402
from diffserver.methods.recipe import Recipe  # noqa: E402
from diffserver.pipeline.parent_version import find_reference  # noqa: E402
from diffserver.pipeline.search import trial_search  # noqa: E402
from diffserver.storage.database import writing  # noqa: E402
from diffserver.tasks import Task  # noqa: E402
from diffserver.training.batches import Lesson  # noqa: E402
from tests.server.experiment.toy_experiments import FiledPoints, write_domains  # noqa: E402
from tests.server.pipeline.home import Home  # noqa: E402
from tests.server.points import retrained  # noqa: E402

BASE, NEW = "0-classes", "1-classes"


def find_task(name: str) -> Task:
    return FiledPoints()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which version 0 tells five classes apart."""
    folder = tmp_path_factory.mktemp("search")
    write_domains(folder / "data")
    home = Home(folder / "home")
    spec = TrainingSpec("base", "m", str(folder / "data"), task="points", domain=BASE, epochs=20)
    with writing(home.engine) as session:
        versions.publish(session, versions.record_candidate(session, home.run(spec, find=find_task)).id)
    return home


@pytest.fixture(scope="module")
def spec(home: Home) -> TrainingSpec:
    """A request for a sparse diff to weights that were trained elsewhere on a sixth class."""
    data, task = home.scratch.parent.parent / "data", FiledPoints()
    with writing(home.engine) as session:
        head = versions.head(session, "m")
        assert head is not None
        parent = Snapshot(home.objects.download(head.candidate.snapshot.sha256, home.scratch / "parent"))
    lesson = Lesson(task.examples(data / NEW, "train"), [task.examples(data / BASE, "train")])
    weights = retrained(task, parent.read_all(), lesson, Recipe(steps=200, learning_rate=0.005, batch=16))
    save_file(weights, home.scratch / "checkpoint")
    checkpoint = home.objects.put(home.scratch / "checkpoint").sha256
    return TrainingSpec(
        "update", "m", str(data), "points", NEW, budget=1.0, max_regression=None, max_drift=2.0, checkpoint=checkpoint
    )


@pytest.fixture(scope="module")
def found(home: Home, spec: TrainingSpec) -> NewCandidate:
    return home.run(spec, find=find_task)


def mean(candidate: NewCandidate) -> float:
    return mean_error_rate(from_json(candidate.evaluation, "candidate"))


def test_the_smallest_payload_within_the_bound_is_kept(found: NewCandidate) -> None:
    reference, *diffs = found.tried
    assert (reference["method"], reference["budget"], reference["drift"]) == ("exact", None, 0.0)
    assert 2 <= len(diffs) < trial_search.MOST_OF_CHECKPOINT
    assert all(row["drift"] == row["mean_error_rate"] - reference["mean_error_rate"] for row in diffs)
    holding = [row for row in diffs if row["drift"] <= 2.0]
    (chosen,) = (row for row in diffs if row["chosen"])
    assert chosen["payload_share"] == found.payload_share == min(row["payload_share"] for row in holding)
    assert found.payload_share < reference["payload_share"] / 2
    assert (found.method, found.refusals, mean(found)) == ("sparse", [], chosen["mean_error_rate"])
    assert any(row["payload_share"] < found.payload_share for row in diffs), "a smaller one was tried"


def test_the_checkpoint_itself_is_recorded_beside_it_and_may_be_published(found: NewCandidate) -> None:
    exact = found.reference
    assert exact is not None
    assert (exact.method, exact.number, exact.refusals, exact.domains) == ("exact", 1, [], found.domains)
    assert mean(exact) == found.tried[0]["mean_error_rate"]


def test_an_exact_candidate_of_the_same_checkpoint_is_used_again(home: Home, spec: TrainingSpec) -> None:
    exact = replace(spec, method="exact", max_drift=None)
    number = home.submit(exact)
    assert training_queue.claim(home.engine, "worker", 60) is not None
    with writing(home.engine) as session:
        row = versions.record_candidate(session, home.run(exact, find=find_task))
        training_queue.finish(session, number, "worker", row.id)
    again = home.run(spec, find=find_task)
    assert (again.tried[0]["method"], again.tried[0]["trained"], again.reference) == ("exact", False, None)
    assert (again.tried[0]["payload_bytes"], again.tried[0]["drift"]) == (row.payload_length, 0.0)
    assert f"drift is against candidate {row.id}, the checkpoint" in again.notes
    other = home.objects.put(home.scratch / "parent").sha256
    for changes in ({"checkpoint": other}, {"data": "/elsewhere"}):
        elsewhere = replace(spec, **changes)  # type: ignore[arg-type]
        assert find_reference(elsewhere, home.engine, [BASE, NEW]) is None
    assert find_reference(spec, home.engine, [BASE]) is None
    assert find_reference(spec, home.engine, [BASE, NEW]) is not None


def test_a_budget_that_is_too_small_is_refused_with_an_estimate(home: Home, spec: TrainingSpec) -> None:
    candidate = home.run(replace(spec, budget=0.03), find=find_task)
    assert candidate.payload_share <= 0.03
    (refusal,) = candidate.refusals
    assert " points of mean error rate over the checkpoint, more than 2: a larger budget (about " in refusal
    assert "training" not in refusal
