from pathlib import Path

import pytest

from diffserver.errors import SettingsError
from diffserver.settings import Settings


def test_defaults_lie_under_home(tmp_path: Path) -> None:
    settings = Settings.under(tmp_path)
    assert settings.database == f"sqlite:///{tmp_path}/diffserver.db"
    assert settings.objects == f"file://{tmp_path}/objects"
    assert (settings.host, settings.port, settings.poll_seconds) == ("127.0.0.1", 8080, 300)


def test_home_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environment({}).home == tmp_path / "diffserver-home"


def test_reads_every_variable(tmp_path: Path) -> None:
    environment = {
        "DIFFSERVER_HOME": str(tmp_path),
        "DIFFSERVER_DATABASE": "postgresql://user:pass@db/diffs",
        "DIFFSERVER_OBJECTS": "s3://bucket/prefix",
        "DIFFSERVER_HOST": "0.0.0.0",
        "DIFFSERVER_PORT": "9000",
        "DIFFSERVER_POLL_SECONDS": "60",
        "DIFFSERVER_MAX_POLLS": "7",
        "DIFFSERVER_MAX_BODY": "2048",
        "DIFFSERVER_MAX_CHECKPOINT": "4096",
        "DIFFSERVER_TASK_FILES": "/tasks/one.py, /tasks/two.py:Two,",
        "DIFFSERVER_KEYS": "/keys",
        "DIFFSERVER_WRITE_SECONDS": "1",
        "DIFFSERVER_MAX_CONNECTIONS": "2",
        "DIFFSERVER_HEADER_SECONDS": "3",
        "DIFFSERVER_BODY_SECONDS": "4",
        "DIFFSERVER_LEAST_SPEED": "5",
        "UNRELATED": "x",
    }
    assert Settings.from_environment(environment) == Settings(
        tmp_path, "postgresql+psycopg://user:pass@db/diffs", "s3://bucket/prefix", "0.0.0.0", 9000, 60, 7, 2048, 4096,
        ("/tasks/one.py", "/tasks/two.py:Two"), Path("/keys"), 1, 2, 3, 4, 5,
    )  # fmt: skip


def test_task_files_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = Settings.from_environment({"DIFFSERVER_TASK_FILES": "tasks/one.py:One"}).task_files
    assert found == (f"{tmp_path}/tasks/one.py:One",)


def test_an_empty_variable_counts_as_unset() -> None:
    assert Settings.from_environment({"DIFFSERVER_PORT": " "}).port == 8080


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("PORT", "٣"),
        ("POLL_SECONDS", "0"),
        ("MAX_POLLS", "1.5"),
        ("LEAST_SPEED", "0"),
        ("HEADER_SECONDS", "0"),
        ("MAX_BODY", "10"),
        ("DATABASE", "mysql://db/x"),
        ("DATABASE", "diffserver.db"),
        ("DATABASE", "sqlite://"),
        ("DATABASE", "sqlite:///:memory:"),
        ("OBJECTS", "ftp://host/x"),
        ("OBJECTS", "/var/objects"),
        ("TASK_FILES", "task"),
        ("TASK_FILES", "task.py:"),
        ("TASK_FILES", "package.module:Task"),
        ("TASK_FILES", "one.py two.txt"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"DIFFSERVER_{name} is '{value}'.*correct the variable"):
        Settings.from_environment({f"DIFFSERVER_{name}": value})
