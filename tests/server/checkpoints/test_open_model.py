"""Models as they are: split, joined, converted, or refused with the way round."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="reading .pth needs torch: pip install 'diffserver[train]'")

from diffserver.checkpoints.checkpoint_file import Checkpoint  # noqa: E402
from diffserver.checkpoints.open_model import OTHERS, opened  # noqa: E402
from diffserver.errors import CheckpointError  # noqa: E402
from tests.server.checkpoint_files import save  # noqa: E402
from tests.server.checkpoints.onnx_models import model, with_int32  # noqa: E402


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_an_onnx_model_is_split(tmp_path: Path, scratch: Path) -> None:
    with opened(written(tmp_path / "m.onnx", model(0)), scratch) as opened_model:
        entries = Checkpoint(opened_model.weights).entries
        assert opened_model.graph is not None
        assert opened_model.graph.stat().st_size < (tmp_path / "m.onnx").stat().st_size + 400
    # Both branches have a constant "shift": they are two weights.
    assert sorted(entry.shape for entry in entries.values()) == [(1,), (4,), (4,), (4, 4)]


def test_a_later_one_takes_the_published_names_and_another_graph_is_refused(tmp_path: Path, scratch: Path) -> None:
    with opened(written(tmp_path / "0.onnx", model(0)), scratch) as opened_model:
        assert opened_model.graph is not None
        graph, names = opened_model.graph.read_bytes(), set(Checkpoint(opened_model.weights).entries)
    for folder in ("renamed", "other"):
        (scratch / folder).mkdir()
    with opened(written(tmp_path / "1.onnx", model(1, "onnx::x")), scratch / "renamed", graph) as opened_model:
        assert set(Checkpoint(opened_model.weights).entries) == names
    path = written(tmp_path / "2.onnx", model(1, more=True))
    reason = "another graph than the published one, from Identity on"
    with pytest.raises(CheckpointError, match=reason), opened(path, scratch / "other", graph):
        pass


def test_scales_and_biases_of_quantised_arithmetic_are_weights_and_sizes_are_not(tmp_path: Path, scratch: Path) -> None:
    with opened(written(tmp_path / "m.onnx", with_int32(0)), scratch) as opened_model:
        entries = Checkpoint(opened_model.weights).entries
    assert {name: entry.dtype for name, entry in entries.items()} == {"bias": "I32", "matrix": "F32", "scale": "F32"}


def test_a_later_quantised_model_brings_its_scales(tmp_path: Path, scratch: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    paths = []
    for seed in (0, 1):
        written(tmp_path / f"{seed}.onnx", with_int32(seed))
        paths.append(tmp_path / f"{seed}-int8.onnx")
        quantize_dynamic(tmp_path / f"{seed}.onnx", paths[-1], weight_type=QuantType.QInt8)
        (scratch / str(seed)).mkdir()
    with opened(paths[0], scratch / "0") as opened_model:
        assert opened_model.graph is not None
        graph, entries = opened_model.graph.read_bytes(), Checkpoint(opened_model.weights).entries
        assert {name: (entry.dtype, entry.shape) for name, entry in entries.items() if "matrix" in name} == {
            "matrix_quantized": ("I8", (3, 5)), "matrix_scale": ("F32", ()), "matrix_zero_point": ("I8", ()),
        }  # fmt: skip
    with opened(paths[1], scratch / "1", graph) as opened_model:
        assert set(Checkpoint(opened_model.weights).entries) == set(entries)


def test_shards_are_joined(tmp_path: Path, scratch: Path) -> None:
    tensors = {f"t{n}": np.arange(n + 1, dtype="f4") for n in range(4)}
    files = {name: f"{int(name[1]) % 2}.safetensors" for name in tensors}
    for file in set(files.values()):
        save(tmp_path / file, {name: tensors[name] for name in tensors if files[name] == file})
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    with opened(tmp_path, scratch) as opened_model:
        checkpoint = Checkpoint(opened_model.weights)
        assert {name: checkpoint.read(name).tolist() for name in checkpoint.entries} == {
            name: array.tolist() for name, array in tensors.items()
        }


@pytest.mark.parametrize("elsewhere", ["../0.safetensors", "/etc/passwd"])
def test_an_index_names_no_file_elsewhere(tmp_path: Path, scratch: Path, elsewhere: str) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": elsewhere}}))
    with pytest.raises(CheckpointError, match="files in other folders"), opened(index, scratch):
        pass


@pytest.mark.parametrize(("key", "zipped"), [("state_dict", True), ("model_state", False)], ids=["zip", "before 1.6"])
def test_a_state_dict_of_torch_comes_with_tied_weights_once(
    tmp_path: Path, scratch: Path, key: str, zipped: bool
) -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    state = {"a": weight, "tied": weight, "half": weight.bfloat16(), "row": weight[0], "count": torch.tensor(3)}
    whole = {key: state, "epoch": 3, "optimizer_state": {"lr": 0.1}}
    torch.save(whole, tmp_path / "m.ckpt", _use_new_zipfile_serialization=zipped)
    with opened(tmp_path / "m.ckpt", scratch) as opened_model:
        checkpoint = Checkpoint(opened_model.weights)
    assert {name: entry.dtype for name, entry in checkpoint.entries.items()} == {
        "a": "F32", "half": "BF16", "row": "F32", "count": "I64",
    }  # fmt: skip
    assert checkpoint.read("row").tolist() == [0.0, 1.0, 2.0]


def test_a_pickle_runs_no_code(tmp_path: Path, scratch: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match="as weights only"), opened(tmp_path / "m.pth", scratch):
        pass


@pytest.mark.parametrize("suffix", OTHERS)
def test_other_formats_are_named_with_the_way_round(tmp_path: Path, scratch: Path, suffix: str) -> None:
    with pytest.raises(CheckpointError) as refused, opened(written(tmp_path / f"m{suffix}", b""), scratch):
        pass
    assert refused.value.remedy == OTHERS[suffix]


def test_a_folder_of_something_else_is_refused(tmp_path: Path, scratch: Path) -> None:
    with pytest.raises(CheckpointError, match="holds none of"), opened(tmp_path, scratch):
        pass


def test_fifty_thousand_tensors_are_a_checkpoint(tmp_path: Path) -> None:
    names = [f"encoder.layers.{n}.attention.self.query.weight" for n in range(54_000)]
    path = save(tmp_path / "m.safetensors", dict.fromkeys(names, np.zeros(1, "f4")))
    assert len(Checkpoint(path).entries) == 54_000
