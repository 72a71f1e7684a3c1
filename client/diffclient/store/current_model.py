"""The version in use, opened for the application that runs it, while an agent keeps the store up to date.

Reading needs no lock. What the model computes is left to the application, updates to `update`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from diffclient.errors import NothingKept, SnapshotError
from diffclient.measure.onnx_session import Session
from diffclient.store import field_counts
from diffclient.store.state import Installed
from diffclient.store.store import Store
from diffclient.tensors.snapshot import Array, Snapshot


@dataclass(frozen=True)
class CurrentModel:
    """One version of a model, from the moment that it was in use."""

    installed: Installed
    weights: Snapshot
    """A safetensors file at `weights.path`; it stays while this version or the next one is in use."""
    graph: bytes
    """ONNX without weights."""
    _store: Store

    @staticmethod
    def open(folder: Path) -> CurrentModel:
        """Open the version that the store in `folder` has in use.

        Raises NothingKept before the first update, and SnapshotError, StateError, StoreFailed on a damaged store.
        """
        store = Store(folder)
        while True:
            installed = store.state().current
            if installed is None:
                raise NothingKept(f"no version is installed in {folder} yet: run `diffclient update`")
            try:
                weights = Snapshot(store.weights(installed.digest))
                return CurrentModel(installed, weights, store.object(installed.manifest.graph).read_bytes(), store)
            except (SnapshotError, OSError) as error:
                if store.state().digest != installed.digest:
                    continue  # it was replaced while it was read
                raise SnapshotError(f"{error}; run `diffclient verify`") from error

    @property
    def version(self) -> int:
        """The version's number."""
        return self.installed.manifest.to_version

    @property
    def digest(self) -> str:
        """The version's digest."""
        return self.installed.digest

    def is_current(self) -> bool:
        """Tell whether this version is still in use; one small file is read. Raises StateError, StoreFailed."""
        return self._store.state().digest == self.digest

    def count(self, errors: int, total: int, measure: str | None = None) -> None:
        """Count errors that this version made in the field, for the next report to the server.

        `measure` names what was counted, if it is not the model's metric. Raises ValueError, NoSpace, StoreFailed.
        """
        field_counts.record(self._store.root, self.digest, errors, total, measure)

    def arrays(self) -> dict[str, Array]:
        """Return all weights by name, bf16 as uint16 and bool as uint8; raises SnapshotError."""
        return self.weights.read_all()

    def session(self, threads: int = 1) -> Session:
        """Return an onnxruntime session that runs this version; raises InferenceError."""
        return Session(self.graph, self.weights, threads)
