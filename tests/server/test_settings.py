import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import diffserver
from diffserver import settings
from diffserver.errors import SettingsError
from diffserver.settings import Quotas, Retention, Settings, Webhook

SECRET = "whsec_" + 32 * "A"


def test_defaults_lie_under_home(tmp_path: Path) -> None:
    found = Settings.under(tmp_path)
    assert found.database == f"sqlite:///{tmp_path}/diffserver.db"
    assert found.objects == f"file://{tmp_path}/objects"
    assert (found.host, found.port, found.poll_seconds) == ("127.0.0.1", 8080, 300)


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
        "DIFFSERVER_LEASE_SECONDS": "30",
        "DIFFSERVER_SAVE_SECONDS": "0",
        "DIFFSERVER_WRITE_SECONDS": "1",
        "DIFFSERVER_MAX_CONNECTIONS": "2",
        "DIFFSERVER_HEADER_SECONDS": "3",
        "DIFFSERVER_BODY_SECONDS": "4",
        "DIFFSERVER_LEAST_SPEED": "5",
        "DIFFSERVER_UPDATE_SECONDS": "6",
        "DIFFSERVER_ROLLOUT_SECONDS": "7",
        "DIFFSERVER_REMEMBERED_DEVICES": "8",
        "DIFFSERVER_DRAIN_SECONDS": "9",
        "DIFFSERVER_REDIRECTS": "1",
        "DIFFSERVER_LOG_IDLE_POLLS": "1",
        "DIFFSERVER_REPORTS_PER_HOUR": "1",
        "DIFFSERVER_REPORTS_PER_DAY": "2",
        "DIFFSERVER_WRONG_TOKENS": "3",
        "DIFFSERVER_KEEP_REPORTS": "4",
        "DIFFSERVER_KEEP_REPORTS_EACH": "5",
        "DIFFSERVER_KEEP_CANDIDATES": "6",
        "DIFFSERVER_KEEP_TRAININGS": "7",
        "DIFFSERVER_KEEP_UPLOADS": "8",
        "DIFFSERVER_KEEP_DEVICES": "9",
        "DIFFSERVER_KEEP_TOKENS": "10",
        "DIFFSERVER_KEEP_AUDIT": "11",
        "DIFFSERVER_KEEP_EVENTS": "12",
        "DIFFSERVER_WEBHOOK_URL": "https://hooks.example.org/a/path",
        "DIFFSERVER_WEBHOOK_SECRET": SECRET,
        "UNRELATED": "x",
    }
    assert Settings.from_environment(environment) == Settings(
        tmp_path, "postgresql+psycopg://user:pass@db/diffs", "s3://bucket/prefix", "0.0.0.0", 9000, 60, 7, 2048, 4096,
        ("/tasks/one.py", "/tasks/two.py:Two"), Path("/keys"), 30, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, True, True,
        Quotas(1, 2, 3), Retention(4, 5, 6, 7, 8, 9, 10, 11, 12), Webhook("https://hooks.example.org/a/path", SECRET),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "secret", "named"),
    [
        ("https://hooks.example.org/s3cret", "", "SECRET"),
        ("", SECRET, "URL"),
        ("hooks.example.org/s3cret", SECRET, "URL"),
        ("file:///s3cret", SECRET, "URL"),
        ("https://hooks.example.org/s3cret", "s3cret", "SECRET"),
        ("https://hooks.example.org/s3cret", "whsec_s3cret", "SECRET"),
        ("https://hooks.example.org/s3cret", "whsec_é", "SECRET"),
        ("http://[s3cret", SECRET, "URL"),
    ],
)
def test_a_webhook_that_cannot_work_is_refused_and_not_repeated(url: str, secret: str, named: str) -> None:
    with pytest.raises(SettingsError, match=f"^DIFFSERVER_WEBHOOK_{named} is no") as caught:
        Settings.from_environment({"DIFFSERVER_WEBHOOK_URL": url, "DIFFSERVER_WEBHOOK_SECRET": secret})
    assert "s3cret" not in str(caught.value)


def test_what_is_shown_of_a_webhook_holds_no_secret() -> None:
    webhook = Webhook("https://hooks.example.org/s3cret", SECRET)
    assert webhook.host == "hooks.example.org"
    assert SECRET not in repr(webhook)


def test_redirects_need_a_store_that_has_urls(tmp_path: Path) -> None:
    wanted = {"DIFFSERVER_HOME": str(tmp_path), "DIFFSERVER_REDIRECTS": "1"}
    with pytest.raises(SettingsError, match=f"nobody can download from file://{tmp_path}/objects itself"):
        Settings.from_environment(wanted)
    assert Settings.from_environment(wanted | {"DIFFSERVER_REDIRECTS": "0"}).redirects is False


def test_task_files_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = Settings.from_environment({"DIFFSERVER_TASK_FILES": "tasks/one.py:One"}).task_files
    assert found == (f"{tmp_path}/tasks/one.py:One",)


def test_what_is_given_stands_in_place_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFSERVER_HOME", "/elsewhere")
    monkeypatch.setenv("DIFFSERVER_PORT", "9000")
    assert Settings.of_process(home=str(tmp_path), port="") == Settings.from_environment(
        {"DIFFSERVER_HOME": str(tmp_path), "DIFFSERVER_PORT": "9000"}
    )


def test_folders_and_secrets_of_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "KEYS", "PASSPHRASE"):
        monkeypatch.delenv(f"DIFFSERVER_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "diffserver-home"
    assert (settings.home_folder(), settings.keys_folder(), settings.secret("passphrase")) == (
        home,
        home / "keys",
        None,
    )
    for name, value in (("HOME", "server"), ("PASSPHRASE", " a b ")):
        monkeypatch.setenv(f"DIFFSERVER_{name}", value)
    assert (settings.home_folder(), settings.keys_folder()) == (tmp_path / "server", tmp_path / "server" / "keys")
    assert settings.secret("passphrase") == " a b "
    monkeypatch.setenv("DIFFSERVER_KEYS", "stick")
    assert settings.keys_folder() == Settings.of_process().keys == tmp_path / "stick"


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
        ("KEEP_UPLOADS", "0"),
        ("REPORTS_PER_DAY", "0"),
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


def reads_of_the_environment(code: str) -> Iterator[int]:
    """The lines that take the environment otherwise than to hand it on to a child process, as `env=`."""
    tree = ast.parse(code)
    handed_on = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "env"
        for inner in ast.walk(node)
    }
    # What a library is to find there is set, not read.
    handed_on |= {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "setdefault"
    }
    for node in ast.walk(tree):
        named = {getattr(node, part, None) for part in ("attr", "id", "name")}
        if named & {"environ", "environb", "getenv", "getenvb"} and id(node) not in handed_on:
            yield node.lineno  # type: ignore[attr-defined]  # what has a name has a line


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("import os\nos.environ['A']", [2]),
        ("from os import getenv\n", [1]),
        ("import os\nrun(words, env=os.environ | {})", []),
        ("import os\nos.environ.setdefault('A', 'b')", []),
    ],
)
def test_reads_are_found(code: str, lines: list[int]) -> None:
    assert list(reads_of_the_environment(code)) == lines


def test_no_other_module_reads_the_environment() -> None:
    modules = set(Path(diffserver.__file__).parent.rglob("*.py")) - {Path(settings.__file__)}
    found = {str(path): list(reads_of_the_environment(path.read_text())) for path in modules}
    assert {path: lines for path, lines in found.items() if lines} == {}
