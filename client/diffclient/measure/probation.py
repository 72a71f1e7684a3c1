"""Probation: a new version measures itself on the probe set before it may be used.

The same bits on the same examples make the same errors, one more or less where another runtime or processor rounds
differently; so a figure that differs by more means that this device computes something else. Any model can be measured:
a `Score` is all that is asked for, and `score_speech` is the one for recognisers.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import index
from pathlib import Path

from diffclient import durable
from diffclient.errors import DiffClientError, NoSuchCode, ProbationFailed
from diffclient.measure import load_code
from diffclient.measure.error_count import COUNT_LIMIT, Errors
from diffclient.measure.recognizer import Recognizer, measure, read_audio
from diffclient.release.manifest import Manifest
from diffclient.tensors.snapshot import Snapshot

Score = Callable[[Path, Snapshot, Sequence[Path]], Sequence[Errors]]
"""From the graph's file, the weights and the parts of the probe set: the errors on each part."""

_RUNTIME = ("diffclient", "numpy", "onnxruntime", "soundfile")

TOLERANCE = 1
"""How many errors more or less than the manifest says may be made on all parts together."""


def chance_to_pass(known: int, share: float) -> float:
    """Return the probability that a model passes that errs on a share of the `known` items, those that it should get.

    That is the chance of at most TOLERANCE errors among them, each made by itself with this probability; what the
    right model gets wrong counts for nothing.
    """
    tolerated = range(min(TOLERANCE, known) + 1)
    return sum(math.comb(known, errors) * share**errors * (1 - share) ** (known - errors) for errors in tolerated)


def score_speech(graph: Path, weights: Snapshot, parts: Sequence[Path]) -> list[Errors]:
    """Measure a recogniser on each part of its probe set; raises InferenceError, ProbeError."""
    from diffclient.measure.probe_set import read_probe

    recognizer = Recognizer(graph.read_bytes(), weights)
    return [
        measure(recognizer, ((read_audio(utterance.audio), utterance.text) for utterance in read_probe(part)))
        for part in parts
    ]


def load_score(name: str) -> Score:
    """Return the scorer that `package.module:function` or `path/to/file.py:function` names; raises ProbationFailed."""
    try:
        score: Score = load_code.load(name)
    except NoSuchCode as error:
        raise ProbationFailed(
            f"no scorer {name!r}: name one as module:function or file.py:function ({error})"
        ) from error
    if not callable(score):
        raise ProbationFailed(f"the scorer {name!r} is a {type(score).__name__}, and cannot be called")
    return score


def basis(manifest: Manifest, score: Score) -> str:
    """Return a digest of all that the verdict on a version depends on: what it has to show, and what measures it.

    As long as it is the same, so is the verdict.
    """
    fields = manifest.to_json()
    expected = {name: fields[name] for name in fields if name not in ("kind", "from_digest", "from_version", "payload")}
    scorer = f"{getattr(score, '__module__', '')}.{getattr(score, '__qualname__', type(score).__qualname__)}"
    runtime = {name: _installed(name) for name in _RUNTIME}
    everything = [expected, scorer, runtime, platform.machine(), platform.python_version()]
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()


def _installed(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def run(score: Score, graph: Path, weights: Snapshot, parts: Sequence[Path]) -> tuple[Errors, ...]:
    """Measure; whatever goes wrong in the model's own code becomes ProbationFailed.

    Raises StoreFailed where it is the disk that fails, which is no verdict on the version.
    """
    try:
        with durable.disk_errors(graph):
            measured = score(graph, weights, parts)
            # Whole numbers of numpy would not go into JSON.
            return _countable(tuple(Errors(index(part.errors), index(part.total)) for part in measured))
    except DiffClientError:
        raise
    except Exception as error:  # the scorer may be anyone's code, and must not take the device down
        raise ProbationFailed(f"the model cannot be measured: {type(error).__name__}: {error}") from error


def _countable(measured: tuple[Errors, ...]) -> tuple[Errors, ...]:
    """Return what was measured, if a report can tell it; raises ProbationFailed."""
    total = sum(measured, Errors(0, 0))
    least = min((min(part.errors, part.total) for part in measured), default=0)
    if least < 0 or max(total.errors, total.total) > COUNT_LIMIT:
        raise ProbationFailed(f"the scorer counts {total.errors} errors in {total.total}, which no report can tell")
    return measured


def check(manifest: Manifest, measured: Sequence[Errors]) -> int | None:
    """Compare what was measured with the manifest; return the drift against version 0 in ppm.

    None where there is no probe set. Raises ProbationFailed.
    """
    metric = manifest.metric
    if [part.total for part in measured] != [probe.total for probe in manifest.probes]:
        raise ProbationFailed(f"the probe set does not have the {metric.counts} that the manifest counts")
    pairs = list(zip(manifest.probes, measured, strict=True))
    if sum(abs(part.errors - probe.errors) for probe, part in pairs) > TOLERANCE:
        figures = ", ".join(
            f"{probe.domain} {part.errors} (not {probe.errors}) of {part.total} {metric.counts}"
            for probe, part in pairs
        )
        raise ProbationFailed(f"this device measures another {metric.name} than its manifest says: errors on {figures}")
    drift = _drift(manifest, measured)
    if drift is not None and drift > manifest.max_drift_ppm:
        raise ProbationFailed(
            f"drift against version 0 is {drift / 1e4:.2f} points of {metric.name}, the manifest allows "
            f"{manifest.max_drift_ppm / 1e4:.2f}"
        )
    return drift


def _drift(manifest: Manifest, measured: Sequence[Errors]) -> int | None:
    if not measured:
        return None
    return measured[0].error_rate_ppm - replace(measured[0], errors=manifest.version_0_errors).error_rate_ppm
