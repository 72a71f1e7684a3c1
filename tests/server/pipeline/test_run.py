"""From a training's specification to a candidate, and the worker that takes it there."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch: pip install 'diffserver[train]'")

from torch import nn

from diffclient.diff.apply import apply
from diffclient.payload.decode import decode
from diffclient.release.manifest import from_json
from diffclient.tensors.snapshot import Snapshot, fp32_bytes
from diffserver.catalog import training_queue, versions
from diffserver.catalog.candidate import NewCandidate
from diffserver.errors import Invalid, Refused
from diffserver.pipeline.worker import Worker
from diffserver.storage.database import reading, writing
from diffserver.tasks import TaskError
from diffserver.tasks.asr.task import AsrTask, Utterance, Utterances
from diffserver.tasks.probe_choice import SHARE
from diffserver.training.progress import Cancelled
from tests.server.pipeline.home import Home, base_spec, update_spec, with_base

pytestmark = pytest.mark.slow


class Undeployable(AsrTask):
    """A recogniser that can neither be exported nor trained."""

    def batch(self, examples: Sequence[Utterance], rng: np.random.Generator, device: str) -> Utterances:
        raise AssertionError("this network was trained")

    def graph(self, network: nn.Module) -> bytes:
        raise TaskError("this network cannot be exported")


class Narrower(AsrTask):
    """A recogniser of fewer channels than the one that was published, which never comes to its examples."""

    def __init__(self) -> None:
        super().__init__(channels=32)

    def examples(self, folder: Path, split: str) -> list[Utterance]:
        raise AssertionError("data were read")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_corpus: Path) -> Home:
    return with_base(tmp_path_factory.mktemp("home"), tiny_corpus)


@pytest.fixture(scope="module")
def candidate(home: Home, tiny_corpus: Path) -> NewCandidate:
    """A candidate that breaks its bounds: every earlier domain would have to gain a hundred points."""
    return home.run(replace(update_spec(tiny_corpus), max_regression=-100.0))


def test_the_version_recorded_is_what_a_device_computes(home: Home, candidate: NewCandidate, tmp_path: Path) -> None:
    with reading(home.engine) as session:
        head = versions.head(session, "m")
    assert head is not None
    assert candidate.payload is not None
    parent = Snapshot(home.objects.download(head.candidate.snapshot.sha256, tmp_path / "parent"))
    diff = decode(candidate.payload, parent.table, head.digest)
    assert apply(parent, [diff], tmp_path / "version") == candidate.digest
    assert (tmp_path / "version").read_bytes() == home.objects.get(candidate.snapshot.sha256)
    assert len(candidate.payload) <= 0.02 * fp32_bytes(parent.table)


def test_the_first_new_domain_is_chosen_and_every_test_set_evaluated(candidate: NewCandidate) -> None:
    assert list(candidate.domains) == ["0-base", "1-athletes"]
    assert set(candidate.evaluation) == {"0-base", "1-athletes"}
    assert all(side["total"] > 0 for pair in candidate.evaluation.values() for side in pair.values())


def test_the_probe_set_grows_by_a_part_and_keeps_the_first(home: Home, candidate: NewCandidate) -> None:
    probes = from_json(dict(candidate.manifest)).probes
    with reading(home.engine) as session:
        head = versions.head(session, "m")
    assert head is not None
    assert [probe.domain for probe in probes] == ["0-base", "1-athletes"]
    assert probes[0].blob == from_json(head.candidate.manifest).probes[0].blob


def test_a_part_over_its_share_of_the_payload_is_told(home: Home, candidate: NewCandidate, tiny_corpus: Path) -> None:
    """With a long payload there is room for all that the set needs."""
    assert candidate.payload is not None
    new = from_json(dict(candidate.manifest)).probes[1]
    said = [note for note in candidate.notes if note.startswith("the new part of the probe set takes")]
    assert bool(said) == (new.blob.length > SHARE * len(candidate.payload))
    roomy = home.run(replace(update_spec(tiny_corpus), budget=1.0))
    assert roomy.payload is not None
    assert from_json(dict(roomy.manifest)).probes[1].blob.length <= SHARE * len(roomy.payload)
    assert not [note for note in roomy.notes if "probe" in note]


def test_a_candidate_that_forgets_is_refused_with_its_evaluation_unless_forced(
    home: Home, candidate: NewCandidate
) -> None:
    assert "0-base loses" in candidate.refusals[0]
    with writing(home.engine) as session:
        number = versions.record_candidate(session, candidate).id
    with pytest.raises(Refused) as refused, writing(home.engine) as session:
        versions.publish(session, number)
    assert refused.value.evaluation == candidate.evaluation
    with writing(home.engine) as session:
        assert versions.publish(session, number, force=True, by="test").forced
        session.rollback()


def test_training_ends_when_it_is_no_longer_wanted(home: Home, tiny_corpus: Path) -> None:
    with pytest.raises(Cancelled):
        home.run(update_spec(tiny_corpus), go_on=False)


def test_a_network_that_no_device_can_run_is_refused_before_it_is_trained(home: Home, tiny_corpus: Path) -> None:
    with pytest.raises(TaskError, match="cannot be exported"):
        home.run(base_spec(tiny_corpus), find=lambda name: Undeployable())


def test_another_network_than_the_published_one_is_refused_before_data_are_read(home: Home, tiny_corpus: Path) -> None:
    said = r"is not the published one: .*\(float32 \[32.*in the version F32 \[192.*make a model of another name"
    with pytest.raises(TaskError, match=said):
        home.run(update_spec(tiny_corpus), find=lambda name: Narrower())


def test_a_request_sets_parameters_and_the_candidate_says_which(home: Home, tiny_corpus: Path) -> None:
    spec = replace(update_spec(tiny_corpus), epochs=None, parameters={"steps": "5", "spread": "0.5"})
    candidate = home.run(spec)
    assert "sparse was trained with steps=5 (usually 1250), spread=0.5 (usually 0.7)" in candidate.notes


def test_an_unknown_parameter_is_refused_before_data_are_read(home: Home, tiny_corpus: Path) -> None:
    class Unread(AsrTask):
        def examples(self, folder: Path, split: str) -> list[Utterance]:
            raise AssertionError("data were read")

    for spec in (base_spec(tiny_corpus), update_spec(tiny_corpus)):
        with pytest.raises(Invalid, match="there is no parameter 'depth'"):
            home.run(replace(spec, parameters={"depth": "9"}), find=lambda name: Unread())


def test_an_update_of_a_model_without_versions_says_what_to_do(home: Home, tiny_corpus: Path) -> None:
    with pytest.raises(Invalid, match="publish its base first"):
        home.run(replace(update_spec(tiny_corpus), model="other"))


def test_a_worker_takes_a_training_to_its_candidate(home: Home, tiny_corpus: Path) -> None:
    number = home.submit(replace(update_spec(tiny_corpus), method="hashed"))
    Worker(home.engine, home.settings).run(once=True)
    state, error, candidate_id = home.training(number)
    assert (state, error) == ("done", None)
    with reading(home.engine) as session:
        assert versions.find_candidate(session, candidate_id or 0).method == "hashed"


def test_a_worker_tells_why_a_training_failed(home: Home, tmp_path: Path) -> None:
    number = home.submit(replace(update_spec(tmp_path), domain="nowhere"))
    Worker(home.engine, home.settings).run(once=True)
    state, error, _ = home.training(number)
    assert state == "failed"
    assert error is not None
    assert "no new domain nowhere" in error


def test_a_cancelled_training_leaves_no_candidate(home: Home, tiny_corpus: Path) -> None:
    number = home.submit(replace(update_spec(tiny_corpus), epochs=10_000))
    worker = threading.Thread(target=Worker(home.engine, home.settings).run, args=(True,))
    worker.start()
    while home.training(number)[0] == "queued":
        time.sleep(0.05)
    with writing(home.engine) as session:
        training_queue.cancel(session, number)
    worker.join(timeout=60)
    assert not worker.is_alive()
    assert home.training(number) == ("cancelled", None, None)
