"""A recogniser small enough for tests: one matrix between log-mel features and letters, under onnxruntime."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from onnx import TensorProto, helper

from diffclient.measure.log_mel import FEATURES_VERSION, MELS, SAMPLE_RATE, Samples
from diffclient.measure.onnx_session import OUTSIDE
from diffclient.measure.probation import score_speech
from diffclient.measure.recognizer import FEATURES, FEATURES_KEY, LENGTHS, LETTERS_KEY, Recognizer, read_audio
from diffclient.release.metric import Metric
from diffclient.tensors.snapshot import Snapshot
from tests.client.lineage import Kind, probe_zip

LETTERS = " abcde"
SHAPES: dict[str, tuple[int, ...]] = {"bias": (1 + len(LETTERS),), "matrix": (MELS, 1 + len(LETTERS))}


def graph() -> bytes:
    """Scores are features × matrix + bias, a frame out for every frame in."""
    nodes = [
        helper.make_node("MatMul", [FEATURES, "matrix"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["scores"]),
        helper.make_node("Identity", [LENGTHS], ["frames_out"]),
    ]
    inputs = [
        helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["batch", "frames", MELS]),
        helper.make_tensor_value_info(LENGTHS, TensorProto.INT64, ["batch"]),
    ]
    outputs = [
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", "frames", 1 + len(LETTERS)]),
        helper.make_tensor_value_info("frames_out", TensorProto.INT64, ["batch"]),
    ]
    weights = [outside(name, shape) for name, shape in SHAPES.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "letters", inputs, outputs, weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    helper.set_model_props(model, {LETTERS_KEY: LETTERS, FEATURES_KEY: str(FEATURES_VERSION)})
    return bytes(model.SerializeToString())


def outside(name: str, shape: tuple[int, ...], kind: int = TensorProto.FLOAT) -> TensorProto:
    """A weight that the graph names and does not hold."""
    tensor = TensorProto(name=name, dims=shape, data_type=kind, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=OUTSIDE)
    return tensor


def opus(samples: Samples) -> bytes:
    """Encode as the probe set does."""
    content = io.BytesIO()
    soundfile.write(content, samples, SAMPLE_RATE, format="OGG", subtype="OPUS")
    return content.getvalue()


def probes(weights: Snapshot) -> dict[str, bytes]:
    """Noises labelled with what these weights hear in them, but for every fifth word."""
    rng = np.random.default_rng(3)
    recognizer = Recognizer(graph(), weights)
    parts = {}
    for domain in ("base", "places"):
        utterances = []
        for _ in range(3):
            audio = opus((0.1 * rng.normal(size=SAMPLE_RATE)).astype(np.float32))
            heard = recognizer.transcribe(read_audio(audio)).split()
            utterances.append((audio, " ".join("ZZZ" if i % 5 == 0 else word for i, word in enumerate(heard))))
        parts[domain] = probe_zip(utterances)
    return parts


SPEECH = Kind(SHAPES, graph(), probes, score_speech, Metric("WER", "words"))
