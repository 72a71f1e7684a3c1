"""A real server in a process of its own with a chain of versions, for the devices of all trials."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from diffclient.tensors.snapshot import Snapshot
from tests.client.lineage import CLASSIFIER, MODEL, Kind, Lineage, labelled
from tests.client.scripted_server import ENROL_TOKEN, ScriptedServer
from tests.factories import sparse_diff

VECTORS = 6
SHAPES = CLASSIFIER.shapes | {"unused": (1100,), "unused.too": (1100,)}


def _probes(weights: Snapshot) -> dict[str, bytes]:
    """Return a small probe set, since these tests are not about measuring."""
    parts = {name: json.loads(part) for name, part in labelled(weights).items()}
    return {name: json.dumps({key: part[key][:VECTORS] for key in part}).encode() for name, part in parts.items()}


KIND = Kind(SHAPES, CLASSIFIER.graph, _probes, CLASSIFIER.score, CLASSIFIER.metric)
"""Tensors that are written one by one, and so few weights that thousands of trials take minutes."""


class Site:
    """The server, and the root of trust that its devices are enrolled with."""

    def __init__(self, url: str, root: Path, lineage: Lineage, control: Connection) -> None:
        self.url, self.lineage = url, lineage
        self._root, self._control = root, control

    def assign(self, version: int) -> None:
        """Sign the metadata again, with new keys for later versions, and make this version every device's target."""
        self._control.send(version)
        self._control.recv()

    def enrolling(self) -> list[str]:
        """Return the arguments with which a device enrols."""
        root = ["--root", str(self._root)]
        return ["enroll", self.url, "--token", ENROL_TOKEN, "--model", MODEL, "--name", "kitchen", *root]


@contextlib.contextmanager
def serving(folder: Path, versions: int) -> Iterator[Site]:
    """Run a server with `versions` versions during the block."""
    lineage = Lineage(folder, KIND)
    for number in range(1, versions):
        lineage.extend(sparse_diff(lineage.versions[-1].table, seed=number, density=0.2, step=60_000))
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(lineage, there), daemon=True)
    process.start()
    try:
        url, root = here.recv()
        (folder / "root.json").write_bytes(root)
        yield Site(url, folder / "root.json", lineage, here)
    finally:
        here.close()
        process.terminate()
        process.join()


def _serve(lineage: Lineage, control: Connection) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # devices that are killed hang up, which it complains about
    server = ScriptedServer(lineage)
    control.send((server.url, server.repository.first_root))
    with contextlib.suppress(EOFError):
        while True:
            target = control.recv()
            if target > server.target:
                server.repository.rotate({2: "timestamp", 3: "root"}.get(target, "snapshot"))
            server.repository.publish()
            server.target = target
            control.send("done")
