"""Requests that take more than one training, with real ones: what is tried, kept, recorded and told."""

from __future__ import annotations

import shutil
from dataclasses import asdict, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

pytest.importorskip("torch", reason="training needs torch: pip install 'diffserver[train]'")

import torch

from diffclient.diff.streams import Diff
from diffclient.payload.encode import payload_length
from diffclient.tensors.snapshot import Snapshot, enter_grid, fp32_bytes
from diffserver.catalog import versions
from diffserver.catalog.candidate import NewCandidate
from diffserver.catalog.jobs import losses
from diffserver.catalog.training_request import TrainingSpec
from diffserver.choices.methods import Use, method_names
from diffserver.evaluation import from_json, mean_error_rate
from diffserver.methods.definition import load_definition
from diffserver.methods.setting import Setting
from diffserver.pipeline.parent_version import find_reference
from diffserver.pipeline.run import make_candidate
from diffserver.pipeline.search import trial_search
from diffserver.pipeline.search.trial_search import Goal, Trial
from diffserver.pipeline.trials import goal_of
from diffserver.pipeline.worker import Worker
from diffserver.storage.database import reading, writing
from diffserver.storage.tables import Candidate, Training
from diffserver.tasks import load_task
from diffserver.tasks.domain_folders import fingerprint
from diffserver.training.progress import Cancelled
from tests.server.pipeline.home import Home, update_spec, with_base
from tests.server.points import parameters_of

pytestmark = pytest.mark.slow

DOMAINS = ["0-base", "1-athletes"]
AUTO = method_names(Use.AUTO)
ANY = 100.0
"""Points of drift that every diff keeps to."""


class Listener:
    """Hears of progress, and wants no more of it from a message on."""

    def __init__(self, until: str = "") -> None:
        self.until, self.heard = until, list[tuple[float, str]]()

    def __call__(self, done: float, message: str) -> bool:
        self.heard.append((done, message))
        return not self.until or self.until not in message


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_corpus: Path) -> Home:
    return with_base(tmp_path_factory.mktemp("home"), tiny_corpus)


def run(home: Home, spec: TrainingSpec, listener: Listener) -> NewCandidate:
    folder = home.scratch / f"tries-{len(list(home.scratch.iterdir()))}"
    folder.mkdir()
    return make_candidate(spec, home.engine, home.objects, folder, listener)


def tries(candidate: NewCandidate | Candidate) -> list[Trial]:
    """The rows as the search knew them."""
    names = {item.name for item in fields(Trial)}
    return [Trial(**{name: value for name, value in row.items() if name in names}) for row in candidate.tried]


def chosen(candidate: NewCandidate | Candidate) -> dict[str, Any]:
    (row,) = (row for row in candidate.tried if row["chosen"])
    return dict(row)


def mean(candidate: NewCandidate | Candidate) -> float:
    return mean_error_rate(from_json(candidate.evaluation, "candidate"))


@pytest.fixture(scope="module")
def auto(home: Home, tiny_corpus: Path) -> tuple[NewCandidate, Listener]:
    """The better of two kinds of diff, trained before there was any fully retrained model."""
    listener = Listener()
    return run(home, replace(update_spec(tiny_corpus), method="auto", max_regression=None), listener), listener


def test_auto_keeps_the_diff_with_the_least_mean_error_rate(auto: tuple[NewCandidate, Listener]) -> None:
    candidate, _ = auto
    assert [(row["method"], row["budget"]) for row in candidate.tried] == [("sparse", 0.02), ("hashed", 0.02)]
    trial = chosen(candidate)
    assert trial["mean_error_rate"] == min(row["mean_error_rate"] for row in candidate.tried) == mean(candidate)
    assert (trial["method"], trial["payload_bytes"]) == (candidate.method, len(candidate.payload or b""))
    assert (candidate.reference, [row["drift"] for row in candidate.tried]) == (None, [None, None])


