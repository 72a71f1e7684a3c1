"""Diffs as files: made, applied and looked at without a server, from Python and from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from diffclient.errors import DiffClientError
from diffclient.tensors.snapshot import Snapshot
from diffserver.checkpoints import diff_files
from diffserver.checkpoints.diff_files import NotTrained
from diffserver.errors import Invalid
from diffserver.main import app
from tests.server.checkpoint_files import save

RNG = np.random.default_rng(0)
OLD = {"a": RNG.normal(0, 1, (40, 50)).astype(np.float32), "b": RNG.normal(0, 0.1, 30).astype(np.float32)}
NEW = {name: array + RNG.normal(0, 0.01, array.shape).astype(np.float32) for name, array in OLD.items()}
BUDGET = 0.1


class Files(NamedTuple):
    """A snapshot, a checkpoint trained from it, and a folder for more."""

    folder: Path
    old: Path
    new: Path


@pytest.fixture
def files(tmp_path: Path) -> Files:
    for name, weights in (("old", OLD), ("new", NEW)):
        save(tmp_path / name, weights)
    diff_files.snapshot(tmp_path / "old", tmp_path / "0")
    return Files(tmp_path, tmp_path / "0", tmp_path / "new")


MASK = np.array([0, -np.inf, -np.inf], np.float32)


def test_a_mask_may_be_infinite_if_it_is_named(tmp_path: Path) -> None:
    checkpoint = save(tmp_path / "masked", OLD | {"mask": MASK})
    with pytest.raises(Invalid, match="mask: the tensor holds a weight that is not finite") as caught:
        diff_files.snapshot(checkpoint, tmp_path / "0")
    assert "--constant" in caught.value.remedy
    with pytest.raises(Invalid, match="no tensor masks"):
        diff_files.snapshot(checkpoint, tmp_path / "0", ["masks"])
    command = ["diff", "snapshot", str(checkpoint), str(tmp_path / "0"), "--constant", "mask"]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert np.array_equal(Snapshot(tmp_path / "0").read("mask"), MASK)


def test_checkpoints_of_torch_enter_as_well(tmp_path: Path, files: Files) -> None:
    for name, weights in (("old", OLD), ("new", NEW)):
        torch.save({key: torch.from_numpy(array) for key, array in weights.items()}, tmp_path / f"{name}.pth")
    assert diff_files.snapshot(tmp_path / "old.pth", tmp_path / "pth") == Snapshot(files.old).digest()
    from_torch = diff_files.encode(files.old, tmp_path / "new.pth", tmp_path / "pth.ndiff")
    assert from_torch == diff_files.encode(files.old, files.new, tmp_path / "1.ndiff")


def test_an_exact_diff_leads_to_the_new_weights_on_their_grids(files: Files) -> None:
    about = diff_files.encode(files.old, files.new, files.folder / "1.ndiff")
    digest = diff_files.apply(files.old, files.folder / "1.ndiff", files.folder / "1")
    assert (about.kind, about.method, about.budget) == ("exact", "exact", None)
    assert about.digest == digest == Snapshot(files.folder / "1").digest()
    assert all(np.allclose(Snapshot(files.folder / "1").read(name), NEW[name], atol=1e-5) for name in NEW)


def test_a_nearest_diff_keeps_its_budget_and_warns_that_it_is_not_trained(files: Files) -> None:
    with pytest.warns(NotTrained, match="not trained"):
        about = diff_files.encode(files.old, files.new, files.folder / "1.ndiff", BUDGET)
    assert (about.kind, about.method) == ("sparse", "nearest")
    assert about.payload_bytes == (files.folder / "1.ndiff").stat().st_size <= BUDGET * 4 * 2030
    assert {path.name for path in files.folder.iterdir()} == {"0", "old", "new", "1.ndiff", "1.ndiff.json"}


def test_what_is_known_of_a_diff(files: Files) -> None:
    about = diff_files.encode(files.old, files.new, files.folder / "1.ndiff")
    alone = diff_files.inspect(files.folder / "1.ndiff")
    assert (alone["kind"], alone["tensors"], alone["bytes"]) == ("exact", 2, about.payload_bytes)
    assert about.parent.startswith(alone["parent"])
    facts = diff_files.inspect(files.folder / "1.ndiff", files.old)
    assert facts["changed_tensors"] == ["a", "b"]
    assert facts["weights"] == 2030 >= facts["carried"] > 1900
    (files.folder / "1.ndiff.json").unlink()
    assert diff_files.inspect(files.folder / "1.ndiff")["about"] is None


def damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def of_another(path: Path) -> None:
    description = json.loads(diff_files.beside(path).read_text())
    diff_files.beside(path).write_text(json.dumps(description | {"digest": "0" * 64}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damaged, "not of one diff"),
        (of_another, "not to 000000000000"),
        (lambda path: diff_files.beside(path).write_text("[]"), "does not describe"),
        (lambda path: path.unlink(), "No such file"),
    ],
)
def test_what_does_not_belong_together_is_refused(files: Files, spoil: Any, message: str) -> None:
    diff_files.encode(files.old, files.new, files.folder / "1.ndiff")
    spoil(files.folder / "1.ndiff")
    with pytest.raises(Invalid, match=message):
        diff_files.apply(files.old, files.folder / "1.ndiff", files.folder / "1")
    assert not (files.folder / "1").exists()


def test_a_diff_of_another_parent_is_refused(files: Files) -> None:
    diff_files.encode(files.old, files.new, files.folder / "1.ndiff")
    diff_files.snapshot(files.new, files.folder / "other")
    with pytest.raises(DiffClientError, match="starts from"):
        diff_files.apply(files.folder / "other", files.folder / "1.ndiff", files.folder / "1")
    with pytest.raises(Invalid, match="is there already"):
        diff_files.apply(files.old, files.folder / "1.ndiff", files.folder / "other")


def test_the_command_line_has_the_same(files: Files) -> None:
    def run(*words: object) -> Any:
        result = CliRunner().invoke(app, ["diff", *map(str, words), "--json"])
        assert result.exit_code == 0, result.exception
        return json.loads(result.stdout)

    first = run("snapshot", files.folder / "old", files.folder / "again")
    assert first["digest"] == Snapshot(files.old).digest()
    answer = run("encode", files.old, files.new, files.folder / "1.ndiff", "--budget", BUDGET)
    assert run("apply", files.old, files.folder / "1.ndiff", files.folder / "1")["digest"] == answer["digest"]
    assert run("inspect", files.folder / "1.ndiff", "--old", files.old)["about"] == answer


def test_the_command_line_warns_and_shows_lines(files: Files) -> None:
    words = [files.old, files.new, files.folder / "1.ndiff", "--budget", BUDGET]
    encoded = CliRunner().invoke(app, ["diff", "encode", *map(str, words)])
    assert "warning: this diff is not trained" in encoded.stderr
    inspected = CliRunner().invoke(app, ["diff", "inspect", str(files.folder / "1.ndiff"), "--old", str(files.old)])
    assert "made by nearest" in inspected.stdout
    assert "values for 2,030 weights, in 2 tensors" in inspected.stdout
    for command in ("snapshot", "encode", "apply", "inspect"):
        assert "Example: " in CliRunner().invoke(app, ["diff", command, "--help"]).stdout
