"""Open a model as it is: weights as a safetensors file and, where the format has one, the graph.

Safetensors files stay where they are; what comes in pieces or in another format is written anew into a scratch folder.
Reading the formats is left to `shards`, `torch_file` and `split_onnx`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.errors import CheckpointError

INDEX = ".safetensors.index.json"
FOLDER = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "model.onnx")
"""The files that a folder may hold, by Hugging Face's names, in the order of search."""

TORCH = (".pth", ".pt", ".bin", ".ckpt")

OTHERS = {
    ".h5": "Keras: load it, and save its weights with safetensors.numpy.save_file",
    ".keras": "Keras: load it, and save its weights with safetensors.numpy.save_file",
    ".tflite": "TensorFlow Lite: bring the model in the format that it was converted from",
    ".pb": "TensorFlow: convert it with tf2onnx, and pass the .onnx file",
    ".gguf": "GGUF: pass the safetensors files that it was converted from",
    ".msgpack": "Flax: save its parameters with safetensors.flax.save_file",
    ".npz": "numpy: save its arrays with safetensors.numpy.save_file",
    ".npy": "numpy: save the arrays with safetensors.numpy.save_file",
    ".nemo": "NeMo: it is a tar archive; unpack it, and pass the model_weights.ckpt inside",
    ".mlmodel": "Core ML: bring the model in the format that it was converted from",
    ".pkl": "a pickle, which may run code: save its tensors with safetensors",
}
"""Formats that are not taken, with the way round."""


@dataclass(frozen=True)
class OpenedModel:
    """Files to upload, which last as long as the scratch folder."""

    weights: Path
    graph: Path | None = None


@contextmanager
def opened(path: Path, scratch: Path, published: bytes | None = None) -> Iterator[OpenedModel]:
    """Give a model's weights and graph as files, checked; raises CheckpointError.

    `published` is the graph of the model that is to be updated, if that has one: ONNX weights take its names.
    """
    model = _opened(_in_folder(path) if path.is_dir() else path, scratch, published)
    Checkpoint(model.weights)  # before its bytes travel
    yield model


def _opened(path: Path, scratch: Path, published: bytes | None) -> OpenedModel:
    suffix, out = path.suffix.lower(), scratch / "weights.safetensors"
    if path.name.endswith(INDEX):
        from diffserver.checkpoints.shards import join

        return OpenedModel(join(path, out))
    if suffix in TORCH:
        from diffserver.checkpoints.torch_file import convert

        return OpenedModel(convert(path, out))
    if suffix == ".onnx":
        from diffserver.checkpoints.split_onnx import split

        graph = scratch / "graph.onnx"
        graph.write_bytes(split(path, out, published or None))
        return OpenedModel(out, graph)
    if suffix in OTHERS:
        raise CheckpointError(f"{path.name} is not taken as it is", OTHERS[suffix])
    return OpenedModel(path)


def _in_folder(folder: Path) -> Path:
    path = next((folder / name for name in FOLDER if (folder / name).exists()), None)
    if path is None:
        raise CheckpointError(f"{folder} holds none of {', '.join(FOLDER)}", "pass the path of the file itself")
    return path
