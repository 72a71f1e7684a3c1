"""The main job over a socket: real server, worker, command line and devices, five updates in a row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffclient.payload.encode import encode
from diffclient.store.store import Store
from diffclient.tensors.snapshot import Snapshot, fp32_bytes
from diffserver.demo.run import serving
from tests.conftest import UPDATES
from tests.factories import sparse_diff
from tests.server.checkpoint_files import save

MODEL = "commands"
BUDGET = 0.02

pytestmark = pytest.mark.slow


def run(module: str, *arguments: str, status: int = 0, **environment: str) -> Any:
    """Run a command with --json; returns what it prints, or its errors if they are expected."""
    command = [sys.executable, "-m", module, *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout) if status == 0 else done.stderr


@dataclass(frozen=True)
class Site:
    """A running server, a corpus, and the stores of devices."""

    url: str
    token: str
    root: Path
    corpus: Path
    folder: Path

    def operator(self, *arguments: str, status: int = 0) -> Any:
        return run("diffserver", *arguments, status=status, DIFFSERVER_URL=self.url, DIFFSERVER_TOKEN=self.token)

    def train(self, domain: str, method: str, *more: str) -> Any:
        data = ["--data", str(self.corpus), "--domain", domain, "--epochs", "2"]
        return self.operator("train", MODEL, *data, "--method", method, "--budget", str(BUDGET), *more)

    def device(self, name: str, *arguments: str, status: int = 0) -> Any:
        return run("diffclient", *arguments, "--store", str(self.folder / name), status=status)

    def enroll(self, name: str, model: str = MODEL) -> None:
        known = ["--token", self.token, "--root", str(self.root)]
        self.device(name, "enroll", self.url, *known, "--model", model, "--name", name)


@dataclass(frozen=True)
class Update:
    """One update of the chain: what was trained and published, and what the device made of it."""

    full: Any
    candidate: Any
    version: Any
    outcome: Any


@dataclass(frozen=True)
class Chain:
    """The whole job, done once: all tests look at it."""

    site: Site
    updates: list[Update]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, tiny_corpus: Path) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    home = folder / "server"
    run("diffserver", "init", "--home", str(home))
    with serving(home) as server:
        yield Site(server.url, server.token, server.root, tiny_corpus, folder)


@pytest.fixture(scope="module")
def chain(site: Site) -> Chain:
    domains = sorted(path.name for path in site.corpus.iterdir() if path.is_dir())
    base = site.operator("base", MODEL, "--data", str(site.corpus), "--domain", domains[0], "--epochs", "4")
    site.operator("publish", str(base["id"]))
    for name in ("follows", "sleeps"):
        site.enroll(name)
        site.device(name, "update")
    updates = []
    for number, domain in enumerate(domains[1:], start=1):
        full = site.train(domain, "full") if number <= 2 else None
        candidate = site.train(domain, {1: "hashed", 2: "auto"}.get(number, "sparse"))
        version = site.operator("publish", str(candidate["id"]), "--force")
        updates.append(Update(full, candidate, version, site.device("follows", "update")))
    return Chain(site, updates)


def test_every_update_arrives_with_the_servers_digest_and_within_its_budget(chain: Chain) -> None:
    model_bytes = fp32_bytes(Snapshot(weights(chain.site, "follows")).table)
    for number, update in enumerate(chain.updates, start=1):
        assert update.version["number"] == update.outcome["version"] == number
        assert update.version["digest"] == update.outcome["digest"]
        assert update.candidate["payload"]["length"] <= BUDGET * model_bytes
        assert update.outcome["payload_bytes"] == update.candidate["payload"]["length"]
    assert chain.site.device("follows", "verify")["digest"] == chain.updates[-1].version["digest"]


def weights(site: Site, name: str) -> Path:
    store = Store(site.folder / name)
    digest = store.state().digest
    assert digest is not None
    return store.weights(digest)


def test_the_device_measures_what_the_server_did_one_word_more_or_less(chain: Chain) -> None:
    for update in chain.updates:
        expected = sum(probe["errors"] for probe in update.version["manifest"]["probes"])
        assert abs(update.outcome["errors"] - expected) <= 1
        assert update.outcome["total"] == sum(probe["total"] for probe in update.version["manifest"]["probes"])
        assert update.outcome["drift_ppm"] is not None


def test_the_full_chain_goes_on_from_the_last_fully_retrained_model(chain: Chain) -> None:
    first, second = chain.updates[0].full, chain.updates[1].full
    assert second["parent_digest"] == first["digest"]
    refused = chain.site.operator("publish", str(second["id"]), status=1)
    assert "for comparison only" in refused


def test_a_candidate_says_what_was_tried_for_it(chain: Chain) -> None:
    tried = [update.candidate["tried"] for update in chain.updates]
    methods = [[row["method"] for row in rows if row["trained"]] for rows in tried]
    assert methods == [["hashed"], ["sparse", "hashed"], ["sparse"], ["sparse"], ["sparse"]]
    for rows in tried[:2]:
        assert (rows[0]["method"], rows[0]["drift"], rows[0]["trained"]) == ("full", 0.0, False)
        assert all(row["drift"] == pytest.approx(row["mean_error_rate"] - rows[0]["mean_error_rate"]) for row in rows)
    for update, rows in zip(chain.updates, tried, strict=True):
        (chosen,) = (row for row in rows if row["chosen"])
        assert (chosen["method"], chosen["payload_bytes"]) == (
            update.candidate["method"],
            update.candidate["payload"]["length"],
        )


def test_a_search_where_there_is_nothing_to_search_is_refused_with_the_cause(chain: Chain) -> None:
    data = ["--data", str(chain.site.corpus), "--max-drift", "1"]
    assert "not for full" in chain.site.operator("train", MODEL, *data, "--method", "full", status=1)
    assert "greater than 0" in chain.site.operator("train", MODEL, *data[:2], "--max-drift", "0", status=1)


def test_a_device_that_slept_takes_all_five_in_one_pass_by_short_cuts(chain: Chain) -> None:
    outcome = chain.site.device("sleeps", "update")
    assert outcome["digest"] == chain.updates[-1].version["digest"]
    assert outcome["payload_bytes"] < sum(update.candidate["payload"]["length"] for update in chain.updates)


def test_a_late_device_gets_a_snapshot_of_the_same_bytes(chain: Chain) -> None:
    chain.site.enroll("late")
    outcome = chain.site.device("late", "update")
    assert outcome["digest"] == chain.updates[-1].version["digest"]
    assert weights(chain.site, "late").read_bytes() == weights(chain.site, "follows").read_bytes()


def test_an_update_that_is_installed_already_is_nothing_to_do(chain: Chain) -> None:
    assert chain.site.device("follows", "update")["action"] == "none"


def test_the_operator_sees_what_devices_measured(chain: Chain) -> None:
    standing = {item["name"]: item for item in chain.site.operator("devices", MODEL)}["follows"]
    last = chain.updates[-1]
    assert (standing["version"], standing["digest"]) == (UPDATES, last.version["digest"])
    assert standing["last_report"]["error_rate_ppm"] == last.outcome["error_rate_ppm"]


def test_training_on_a_known_domain_fails_with_the_cause(chain: Chain) -> None:
    data = ["--data", str(chain.site.corpus), "--domain", "0-base"]
    assert "the model knows 0-base" in chain.site.operator("train", MODEL, *data, status=1)


def test_an_unknown_method_is_refused_before_anything_is_queued(chain: Chain) -> None:
    refused = chain.site.operator("train", MODEL, "--data", str(chain.site.corpus), "--method", "magic", status=1)
    assert "method" in refused


@dataclass(frozen=True)
class Imported:
    """A model that came from a checkpoint, a device that holds it, and another checkpoint of it."""

    site: Site
    base: Any
    base_file: Path
    next_file: Path


@pytest.fixture(scope="module")
def imported(chain: Chain) -> Imported:
    """A model whose base is what the last update made, and weights near it that were trained elsewhere."""
    site = chain.site
    tensors = Snapshot(weights(site, "follows")).read_all()
    base_file = save(site.folder / "base.safetensors", tensors)
    rng = np.random.default_rng(1)
    moved = {name: array + rng.laplace(0, 0.003 * array.std(), array.shape) for name, array in tensors.items()}
    next_file = save(site.folder / "next.safetensors", {name: array.astype("f4") for name, array in moved.items()})
    data = ["--data", str(site.corpus), "--domain", "0-base"]
    base = site.operator("base", "imported", *data, "--from-checkpoint", str(base_file))
    site.operator("publish", str(base["id"]))
    site.enroll("importer", "imported")
    site.device("importer", "update")
    return Imported(site, base, base_file, next_file)


def test_a_checkpoint_becomes_a_base_that_devices_take(imported: Imported) -> None:
    assert imported.base["notes"][0].startswith("made of the checkpoint ")
    assert imported.site.device("importer", "verify")["digest"] == imported.base["digest"]


def test_a_checkpoint_becomes_two_candidates_and_the_better_one_the_next_version(imported: Imported) -> None:
    publish = ["publish", "imported", "--from-checkpoint", str(imported.next_file), "--budget", str(BUDGET)]
    published = imported.site.operator(*publish, "--yes", "--force")
    exact, sparse = published["candidates"]["exact"], published["candidates"]["sparse"]
    assert sparse["payload"]["length"] < exact["payload"]["length"]
    assert sparse["payload_share"] <= BUDGET
    assert set(exact["evaluation"]) == set(sparse["evaluation"]) == {"0-base"}
    assert published["version"]["candidate_id"] == sparse["id"]
    outcome = imported.site.device("importer", "update")
    assert (outcome["digest"], outcome["payload_bytes"]) == (sparse["digest"], sparse["payload"]["length"])

    rest = imported.site.operator(*publish, "--kind", "exact", "--force")["version"]
    assert (rest["method"], rest["digest"]) == ("exact", exact["digest"]), "the same weights, from nearer by"
    assert imported.site.device("importer", "update")["digest"] == exact["digest"]


def test_a_diff_that_was_trained_elsewhere_becomes_the_next_version(imported: Imported, tmp_path: Path) -> None:
    site = imported.site
    fetched = site.operator("snapshot", "imported", "--out", str(tmp_path / "parent.safetensors"))
    parent = Snapshot(Path(fetched["path"]))
    assert parent.digest() == fetched["digest"] == site.device("importer", "verify")["digest"]
    payload = encode(sparse_diff(parent.table, density=0.001, step=1), parent.table, parent.digest())
    (tmp_path / "own.ndiff").write_bytes(payload)
    (tmp_path / "own.json").write_text('{"street": {"errors": 3, "total": 400}}')
    files = ["--diff", str(tmp_path / "own.ndiff"), "--evaluation", str(tmp_path / "own.json")]
    published = site.operator("publish", "imported", *files, "--force")
    assert "street 0.75 % (3 of 400)" in published["candidate"]["notes"][1]
    assert published["candidate"]["evaluation"]["0-base"]["candidate"]["total"] > 0
    outcome = site.device("importer", "update")
    assert (outcome["digest"], outcome["payload_bytes"]) == (published["version"]["digest"], len(payload))
    assert "does not start from version" in site.operator("publish", "imported", *files, status=1)


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        (b"PK", ["--yes"], "not a safetensors file"),
        (None, ["--yes"], "ends early"),
        (None, [], "there is no one to ask"),
        (None, ["--kind", "hashed"], "does not become a hashed diff"),
    ],
)
def test_what_cannot_be_is_refused_before_a_byte_travels(
    imported: Imported, tmp_path: Path, content: bytes | None, options: list[str], reason: str
) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(imported.base_file.read_bytes()[:-1] if content is None else content)
    arguments = ["publish", "imported", "--from-checkpoint", str(path), *options]
    assert reason in imported.site.operator(*arguments, status=1)
