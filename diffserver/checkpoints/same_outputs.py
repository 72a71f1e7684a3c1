"""Compare what two ONNX models compute from the same random inputs; one of them may have its weights apart."""

from collections.abc import Iterator, Mapping
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np

from diffclient.errors import InferenceError
from diffclient.measure.onnx_session import load
from diffclient.tensors.snapshot import Array
from diffserver.errors import CheckpointError

SIDES = (1, 2, 16, 64, 128, 512)
"""Lengths for sides of inputs that vary, in the order of trial."""

ATTEMPTS = 600
TOLERANCE = 1e-4
"""The most by which outputs may differ, as a share of the largest."""

_DTYPES = {
    "tensor(float)": "f4", "tensor(float16)": "f2", "tensor(double)": "f8", "tensor(int64)": "i8",
    "tensor(int32)": "i4", "tensor(int8)": "i1", "tensor(uint8)": "u1", "tensor(bool)": "?",
}  # fmt: skip


def require_same_outputs(original: Path, graph: bytes, weights: Mapping[str, tuple[Array, str]]) -> None:
    """Raise CheckpointError unless the graph with these weights (each with its dtype) computes what the file does."""
    output = differing_output(_session(str(original), {}), _session(graph, weights), original.name)
    if output is not None:
        raise CheckpointError(
            f"with its weights outside the graph, {original.name} computes another {output}",
            "bring the weights as safetensors; of a published model, its graph may have changed with them",
        )


def differing_output(one: Any, other: Any, name: str) -> str | None:
    """Return the first output in which two sessions of onnxruntime differ; None if they compute the same.

    Raises CheckpointError if the first, called `name`, runs on no random inputs.
    """
    inputs, expected = _first_that_runs(one, name)
    for declared, before, after in zip(one.get_outputs(), expected, other.run(None, inputs), strict=True):
        if not _close(np.asarray(before), np.asarray(after)):
            return str(declared.name)
    return None


def _session(model: str | bytes, weights: Mapping[str, tuple[Array, str]]) -> Any:
    try:
        return load(model, weights)
    except InferenceError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"onnxruntime does not take the model: {reason}", "bring it as safetensors") from error


def _first_that_runs(session: Any, name: str) -> tuple[dict[str, Array], list[Array]]:
    """Return the first random inputs on which a session runs, and its outputs."""
    reason = ""
    for inputs in islice(_inputs(session), ATTEMPTS):
        try:
            return inputs, session.run(None, inputs)
        except Exception as error:  # onnxruntime's own exceptions share no base but this
            reason = " ".join(str(error).split())[:300]
    raise CheckpointError(
        f"{name} runs on no random inputs, so it cannot be compared: {reason}", "bring it as safetensors"
    )


def _inputs(session: Any) -> Iterator[dict[str, Array]]:
    """Yield inputs of the declared shapes and dtypes, drawn anew, with all lengths of varying sides."""
    declared = session.get_inputs()
    varying: dict[str, None] = {}
    for value in declared:
        varying |= dict.fromkeys(_side(value.name, axis, side) for axis, side in enumerate(value.shape))
    names, rng = [name for name in varying if name], np.random.default_rng(0)
    for lengths in product(SIDES, repeat=len(names)):
        by_name = dict(zip(names, lengths, strict=True))
        yield {value.name: _draw(value, by_name, rng) for value in declared}


def _side(name: str, axis: int, side: int | str | None) -> str:
    """Return the name of a side that varies; sides without one vary each by itself. Empty for a fixed one."""
    return "" if isinstance(side, int) else side or f"{name}[{axis}]"


def _draw(value: Any, lengths: Mapping[str, int], rng: np.random.Generator) -> Array:
    shape = [
        side if isinstance(side, int) else lengths[_side(value.name, axis, side)]
        for axis, side in enumerate(value.shape)
    ]
    if value.type not in _DTYPES:
        raise CheckpointError(
            f"the input {value.name} is a {value.type}, of which none can be drawn", "bring safetensors"
        )
    dtype = np.dtype(_DTYPES[value.type])
    values = rng.normal(size=shape) if dtype.kind == "f" else rng.integers(0, 2, shape)
    return np.asarray(values).astype(dtype)


def _close(before: Array, after: Array) -> bool:
    if before.shape != after.shape:
        return False
    if before.dtype.kind != "f":
        return bool(np.array_equal(before, after))
    scale = float(np.max(np.abs(before), initial=0.0, where=np.isfinite(before)))
    return bool(np.allclose(before, after, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True))
