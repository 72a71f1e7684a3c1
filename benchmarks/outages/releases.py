"""One version after another: trained by the worker, published over REST, again and again until told to stop."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.outages.operator import PAUSE_SECONDS, Operator, Refused, Unanswered
from benchmarks.outages.published import History
from benchmarks.outages.topology import MODEL
from tests.hostile.with_workers import ROOT

UPDATES = 120
"""Domains, each for one update: more than there is time for."""

EPOCHS = {"base": 8, "update": 3}


def deal(folder: Path) -> Path:
    """Write a base's domain with half of the gestures, and those of the updates with the other half; return it."""
    subprocess.run(
        [sys.executable, str(ROOT / "examples" / "gestures" / "make_data.py"), str(folder / "made")], check=True
    )
    for split in ("train", "test"):
        lines = [line for file in (folder / "made").glob(f"*/{split}.jsonl") for line in file.read_text().splitlines()]
        random.Random(split).shuffle(lines)
        half = len(lines) // 2
        parts = [lines[:half], *(lines[half + number :: UPDATES] for number in range(UPDATES))]
        for number, part in enumerate(parts):
            file = folder / "data" / f"{number:02d}" / f"{split}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"{line}\n" for line in part))
    return folder / "data"


class Releases:
    """The line of versions, and how its making went."""

    def __init__(self, operator: Operator, data: Path) -> None:
        self.history, self.accepted = History(), list[int]()
        self.publishes_failed = self.refused_candidates = 0
        self.publishing = threading.Event()
        self.faults: list[str] = []
        self.trainings_failed: list[str] = []
        self._operator, self._data = operator, data

    def run(self, ends: threading.Event) -> None:
        """Train and publish, one version after another."""
        while not ends.is_set():
            self.release()

    def release(self) -> None:
        """Train the next version, and publish what came of it unless something speaks against it."""
        try:
            training = self._ended(self._submitted())
            if training["state"] != "done":
                self.trainings_failed.append(f"{training['id']} is {training['state']}: {training['error']}")
                return
            candidate = self._operator.get(f"/v1/candidates/{training['candidate_id']}")
            if candidate["refusals"]:
                self.refused_candidates += 1
            else:
                self._publish(candidate)
        except Refused as refused:
            self.faults.append(str(refused))

    def _submitted(self) -> int:
        """Return the number of a training that is under way: one whose answer was lost is not asked for again."""
        kind = "update" if self.history.versions else "base"
        wish = {"kind": kind, "model": MODEL, "task": MODEL, "data": str(self._data), "epochs": EPOCHS[kind]}
        while True:
            newest = self._operator.get(f"/v1/trainings?model={MODEL}&newest=true&limit=1")["items"]
            if newest and newest[0]["state"] in ("queued", "running"):
                return int(newest[0]["id"])
            try:
                answer = self._operator.ask("POST", "/v1/trainings", {**wish, "max_regression": None}).json()
            except Unanswered:
                time.sleep(PAUSE_SECONDS)
                continue
            self.accepted.append(answer["id"])
            return int(answer["id"])

    def _ended(self, number: int) -> Any:
        while True:
            training = self._operator.get(f"/v1/trainings/{number}")
            if training["state"] not in ("queued", "running"):
                return training
            time.sleep(PAUSE_SECONDS)

    def _publish(self, candidate: Any) -> None:
        """Publish a candidate, asked for until it is acknowledged."""
        version, failed = self.history.begin(candidate["number"], candidate["digest"]), 0
        path = f"/v1/candidates/{candidate['id']}"
        self.publishing.set()
        while version.acknowledged_at is None:
            try:
                answer = self._operator.ask("POST", f"{path}/publish", {}).json()
                if (answer["number"], answer["digest"]) != (version.number, version.digest):
                    self.faults.append(f"published was {json.dumps(answer)[:200]}, and not {version}")
            except Unanswered:
                failed += 1
                time.sleep(PAUSE_SECONDS)
                continue
            except Refused:
                # The one before may have come through without its answer.
                if not failed or self._operator.get(path)["state"] != "published":
                    raise
            version.acknowledged_at = time.monotonic()
        self.publishing.clear()
        self.publishes_failed += failed
