"""Every file operation of a device refused in turn: a typed error each time, and the next poll goes on."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from diffclient.cli.main import main
from diffclient.store.store import Store
from tests.client.cli.test_main import SCORE, Cli
from tests.client.lineage import Lineage
from tests.client.scripted_server import ScriptedServer
from tests.hostile.devices.refusing_disk import RefusingDisk

NUMBERS = [
    errno.EACCES,
    *(pytest.param(number, marks=pytest.mark.long) for number in (errno.EPERM, errno.EIO, errno.ENOSPC, errno.EROFS)),
]
TYPED = (0, 1, 2, 3, 5, 6)


def refused(command: list[str], store: Path, disk: RefusingDisk) -> int | str:
    """Run a command on a disk; return its exit code, or what is no typed error."""
    with disk.attached():
        try:
            return main([*command, "--store", str(store), "--json"])
        except Exception as error:
            return repr(error)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("act", ["update", "rollback", "verify", "status", "policy"])
def test_every_operation_refused_ends_in_a_typed_error(
    enrolled: Cli,
    server: ScriptedServer,
    lineage: Lineage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    act: str,
    number: int,
) -> None:
    monkeypatch.setenv("DIFFCLIENT_DEBUG", "1")  # or an internal error would pass for a typed one
    for server.target in (0, 1):
        enrolled("update", *SCORE)
    server.target = 2
    command = {"update": ["update", *SCORE], "policy": ["policy", "--max-bytes", "99999999"]}.get(act, [act])
    pristine, store = tmp_path / "pristine", enrolled.store
    shutil.copytree(store, pristine)
    undisturbed = RefusingDisk(store)
    assert refused(command, store, undisturbed) == 0
    after = Store(store).state().digest
    assert len(undisturbed.asked) > (3 if act == "status" else 15)
    flaws = []
    for at, operation in enumerate(undisturbed.asked):
        shutil.rmtree(store)
        shutil.copytree(pristine, store)
        code = refused(command, store, RefusingDisk(store, at, number))
        if code not in TYPED or Store(store).state().digest not in (lineage.digest(1), after):
            flaws.append(f"{operation}: {code}")
    assert flaws == []
    capsys.readouterr()
    enrolled("update", *SCORE)
    assert enrolled("verify")[0] == 0
