"""Models that are delivered alone, over a socket: no task, no data; what devices hold is what was passed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("torch", reason="the worker needs torch: pip install 'diffserver[train]'")

from diffclient.measure.onnx_session import Session
from diffclient.store.store import Store
from diffclient.tensors.snapshot import Snapshot
from diffserver.demo.run import serving
from tests.server.checkpoint_files import save
from tests.server.checkpoints.onnx_models import POINTS, model, run_whole
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
    refused = site.operator("train", "bare", "--data", str(site.folder), status=1)
    assert "delivered without a task" in refused


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


def test_a_base_needs_data_or_a_checkpoint(site: Site) -> None:
    assert "no --data" in site.operator("base", "nothing", status=1)