def test_what_was_tried_is_told_as_it_came_out(home: Home, auto: tuple[NewCandidate, Listener], tmp_path: Path) -> None:
    candidate, _ = auto
    snapshot = Snapshot(home.objects.download(candidate.snapshot.sha256, tmp_path / "version"))
    trial, size = chosen(candidate), sum(spec.size for spec in snapshot.table)
    assert trial["density"] == candidate.changed_weights / size
    assert trial["payload_share"] == candidate.payload_share == trial["payload_bytes"] / fp32_bytes(snapshot.table)
    by_method = {row["method"]: row for row in candidate.tried}
    assert by_method["sparse"]["density"] < 0.3 < by_method["hashed"]["density"]
    for row in by_method.values():
        assert 0 < row["payload_share"] <= 0.02
        assert 2 <= row["levels"] <= 2 * 127 + 1
        assert 0 < row["steps"][0] <= row["steps"][1] < 1
        assert row["seconds"] > 0


def test_progress_counts_the_trainings_and_never_goes_back(auto: tuple[NewCandidate, Listener]) -> None:
    _, listener = auto
    shares, messages = zip(*listener.heard, strict=True)
    assert all(after >= before for before, after in pairwise(shares))
    assert 0 <= min(shares) <= max(shares) <= 1
    assert any(message.startswith("training 1 of at most 2 (sparse at 2.00%): step 1 of ") for message in messages)
    assert any(message.startswith("training 2 of at most 2 (hashed at 2.00%): evaluates on ") for message in messages)
    assert messages[-2:] == ("evaluates on 1-athletes", "chooses probes of 1-athletes"), "when all is trained"


@pytest.mark.parametrize("until", ["training 1 of at most 2 (sparse at 2.00%): evaluates", "training 2", ": step 3 of"])
def test_a_request_can_be_cancelled_in_and_between_its_trainings(home: Home, tiny_corpus: Path, until: str) -> None:
    listener = Listener(until)
    with pytest.raises(Cancelled):
        run(home, replace(update_spec(tiny_corpus), method="auto"), listener)
    assert until in listener.heard[-1][1], "nothing more was done"


@pytest.fixture(scope="module")
def bounded(home: Home, auto: object, tiny_corpus: Path) -> Candidate:
    """The smallest payload within a bound that all keep to, taken by a worker to its record."""
    number = home.submit(replace(update_spec(tiny_corpus), max_drift=ANY, budget=0.05, max_regression=None))
    Worker(home.engine, home.settings).run(once=True)
    state, error, candidate_id = home.training(number)
    assert (state, error) == ("done", None)
    with reading(home.engine) as session:
        return versions.find_candidate(session, candidate_id or 0)


def reference(home: Home) -> Candidate:
    with reading(home.engine) as session:
        candidate = versions.full_chain(session, "m", 1, DOMAINS)
    assert candidate is not None
    return candidate


def test_the_smallest_payload_within_a_bound_takes_three_trainings(home: Home, bounded: Candidate) -> None:
    full, first, second = bounded.tried
    assert [row["method"] for row in bounded.tried] == ["full", "sparse", "sparse"]
    assert all(row["trained"] for row in bounded.tried)
    assert (first["budget"], first["chosen"], second["chosen"]) == (0.02, False, True)
    assert second["payload_share"] <= first["payload_share"] / 2
    assert (bounded.budget, bounded.payload_share) == (second["budget"], second["payload_share"])
    assert (full["drift"], full["payload_bytes"], full["levels"]) == (0.0, None, None)
    assert bounded.refusals == []


def test_the_loss_of_each_training_is_kept_from_its_first_step(home: Home, bounded: Candidate) -> None:
    with reading(home.engine) as session:
        number = session.scalars(select(Training.id).where(Training.candidate_id == bounded.id)).one()
        points = [(row.part, row.step) for row in losses.entries(session, number)]
    steps = {part: [step for name, step in points if name == part] for part, _ in points}
    assert list(steps) == ["1-full", "2-sparse", "3-sparse"]
    assert all(of_one == list(range(1, len(of_one) + 1)) for of_one in steps.values()), "few steps are all points"


def test_drift_is_measured_against_the_model_that_was_fully_retrained_beside_it(home: Home, bounded: Candidate) -> None:
    full = reference(home)
    assert (full.id, full.number, full.kind, full.payload) == (bounded.id - 1, 1, "update", None)
    assert full.parent_digest == bounded.parent_digest, "the full chain begins at version 0"
    assert chosen(bounded)["drift"] == pytest.approx(mean(bounded) - mean(full))
    assert bounded.tried[0]["mean_error_rate"] == mean(full)
    assert home.objects.exists(full.snapshot.sha256)
    with reading(home.engine) as session:
        assert session.scalar(select(func.count()).select_from(Candidate)) == 3, "base, full and the one that was kept"


