import subprocess
import sys
from pathlib import Path

import pytest

from diffserver.errors import Invalid
from diffserver.pipeline.job.work_folder import work_folder

KILLED = """
import os, signal
from diffserver.pipeline.job.work_folder import work_folder
with work_folder("dead") as folder:
    (folder / "parent.safetensors").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def workers_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_folders_of_dead_workers_go_and_those_of_others_stay(workers_folder: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    (dead,) = workers_folder.glob("*/dead")
    assert (dead / "parent.safetensors").exists()
    with work_folder("first") as first:
        assert not dead.exists()
        with work_folder("second") as second:
            assert first.is_dir()
            assert second.is_dir()
        assert not second.exists()
    assert not first.exists()


def test_a_place_that_is_not_ours_is_refused(workers_folder: Path) -> None:
    with work_folder("w") as folder:
        parent = folder.parent
    (parent / "lock").unlink()
    parent.rmdir()
    parent.symlink_to(workers_folder)
    with pytest.raises(Invalid, match="belongs to someone else"), work_folder("w"):
        pass
