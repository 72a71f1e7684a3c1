"""What a worker says of a training: which lines there are, and that no database holds it up."""

from __future__ import annotations

import io
import json
from itertools import count

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from diffserver.catalog import training_queue
from diffserver.catalog.jobs import lines
from diffserver.catalog.training_request import TrainingSpec
from diffserver.logs import make_log
from diffserver.pipeline.job import job_log
from diffserver.pipeline.job.job_log import JobLog, Lines
from diffserver.storage.database import connect, reading, writing


@pytest.fixture
def number(engine: Engine) -> int:
    with writing(engine) as session:
        return training_queue.submit(session, TrainingSpec("base", "m", "/data")).id


def said(engine: Engine, number: int) -> list[str]:
    with reading(engine) as session:
        return [f"{line.level} {line.text}" for line in lines.entries(session, number, 0, 10_000)]


def test_what_is_said_is_on_both_logs(engine: Engine, number: int) -> None:
    waiting, stream = Lines(engine, "w"), io.StringIO()
    log = JobLog(make_log(stream).bind(training=number), waiting, number)
    log.info("training starts", method="sparse", domain=None)
    log.warning("training failed", error="no data")
    try:
        raise RuntimeError("a cause")
    except RuntimeError:
        log.exception("training failed unexpectedly")
    assert said(engine, number) == [], "it is written in batches"
    waiting.flush()
    first, second, third, *trace = said(engine, number)
    assert (first, second) == ("info training starts: method=sparse", "warning training failed: error=no data")
    assert (third, trace[0]) == ("error training failed unexpectedly", "error Traceback (most recent call last):")
    assert trace[-1] == "error RuntimeError: a cause"
    own = [json.loads(line) for line in stream.getvalue().splitlines()]
    events = ["training starts", "training failed", "training failed unexpectedly"]
    assert [(line["event"], line["training"]) for line in own] == [(event, number) for event in events]


def test_progress_is_told_by_phases_and_now_and_then(
    engine: Engine, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = Lines(engine, "w")
    log = JobLog(make_log(io.StringIO()), waiting, number)
    clock = count(step=1.0)  # a second at each look
    monkeypatch.setattr("diffserver.pipeline.job.job_log.monotonic", lambda: next(clock))
    trial = "trial 2 of at most 3 (sparse at 1.50%)"
    for message in (
        "reads 0-base", "reads 1-wave", *(f"{trial}: step {n} of 150, loss 0.{n}" for n in range(1, 151)), "evaluates",
    ):  # fmt: skip
        log.progress(message)
    waiting.flush()
    told = [line.removeprefix("info ") for line in said(engine, number)]
    steps = [f"{trial}: step {n} of 150, loss 0.{n}" for n in (1, 61, 121)]
    assert told == ["reads 0-base", "reads 1-wave", *steps, "evaluates"]


def test_lines_wait_for_a_database_that_is_away(engine: Engine, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Lines(connect("sqlite:////no/such/folder/database.db"), "w")
    monkeypatch.setattr(job_log, "WAITING", 5)
    for place in range(9):
        waiting.add(number, "info", f"line {place}")
    for _ in range(2):
        with pytest.raises(OperationalError):
            waiting.flush()
    waiting._engine = engine
    waiting.flush()
    waiting.flush()
    assert said(engine, number) == [f"info line {place}" for place in range(5)], "in order, once, as many as have room"
