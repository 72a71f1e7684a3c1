"""The command line: what it prints, and the exit codes that scripts rely on."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from diffclient.cli.main import main
from diffclient.cli.output import ProgressLine
from diffclient.cli.pace import Pace
from diffclient.store.policy import Policy
from diffclient.store.store import Store
from tests.client import scripted_server
from tests.client.lineage import Lineage
from tests.client.repository import Repository
from tests.client.scripted_server import ENROL_TOKEN, ScriptedServer

ROOT = Path(__file__).parents[3]
SCORE = ["--score", "tests.client.lineage:classify"]


@dataclass(frozen=True)
class Cli:
    """Commands with --json on one store."""

    store: Path
    printed: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> tuple[int, Any, str]:
        """Run one command; return its exit code, the JSON on standard output, and standard error."""
        code = main([*arguments, "--store", str(self.store), "--json"])
        captured = self.printed.readouterr()
        assert captured.out.count("\n") == 1
        return code, json.loads(captured.out), captured.err


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(tmp_path / "store", capsys)


@pytest.fixture
def enrolled(cli: Cli, server: ScriptedServer) -> Cli:
    root = cli.store.with_name("root.json")
    root.write_bytes(server.repository.first_root)
    who = ["--token", ENROL_TOKEN, "--model", "commands", "--name", "kitchen"]
    code, printed, _ = cli("enroll", server.url + "/", *who, "--root", str(root))
    assert (code, printed["device_id"], printed["server"]) == (0, "device-1", server.url)
    return cli


def test_from_enrolment_to_rollback(enrolled: Cli, server: ScriptedServer, lineage: Lineage) -> None:
    assert enrolled("status")[1]["current"] is None
    for server.target in (0, 1):
        code, printed, _ = enrolled("update", *SCORE)
        assert (code, printed["action"], printed["digest"]) == (0, "installed", lineage.digest(server.target))
    assert enrolled("update", *SCORE)[1]["action"] == "none"
    status = enrolled("status")[1]
    current, previous = status["current"], status["previous"]
    assert (current["version"], previous["version"]) == (1, 0)
    assert current["error_rate_ppm"] == current["expected_error_rate_ppm"] == lineage.expected(1).error_rate_ppm
    assert current["drift_ppm"] == printed["drift_ppm"] > 0
    assert (status["name"], status["channel"], status["failure"]) == ("kitchen", "stable", None)
    assert enrolled("verify")[1]["digest"] == lineage.digest(1)
    assert enrolled("rollback")[1]["current"]["digest"] == lineage.digest(0)
    assert enrolled("update", *SCORE)[1]["action"] == "held_back"
    assert enrolled("status")[1]["held_back"] == lineage.digest(1)
    assert enrolled("update", "--force", *SCORE)[1]["action"] == "installed"


def test_errors_in_the_field_are_counted_and_told(enrolled: Cli, server: ScriptedServer, lineage: Lineage) -> None:
    count = ["field", "--errors", "3", "--total", "50"]
    assert enrolled(*count)[1]["error"] == "NothingKept"
    enrolled("update", *SCORE)
    for times in (1, 2):
        code, printed, _ = enrolled(*count)
        assert (code, printed["version"], printed["errors"], printed["total"]) == (0, 0, 3 * times, 50 * times)
    enrolled(*count, "--measure", "corrections")
    enrolled("update", *SCORE)
    told = [(report["to_digest"], report["errors"], report["measure"]) for report in server.reports[1:]]
    assert told == [(lineage.digest(0), 6, None), (lineage.digest(0), 3, "corrections")]


@pytest.mark.parametrize("wrong", [["--errors", "-1"], ["--total", "0"], ["--total", "9" * 12], ["--measure", ""]])
def test_what_is_no_count_is_wrong_usage(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["field", "--errors", "1", "--total", "2", *wrong])
    assert left.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_the_token_is_never_printed(enrolled: Cli) -> None:
    assert scripted_server.DEVICE_TOKEN not in json.dumps(enrolled("status"))


def test_people_get_sentences(
    enrolled: Cli, server: ScriptedServer, lineage: Lineage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enrolled("update", *SCORE)
    server.target = 1
    enrolled("update", *SCORE)
    assert main(["status", "--store", str(tmp_path / "store")]) == 0
    printed = capsys.readouterr().out
    figures = r"error rate [\d.]+ % measured \(\d+ of 400 vectors\), [\d.]+ % expected, drift \+"
    assert re.search(rf"in use   version 1, {lineage.digest(1)}, {figures}", printed)
    assert main(["verify", "--store", str(tmp_path / "store")]) == 0
    assert re.match(rf"every byte is in place: version 1, {lineage.digest(1)}, {figures}", capsys.readouterr().out)
    assert f"kept     version 0, {lineage.digest(0)}" in printed
    assert main(["rollback", "--store", str(tmp_path / "store")]) == 0
    assert capsys.readouterr().out.startswith("back to version 0")


def test_an_enrolment_needs_a_token(cli: Cli, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIFFCLIENT_TOKEN", raising=False)
    code, printed, complaint = cli("enroll", server.url, "--model", "commands", "--name", "n")
    assert (code, printed["error"]) == (2, "NoToken")
    assert "--token" in complaint


def test_a_root_is_not_taken_on_the_servers_word(cli: Cli, server: ScriptedServer, tmp_path: Path) -> None:
    who = ["enroll", server.url, "--token", ENROL_TOKEN, "--model", "commands", "--name", "n"]
    _, printed, complaint = cli(*who)
    assert printed["error"] == "NoRoot"
    assert "--root root.json" in complaint
    assert "--root-sha256" in complaint
    (tmp_path / "root").write_bytes(server.repository.first_root)
    wrong = [["--root-sha256", "0" * 64], ["--root", str(tmp_path)], ["--root", str(tmp_path / "absent")]]
    wrong.append(["--root", str(tmp_path / "root"), "--root-sha256", "0" * 64])
    for options in wrong:
        assert cli(*who, *options)[1]["error"] == "NoRoot"
    assert not any(request.path == "/v1/enroll" for request in server.seen)  # the token is not spent
    sha256 = hashlib.sha256(server.repository.first_root).hexdigest()
    assert cli(*who, "--root-sha256", sha256.upper())[0] == 0
    assert cli("update", *SCORE)[1]["action"] == "installed"


def test_a_server_of_another_root_is_refused(enrolled: Cli, server: ScriptedServer) -> None:
    server.repository = Repository("commands")
    server.sign()
    code, printed, _ = enrolled("update", *SCORE)
    assert (code, printed["stage"], printed["cause"], printed["at_fault"]) == (8, "trust", "BadSignature", "server")


def test_the_policy_is_kept_and_may_be_overruled(enrolled: Cli, server: ScriptedServer, lineage: Lineage) -> None:
    usual = json.loads(json.dumps(Policy().to_json()))
    assert enrolled("policy")[1] == usual
    printed = enrolled("policy", "--full-fallback", "never", "--max-bytes", "10", "--mirror", server.url + "/")[1]
    assert printed == usual | {"full_fallback": "never", "max_bytes": 10, "mirrors": [server.url]}
    assert enrolled("policy")[1] == printed
    assert enrolled("update", *SCORE)[1]["action"] == "withheld"
    printed = enrolled("update", *SCORE, "--full-fallback", "always")[1]
    assert (printed["stage"], printed["cause"]) == ("policy", "TooManyBytes")
    assert enrolled("update", *SCORE, "--full-fallback", "always", "--max-bytes", "0")[1]["action"] == "installed"
    assert enrolled("policy", "--max-bytes", "0", "--mirror", "")[1] == usual | {"full_fallback": "never"}
    assert enrolled("policy", "--patience", "0.5", "--least-speed", "7", "--max-seconds", "0")[1] == usual | {
        "full_fallback": "never",
        "patience": 0.5,
        "least_speed": 7,
        "max_seconds": 0,
    }


@pytest.mark.parametrize(
    ("options", "action"),
    [
        (["--metered"], "withheld"),
        (["--metered-check", "exit 0"], "withheld"),
        (["--metered-check", "no-such-command"], "withheld"),
        (["--metered-check", "exit 1"], "installed"),
        (["--metered-check", "sleep 600", "--patience", "0.3"], "withheld"),
    ],
    ids=str,
)
def test_a_metered_link(enrolled: Cli, options: list[str], action: str) -> None:
    assert enrolled("update", *SCORE, *options)[1]["action"] == action


def test_the_conformance_suites_command_is_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "conformance" not in capsys.readouterr().out


def test_errors_are_one_line_and_a_code(enrolled: Cli, server: ScriptedServer, lineage: Lineage) -> None:
    def fails(code: int, pattern: str, *arguments: str) -> Any:
        actual, answer, complaint = enrolled(*arguments)
        assert (actual, complaint.count("\n")) == (code, 1)
        assert re.match(f"diffclient: .*{pattern}", complaint)
        return answer

    assert fails(1, "diffclient update", "verify")["error"] == "NothingKept"
    fails(1, "nothing to return to", "rollback")
    enrolled("update", *SCORE)
    server.target = 1
    server.rewrite = lambda answer: answer | {"version": 9}
    printed = fails(8, "stage chain.*unchanged", "update", *SCORE)
    assert (printed["stage"], printed["cause"]) == ("chain", "BrokenChain")
    assert enrolled("status")[1]["failure"]["stage"] == "chain"
    server.heal()
    path = next(path for path in (enrolled.store / "objects").iterdir())
    path.write_bytes(b"rust")
    fails(6, path.name, "verify")
    with Store(enrolled.store).locked():
        fails(5, "another process", "update")
    server.fault("/device/poll", scripted_server.refuse(401))
    printed = fails(8, "401 out of order: a detail: come back later", "update")
    server.close()


def test_an_unreachable_server(cli: Cli) -> None:
    enroll = ["--token", "t", "--model", "m", "--name", "n", "--root-sha256", "0" * 64]
    assert cli("enroll", "http://127.0.0.1:1", *enroll)[0] == 4
    assert cli("enroll", "ftp://models.example.org", *enroll)[0] == 1
    assert cli("update")[0] == 2
    code, printed, _ = cli("status")
    assert (code, printed["enrolled"]) == (0, False)


def test_an_enrolment_that_is_refused(cli: Cli, server: ScriptedServer) -> None:
    sha256 = hashlib.sha256(server.repository.first_root).hexdigest()
    who = ["--token", "wrong", "--model", "m", "--name", "n", "--root-sha256", sha256]
    code, printed, complaint = cli("enroll", server.url, *who)
    assert (code, printed["error"], printed["status"]) == (1, "ServerRefused", 401)
    assert "enrol again" in complaint
    assert not cli("status")[1]["enrolled"]


def test_a_second_enrolment_needs_force(enrolled: Cli, server: ScriptedServer) -> None:
    root = str(enrolled.store.with_name("root.json"))
    again = ["enroll", server.url, "--token", ENROL_TOKEN, "--model", "commands", "--name", "hall", "--root", root]
    code, printed, complaint = enrolled(*again)
    assert (code, printed["error"]) == (2, "AlreadyEnrolled")
    assert "--force" in complaint
    assert enrolled("status")[1]["name"] == "kitchen"
    before = Store(enrolled.store).enrolment()
    assert enrolled(*again, "--force")[0] == 0
    assert enrolled("status")[1]["name"] == "hall"
    asked = [request for request in server.seen if request.path == "/v1/enroll"][-1]
    assert asked.body["replaces"] == before.token, "the server lists this device once"


@pytest.mark.parametrize("damage", ["of another server", "unreadable"])
def test_a_token_goes_to_no_other_server_than_its_own(enrolled: Cli, server: ScriptedServer, damage: str) -> None:
    kept, root = enrolled.store / "enrolment.json", str(enrolled.store.with_name("root.json"))
    elsewhere = kept.read_text().replace(server.url, "https://elsewhere.example.org")
    kept.write_text(elsewhere if damage == "of another server" else "{")
    again = ["enroll", server.url, "--token", ENROL_TOKEN, "--model", "commands", "--name", "hall", "--root", root]
    assert enrolled(*again, "--force", "--set", "region=eu", "--set", "group=a=b")[0] == 0
    (*_, last) = (request.body for request in server.seen if request.path == "/v1/enroll")
    assert last["attributes"] == {"region": "eu", "group": "a=b"}
    assert "replaces" not in last


def test_what_is_no_attribute_is_refused(cli: Cli, server: ScriptedServer, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli("enroll", server.url, "--token", "t", "--model", "m", "--name", "n", "--set", "region")
    assert "'region' is no attribute: give one like region=eu" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["explode"], ["enroll"], ["update", "--no-such-option"]])
def test_wrong_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2


def test_help_has_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert "diffclient enroll https://" in printed
    assert "exit codes:" in printed


def test_run_polls_until_it_is_stopped(enrolled: Cli, server: ScriptedServer, lineage: Lineage) -> None:
    """The real command, as a service manager runs and stops it."""
    server.rewrite = lambda answer: answer | {"poll_seconds": 1}
    server.fault("/device/poll", scripted_server.refuse(503, "0"), times=1)
    words = ["run", "--start-within", "0", "--store", str(enrolled.store), "--json", *SCORE]
    command = [sys.executable, "-m", "diffclient", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert (first["action"], first["digest"]) == ("installed", lineage.digest(0))
        assert 0.8 <= first["next_poll_seconds"] <= 1.2
        server.target = 2
        assert json.loads(process.stdout.readline())["digest"] == lineage.digest(2)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, json.loads(out)["error"]) == (130, "Stopped")
    assert err == "diffclient: stopped as asked; nothing was left half done\n"


def test_a_terminal_shows_progress(enrolled: Cli) -> None:
    main_end, terminal = pty.openpty()
    command = [sys.executable, "-m", "diffclient", "update", "--store", str(enrolled.store), *SCORE]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=terminal, text=True, check=True)
    os.close(terminal)
    shown = os.read(main_end, 1 << 16).decode()
    os.close(main_end)
    assert re.search(r"download [0-9a-f]{12}  100 % of [\d,]+ bytes", shown)
    assert shown.index("poll") < shown.index("probation") < shown.index("switch")
    assert shown.endswith("\r\x1b[K")  # and leaves nothing behind
    assert done.stdout.startswith("now at version 0")


def test_a_narrow_terminal_breaks_lines_between_words(enrolled: Cli, lineage: Lineage) -> None:
    enrolled("update", *SCORE)
    command = [sys.executable, "-m", "diffclient", "status", "--store", str(enrolled.store)]
    wide = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    main_end, terminal = pty.openpty()
    subprocess.run(command, cwd=ROOT, stdout=terminal, check=True, env={**os.environ, "COLUMNS": "60"})
    os.close(terminal)
    narrow = os.read(main_end, 1 << 16).decode().replace("\r", "")
    os.close(main_end)
    assert narrow.split() == wide.split()
    assert lineage.digest(0) in narrow
    lines = narrow.splitlines()
    assert all(len(line) <= 60 for line in lines if lineage.digest(0) not in line)
    assert len(lines) > len(wide.splitlines())


def test_a_file_gets_a_plain_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    show = ProgressLine(Pace(10, lambda: now[0]))
    for now[0] in (0.0, 9.0, 10.0, 12.0, 25.0):
        show(f"download \x1b[31m {now[0]:.0f} %")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "download ?[31m 10 %\ndownload ?[31m 25 %\n"


def test_a_fault_of_ours_is_one_line_too(tmp_path: Path) -> None:
    """No message of Python's own reaches people, unless they ask for it."""
    store = tmp_path / "store"
    store.mkdir()
    (store / "state.json").mkdir()  # nothing that this client does makes a folder there
    command = [sys.executable, "-m", "diffclient", "status", "--store", str(store)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert "Traceback" not in done.stderr