@pytest.fixture(scope="module")
def again(home: Home, bounded: Candidate, tiny_corpus: Path) -> NewCandidate:
    """A bound that hardly anything keeps to, when the fully retrained model is known."""
    spec = replace(update_spec(tiny_corpus), method="auto", max_drift=0.001, max_regression=None)
    return run(home, spec, Listener())


def test_a_fully_retrained_model_of_the_same_data_is_used_again(
    home: Home, bounded: Candidate, again: NewCandidate
) -> None:
    full, *diffs = again.tried
    model = reference(home)
    assert (full["method"], full["trained"], full["mean_error_rate"]) == ("full", False, mean(model))
    assert full["density"] == bounded.tried[0]["density"] > 0.5
    assert {row["method"] for row in diffs} == set(AUTO)
    assert len(diffs) <= trial_search.MOST_TRAININGS
    assert all(row["trained"] and row["drift"] == row["mean_error_rate"] - full["mean_error_rate"] for row in diffs)
    assert again.reference is None
    assert again.notes[-1:] == [
        f"drift is against candidate {model.id}, which was fully retrained on the same data before"
    ]


def test_what_is_kept_and_what_is_said_against_it_follow_from_what_was_measured(again: NewCandidate) -> None:
    goal, measured = Goal(AUTO, 0.02, 0.001), tries(again)
    chosen_trial = trial_search.choose(goal, measured)
    assert chosen(again) == asdict(chosen_trial) | {"chosen": True}
    too_much = chosen_trial.drift is not None and chosen_trial.drift > 0.001
    assert [line.split()[0] for line in again.refusals] == (["drift"] if too_much else [])


@pytest.mark.parametrize("method", AUTO)
@pytest.mark.parametrize("scale", [1e-4, 1.0])
def test_the_smallest_budget_that_is_tried_has_room_for_a_payload(method: str, scale: float) -> None:
    network = load_task("asr").network(0)
    table, arrays = enter_grid({name: tensor.detach().numpy() for name, tensor in network.state_dict().items()})
    least = goal_of(TrainingSpec("update", "m", "/data", method=method), table).least_budget
    assert least < 0.001
    trained = load_definition(method).make(Setting(arrays, table, least, 1, network))
    random = torch.Generator().manual_seed(0)
    for parameter in parameters_of(trained):
        parameter.data.copy_(scale * torch.randn(parameter.shape, generator=random))
    diff = trained.result()
    assert isinstance(diff, Diff)
    assert diff.carried > 0
    assert payload_length(diff, table) <= least * fp32_bytes(table)


def test_a_fully_retrained_model_of_other_data_is_not_used(
    home: Home, bounded: Candidate, tiny_corpus: Path, tmp_path: Path
) -> None:
    spec = update_spec(tiny_corpus)

    def is_found(**changes: Any) -> bool:
        return find_reference(replace(spec, **changes), home.engine, DOMAINS) is not None

    assert is_found()
    assert find_reference(spec, home.engine, [*DOMAINS[:-1], "2-artists"]) is None
    copy = tmp_path / "corpus"
    shutil.copytree(tiny_corpus, copy)
    assert not is_found(data=str(copy)), "another folder"
    full = reference(home)
    with writing(home.engine) as session:
        session.get_one(Candidate, full.id).data = str(copy)
        session.flush()
        assert fingerprint(copy, DOMAINS) == full.data_sha256
    assert is_found(data=str(copy))
    lines = (copy / "0-base" / "test.jsonl").read_text().splitlines(keepends=True)
    (copy / "0-base" / "test.jsonl").write_text("".join(lines[:-1]))
    assert not is_found(data=str(copy)), "one test utterance less"
    with writing(home.engine) as session:
        session.get_one(Candidate, full.id).data = str(tiny_corpus)
        session.get_one(Candidate, full.id).parent_digest = "ab" * 32
    assert not is_found(), "it starts elsewhere"
    with writing(home.engine) as session:
        session.get_one(Candidate, full.id).parent_digest = full.parent_digest
    assert is_found()
