"""systemd accepts the units, and finds little that they could do beyond their work."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.manifests import UNITS

ANALYZE = shutil.which("systemd-analyze")
EXPOSURE = 20
"""Of 100, as systemd reckons it; a service that shuts out nothing has 96."""

pytestmark = pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed (Debian's package systemd)")


@pytest.fixture
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit whose programs are there."""
    kept: Path = request.param
    copy = tmp_path / kept.name
    copy.write_text(re.sub(r"(?<==)/opt/\w+/bin/\w+", "/bin/true", kept.read_text()))
    return copy


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    return subprocess.run([ANALYZE, *words], capture_output=True, text=True, check=False)


every_unit = pytest.mark.parametrize("unit", UNITS, indirect=True, ids=lambda path: path.stem)


@every_unit
def test_systemd_accepts_it(unit: Path) -> None:
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stderr) == (0, "")


@every_unit
def test_it_is_shut_out_of_what_it_does_not_need(unit: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", str(unit))
    assert done.returncode == 0, done.stdout
