"""`diffserver logs`: the lines of a training's log, as they are and as they come; and priorities."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from diffserver.catalog.jobs import lines
from diffserver.catalog.jobs.lines import NewLine
from diffserver.main import app as server
from diffserver.storage.column_types import utc_now
from tests.server.conftest import Service, Type


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    capsys.readouterr()
    server(list(words), standalone_mode=False)
    return capsys.readouterr().out.splitlines()


@pytest.fixture
def number(service: Service, typed: Type) -> int:
    """A training that waits, with a line in its log."""
    submitted = typed("train", "speech", "--data", "/data", "--priority", 7, "--detach")
    assert submitted["priority"] == 7
    say(service, submitted["id"], "a first line")
    training: int = submitted["id"]
    return training


def say(service: Service, number: int, text: str) -> None:
    lines.append(service.engine, [NewLine(number, utc_now(), "info", "w", text)])


@pytest.fixture
def typed(service: Service, typed: Type) -> Type:
    service.publish_chain(0)
    return typed


def test_logs_are_lines_of_text_or_of_json(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    (text,) = printed(capsys, "logs", str(number))
    assert text.endswith("info a first line")
    (line,) = map(json.loads, printed(capsys, "logs", str(number), "--json"))
    assert (line["number"], line["text"]) == (1, "a first line")


def test_logs_are_followed_to_the_last_words(
    service: Service, number: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile() -> Iterator[None]:
        say(service, number, "a second line")
        yield
        service.operator.delete(f"/v1/trainings/{number}")
        yield
        say(service, number, "last words")
        yield

    happens = meanwhile()
    monkeypatch.setattr("diffserver.cli.train.logs.time.sleep", lambda _: next(happens))
    shown = printed(capsys, "logs", str(number), "--follow")
    assert [line.rpartition("info ")[2] for line in shown] == ["a first line", "a second line", "last words"]


def test_trainings_show_their_priority(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    shown = "\n".join(printed(capsys, "trainings"))
    assert "priority" in shown
    assert " 7 " in shown
