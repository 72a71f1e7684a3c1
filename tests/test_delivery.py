"""Models that are delivered alone, over a socket: no task, no data; what devices hold is what was passed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the worker needs torch: pip install 'diffserver[train]'")

from diffclient.measure.onnx_session import Session
from diffclient.store.store import Store
from diffclient.tensors.snapshot import Snapshot
from diffserver.demo.run import serving
from tests.server.checkpoint_files import save
from tests.server.checkpoints.onnx_models import POINTS, TOKENS, model, run_whole, word_model
from tests.test_end_to_end import Site, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    run("diffserver", "init", "--home", str(folder / "server"))
    with serving(folder / "server") as server:
        yield Site(server.url, server.token, server.root, folder, folder)


def held(site: Site, device: str) -> tuple[Snapshot, bytes]:
    """The weights and the graph that a device has."""
    store = Store(site.folder / device)
    current = store.state().current
    assert current is not None
    return Snapshot(store.weights(current.digest)), store.object(current.manifest.graph).read_bytes()


def test_weights_alone_arrive_and_nothing_is_measured(site: Site) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        "a": rng.normal(size=(30, 40)).astype("f4"),
        "norm.running_var": rng.random(30).astype("f4"),
        "norm.count": np.array(7),
    }
    base = site.operator("base", "bare", "--from-checkpoint", str(save(site.folder / "0.safetensors", tensors)))
    assert base["evaluation"] == {}
    site.operator("publish", str(base["id"]))
    site.enroll("bare", "bare")
    first = site.device("bare", "update")
    assert (first["action"], first["total"], first["digest"]) == ("installed", None, base["digest"])
    tensors |= {"norm.running_var": tensors["norm.running_var"] * 30, "norm.count": np.array(8)}
    path = save(site.folder / "1.safetensors", tensors)
    site.operator("publish", "bare", "--from-checkpoint", str(path), "--kind", "exact")
    assert site.device("bare", "update")["version"] == 1
    weights, graph = held(site, "bare")
    assert graph == b""
    for name in ("norm.running_var", "norm.count"):
        assert weights.read(name).tobytes() == tensors[name].tobytes()
    for command in (
        ("train", "bare", "--data", str(site.folder)),
        ("publish", "bare", "--from-checkpoint", str(path), "--kind", "sparse", "--max-drift", "1"),
    ):
        assert "delivered without a task" in site.operator(*command, status=1)


def test_an_onnx_model_arrives_as_graph_and_weights_that_compute_the_same(site: Site) -> None:
    first, second = (site.folder / f"{seed}.onnx" for seed in (0, 1))
    first.write_bytes(model(0))
    second.write_bytes(model(1, prefix="onnx::renamed_"))
    base = site.operator("base", "points", "--from-checkpoint", str(first))
    site.operator("publish", str(base["id"]))
    site.enroll("points", "points")
    site.device("points", "update")
    for path in (first, second):
        if path == second:
            # Of 25 weights, the payload is longer than they are.
            site.operator("publish", "points", "--from-checkpoint", str(path), "--kind", "exact", "--force")
            assert site.device("points", "update")["version"] == 1
        weights, graph = held(site, "points")
        [found] = Session(graph, weights).run({"points": POINTS})
        assert np.allclose(found, run_whole(path), atol=1e-5)


@dataclass(frozen=True)
class Line:
    """A model whose vocabulary and graph change at version 2: its files, what was published, what a device did."""

    site: Site
    files: list[Path]
    published: list[Any]
    updates: list[Any]


@pytest.fixture(scope="module")
def line(site: Site) -> Line:
    files = [site.folder / f"words-{number}.onnx" for number in range(4)]
    for number, path in enumerate(files):
        grown = number >= 2
        path.write_bytes(word_model(number, words=400 if grown else 300, more=grown))
    base = site.operator("base", "words", "--from-checkpoint", str(files[0]))
    published, updates = [site.operator("publish", str(base["id"]))], []
    for name in ("follows", "sleeps", "metered"):
        site.enroll(name, "words")
        updates = [site.device(name, "update")]
    for path, kind in zip(files[1:], ("exact", "snapshot", "exact"), strict=True):
        if kind == "snapshot":
            refused = site.operator("publish", "words", "--from-checkpoint", str(path), "--kind", "exact", status=1)
            assert "pass --kind snapshot" in refused
        made = site.operator("publish", "words", "--from-checkpoint", str(path), "--kind", kind)
        published.append(made["version"])
        updates.append(site.device("follows", "update"))
    return Line(site, files, published, updates)


def test_a_model_takes_other_shapes_and_another_graph_and_diffs_go_on_from_there(line: Line) -> None:
    assert [version["number"] for version in line.published] == [0, 1, 2, 3]
    assert [update["version"] for update in line.updates] == [0, 1, 2, 3]
    assert [update["digest"] for update in line.updates] == [version["digest"] for version in line.published]
    kinds = [version["manifest"]["kind"] for version in line.published]
    assert kinds == ["snapshot", "exact", "snapshot", "exact"]
    fetched = [(update["payload_bytes"], update["downloaded_bytes"]) for update in line.updates]
    sizes = [(version["manifest"]["payload"]["length"], version["graph"]["length"]) for version in line.published]
    graphs_fetched = [graph if number in (0, 2) else 0 for number, (_, graph) in enumerate(sizes)]
    assert fetched == [(size, size + graph) for (size, _), graph in zip(sizes, graphs_fetched, strict=True)]
    assert sizes[3][0] < 0.2 * sizes[2][0], "a diff, and not the model again"
    graphs = [version["graph"]["sha256"] for version in line.published]
    assert graphs[0] == graphs[1] != graphs[2] == graphs[3]


def test_devices_that_slept_or_begin_afresh_arrive_by_one_snapshot(line: Line) -> None:
    last = line.published[3]
    line.site.enroll("new", "words")
    for name in ("sleeps", "new"):
        outcome = line.site.device(name, "update")
        assert (outcome["version"], outcome["digest"]) == (3, last["digest"])
        assert outcome["payload_bytes"] == last["snapshot"]["length"]
        weights, graph = held(line.site, name)
        [found] = Session(graph, weights).run({"tokens": TOKENS})
        assert np.allclose(found, run_whole(line.files[3], tokens=TOKENS), atol=1e-5)
        assert line.site.device(name, "verify")["digest"] == last["digest"]


def test_on_a_metered_link_a_device_stays_where_it_is(line: Line) -> None:
    waits = line.site.device("metered", "update", "--metered")
    assert (waits["action"], waits["from_digest"]) == ("withheld", line.published[0]["digest"])
    assert line.site.device("metered", "update")["version"] == 3


def test_a_recall_leads_back_across_the_change_and_undone_the_next_diff_goes_on(line: Line) -> None:
    line.site.operator("recall", "words", "--to", "1")
    assert line.site.device("follows", "update")["digest"] == line.published[1]["digest"]
    weights, graph = held(line.site, "follows")
    [found] = Session(graph, weights).run({"tokens": TOKENS})
    assert np.allclose(found, run_whole(line.files[1], tokens=TOKENS), atol=1e-5)
    line.site.operator("recall", "words", "--undo")
    path = line.site.folder / "words-4.onnx"
    path.write_bytes(word_model(4, words=400, more=True))
    made = line.site.operator("publish", "words", "--from-checkpoint", str(path), "--kind", "exact")
    assert made["version"]["parent"] == 3
    assert line.site.device("follows", "update")["digest"] == made["version"]["digest"]


def test_another_model_is_refused_even_as_a_snapshot(line: Line) -> None:
    path = line.site.folder / "another.onnx"
    path.write_bytes(model(0, prefix="its_"))
    for options, reason in (
        (("--kind", "exact"), "another graph"),
        (("--kind", "snapshot"), "another model's, or all renamed"),
    ):
        refused = line.site.operator("publish", "words", "--from-checkpoint", str(path), *options, status=1)
        assert reason in refused


def test_weights_alone_keep_the_graph_which_has_to_take_them(line: Line) -> None:
    path = save(line.site.folder / "more-words.safetensors", {"embedding": np.zeros((500, 16), "f4")})
    refused = line.site.operator("publish", "words", "--from-checkpoint", str(path), "--kind", "snapshot", status=1)
    assert "the graph does not take these weights" in refused
    assert "pass the .onnx model" in refused


def test_a_base_needs_data_or_a_checkpoint(site: Site) -> None:
    assert "no --data" in site.operator("base", "nothing", status=1)
