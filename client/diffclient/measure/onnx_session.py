"""Inference: a model's ONNX graph under onnxruntime, with the weights of one version.

The graph carries no weights; they come from a snapshot, so what runs is that version and nothing else. What goes in
and what comes out mean something to others only. Needs the extra `onnx`, imported when it is first used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffclient.errors import InferenceError
from diffclient.measure.onnx_names import unused_initialisers
from diffclient.tensors.snapshot import Array, Snapshot

OUTSIDE = "weights"
"""Where the graph says that its initialisers are; no file of that name is ever read."""

_AS_BITS = {"BOOL": 9, "BF16": 16}
"""ONNX's numbers of the types that snapshots give as whole numbers of the same size."""


class Session:
    """One version of a model, ready to run on the processor."""

    def __init__(self, graph: bytes, weights: Snapshot, threads: int = 1) -> None:
        """Load the graph with every weight of the snapshot.

        Raises InferenceError if onnxruntime is missing or refuses the graph, or if its weights are not those of the
        snapshot.
        """
        self._session = load(
            graph, {spec.name: (weights.read(spec.name), spec.dtype) for spec in weights.table}, threads
        )

    @property
    def metadata(self) -> Mapping[str, str]:
        """The graph's metadata_props."""
        entries: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        return entries

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Return the graph's outputs, in its order; raises InferenceError on inputs of another name, shape or dtype."""
        try:
            outputs: list[Array] = self._session.run(None, dict(inputs))
        except Exception as error:  # onnxruntime's own exceptions share no base but this
            raise InferenceError(f"the graph does not run on these inputs: {error}") from error
        return outputs


def load(model: bytes | str, weights: Mapping[str, tuple[Array, str]], threads: int = 1) -> Any:
    """Return onnxruntime's own session of a model with these weights outside it, each with its dtype.

    `model` is a graph, or the path of a model that has its weights inside. Raises InferenceError.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise InferenceError("running a model needs onnxruntime: pip install 'diffclient[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    # As of a pooler; onnxruntime drops them, and refuses to be given their values.
    unused = unused_initialisers(model) if isinstance(model, bytes) else set[str]()
    used = {name: weight for name, weight in weights.items() if name not in unused}
    values = [
        onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array, _AS_BITS[dtype])
        if dtype in _AS_BITS
        else onnxruntime.OrtValue.ortvalue_from_numpy(array)
        for array, dtype in used.values()
    ]
    try:
        options.add_external_initializers(list(used), values)
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # see above
        raise InferenceError(f"the graph does not run with these weights: {error}") from error
