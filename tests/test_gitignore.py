"""What holds keys and tokens by default is ignored by git, so that no one commits it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from diffclient.cli import options
from diffclient.cli.main import _COMMANDS
from diffserver.cli.train.demo import demo
from diffserver.settings import TOKEN_FILE, Settings
from diffserver.trust import keys

ROOT = Path(__file__).parents[1]


def secret_places() -> dict[str, str]:
    settings = Settings.from_environment({})
    home = Path(settings.home).name
    store = options.commands(options.parser(_COMMANDS))["update"].get_default("store")
    assert isinstance(store, Path)
    assert demo.__defaults__ is not None
    (folder,) = (default for default in demo.__defaults__ if isinstance(default, Path))
    return {
        "the admin's token": f"{home}/{TOKEN_FILE}",
        "keys": f"{home}/{settings.keys.name}/online/targets{keys.SUFFIX}",
        "the passphrase": f"{home}/{settings.keys.name}/passphrase",
        "a device's token": str(store / "enrolment.json"),
        "the demo's server": str(folder / "server" / TOKEN_FILE),
        "the demo's devices": str(folder / "devices/device-1/enrolment.json"),
        "a topology of make up": "build/up/environment",
        "keys in another folder": f"elsewhere/targets{keys.SUFFIX}",
        "a token in another home": f"elsewhere/{TOKEN_FILE}",
        "another store": "elsewhere/enrolment.json",
        "passwords of docker compose": ".env",
        "secrets of Kubernetes": "deploy/kubernetes/secret.yaml",
    }


@pytest.mark.parametrize(("what", "path"), secret_places().items())
def test_git_ignores(what: str, path: str) -> None:
    done = subprocess.run(["git", "check-ignore", "--quiet", "--no-index", path], cwd=ROOT, check=False)
    if done.returncode == 128:
        pytest.skip("this is no git repository")
    assert done.returncode == 0, f"{what}: {path} could be committed"


def test_nothing_that_is_kept_is_ignored() -> None:
    done = subprocess.run(
        ["git", "ls-files", "-ci", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("this is no git repository")
    assert done.stdout == ""
