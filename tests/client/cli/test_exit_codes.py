"""The exit codes of an update: a table of ends that a server, a disk, an owner or a version brings about."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from diffclient.cli import exit_codes
from diffclient.cli.main import main
from diffclient.cli.options import EPILOG
from diffclient.errors import (
    AlreadyEnrolled,
    BrokenChain,
    DiffClientError,
    DigestMismatch,
    InternalError,
    MetadataExpired,
    NoRoot,
    NoSpace,
    NotEnrolled,
    NoToken,
    PayloadError,
    ServerBusy,
    ServerUnreachable,
    SnapshotWithheld,
    Stopped,
    StoreBusy,
    TooManyBytes,
    UpdateFailed,
)
from tests.client import scripted_server
from tests.client.conftest import Device

SCORE = ["--score", "tests.client.lineage:classify"]


@dataclass(frozen=True)
class Case:
    """What comes to pass before the update, its options, and how it must end."""

    name: str
    before: Callable[[Device], object]
    ends: tuple[int, str]
    """The exit code, and the action, or the error and what is at fault."""
    options: tuple[str, ...] = ()


def installed(device: Device, target: int = 0) -> None:
    device.update()
    device.server.target = target


def busy(device: Device) -> None:
    device.server.fault("/device/poll", scripted_server.refuse(503, "900"))


def held_back(device: Device) -> None:
    installed(device, 1)
    device.update()
    device.updater().rollback()


def measures_otherwise(device: Device) -> None:
    """The last answers of the probe set are others than those that were signed."""
    snapshot = device.server.lineage.snapshots[0]
    wrong = tuple(replace(probe, errors=probe.total) for probe in snapshot.probes)
    device.server.repository.cover([replace(snapshot, probes=wrong)], {0: snapshot.payload})


def unfit(device: Device) -> None:
    measures_otherwise(device)
    main(["update", "--store", str(device.store.root), *SCORE])


CASES = [
    Case("installed", lambda device: None, (0, "installed")),
    Case("nothing new", installed, (10, "none")),
    Case("no network", lambda device: device.server.close(), (4, "UpdateFailed network")),
    Case("a busy server", busy, (4, "UpdateFailed server")),
    Case(
        "a server that refuses",
        lambda device: device.server.fault("/device/poll", scripted_server.refuse(401)),
        (8, "UpdateFailed server"),
    ),
    Case(
        "altered metadata",
        lambda device: device.server.fault("/timestamp.json", scripted_server.say(b"{}")),
        (8, "UpdateFailed server"),
    ),
    Case("a metered link", lambda device: None, (9, "withheld"), ("--metered",)),
    Case("too many bytes", lambda device: None, (9, "UpdateFailed device"), ("--max-bytes", "10")),
    Case("held back", held_back, (11, "held_back")),
    Case("failed probation", measures_otherwise, (7, "UpdateFailed version")),
    Case("unfit", unfit, (12, "unfit")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_update_ends_with_its_code(device: Device, capsys: pytest.CaptureFixture[str], case: Case) -> None:
    case.before(device)
    capsys.readouterr()
    words = ["update", "--store", str(device.store.root), "--json", *SCORE, *case.options]
    code = main([*words, "--detailed-exit-code"])
    printed = json.loads(capsys.readouterr().out)
    end = printed.get("action") or f"{printed['error']} {printed['at_fault']}"
    assert (code, end) == case.ends


@pytest.mark.parametrize("case", [case for case in CASES if " " not in case.ends[1]], ids=lambda case: case.name)
def test_without_details_an_update_that_did_not_fail_is_done(device: Device, case: Case) -> None:
    case.before(device)
    assert main(["update", "--store", str(device.store.root), *SCORE, *case.options]) == 0


def test_a_store_that_is_busy_or_not_enrolled(device: Device, tmp_path: Path) -> None:
    with device.store.locked():
        assert main(["update", "--store", str(device.store.root), *SCORE]) == 5
    assert main(["update", "--store", str(tmp_path / "other")]) == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UpdateFailed("chain", BrokenChain("")), 8),
        (UpdateFailed("poll", ServerUnreachable("")), 4),
        (UpdateFailed("poll", ServerBusy("", 3)), 4),
        (UpdateFailed("trust", ServerUnreachable("")), 4),
        (UpdateFailed("trust", MetadataExpired("")), 8),
        (UpdateFailed("download", ServerUnreachable("")), 4),
        (UpdateFailed("download", NoSpace(Path(), 1, 0)), 3),
        (UpdateFailed("policy", TooManyBytes("")), 9),
        (UpdateFailed("policy", SnapshotWithheld("")), 9),
        (UpdateFailed("decode", PayloadError("")), 7),
        (UpdateFailed("digest", DigestMismatch("")), 7),
        (UpdateFailed("apply", InternalError(KeyError())), 3),
        (NoRoot(""), 1),
        (ServerUnreachable(""), 4),
        (StoreBusy(""), 5),
        (DigestMismatch(""), 6),
        (NotEnrolled(""), 2),
        (AlreadyEnrolled(""), 2),
        (NoToken(""), 2),
        (Stopped(""), 130),
        (KeyboardInterrupt(), 130),
        (DiffClientError(""), 1),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_the_codes_of_errors(error: BaseException, code: int) -> None:
    assert exit_codes.of_error(error) == code


def test_every_code_is_explained_in_the_help_and_in_the_readme() -> None:
    readme = (Path(__file__).parents[3] / "client" / "README.md").read_text()
    for code, meaning in exit_codes.MEANINGS.items():
        assert re.search(rf"^  {code} +{re.escape(meaning)}$", EPILOG, re.MULTILINE)
        assert re.search(rf"^\| {code} \| .*{re.escape(meaning.removesuffix(' (*)'))}", readme, re.MULTILINE)
