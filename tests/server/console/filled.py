"""A service with something to see on every page, and script in every field that an outsider can fill."""

from __future__ import annotations

from typing import Any

from diffserver.catalog import training_queue, workers
from diffserver.catalog.jobs import losses
from diffserver.catalog.jobs.lines import NewLine, append
from diffserver.catalog.jobs.losses import NewLoss
from diffserver.storage.column_types import utc_now
from tests.server import factories
from tests.server.conftest import Service
from tests.server.rollouts.fleet import enrolled

SCRIPT = "<script>alert(1)</script>"
SETS = ("base", "athletes", "artists", "places", SCRIPT)
TRIAL = {
    "budget": 0.02, "regression": 0.4, "payload_bytes": 20_000, "payload_share": 0.02, "density": 0.07, "levels": 15,
    "steps": (0.001, 0.004), "seconds": 12.0, "trained": True,
}  # fmt: skip
LAST = 4
"""The newest version; a candidate for the next one stands beside it, and a worse one."""


def fill(service: Service, devices: int = 20) -> None:
    """A model with versions, candidates, devices that measured, a training that runs, one that failed."""
    for number in range(LAST + 1):
        service.publish(_made(number))
    service.record(_made(LAST + 1))
    refusals = [f"payload is 2.31% of the model, over the budget of 2.00% {SCRIPT}", "base loses 6.20 points of WER"]
    service.record(_made(LAST + 1, "worse", refusals=refusals, notes=[SCRIPT]))
    _measure(service, devices)
    _train(service)
    service.operator.post("/v1/tokens", json={"role": "viewer", "name": "berta"})


def _made(number: int, label: str = "", **facts: Any) -> Any:
    facts |= {"evaluation": _evaluation(number), "domains": SETS[: number + 1], "notes": facts.get("notes", [])}
    if number == 0:
        return factories.base(**facts)
    drift = {"drift": 0.2 * number, "mean_error_rate": 5.0 + number / 2}
    tried = [
        {**TRIAL, "method": "full", **drift, "drift": 0.0, "budget": None, "payload_bytes": None, "chosen": False},
        {**TRIAL, "method": "sparse", **drift, "chosen": True},
    ]
    return factories.update(f"v{number - 1}", label or f"v{number}", number, tried=tried, **facts)


def _evaluation(number: int) -> dict[str, Any]:
    def count(errors: int) -> dict[str, int]:
        return {"errors": errors, "total": 400}

    return {
        name: {
            "parent": count(20 + 60 * (place == number)) if number else None,
            "candidate": count(14 + number + place),
        }
        for place, name in enumerate(SETS[: number + 1])
    }


def _measure(service: Service, devices: int) -> None:
    digest, before = (factories.digest(f"v{number}") for number in (LAST, LAST - 1))
    for place, device in enumerate(enrolled(service, devices)):
        device.report("installed", to_digest=digest, error_rate_ppm=27_000 + 400 * place, reason=SCRIPT)
        device.report("field", to_digest=before, errors=5, total=100)
        device.report("field", to_digest=digest, errors=5 + place % 3, total=100)


def _train(service: Service) -> None:
    body = {"kind": "update", "model": "speech", "data": "/data/speech", "domain": "foods"}
    runs, fails, _ = (service.operator.post("/v1/trainings", json=body).json()["id"] for _ in range(3))
    for number in (runs, fails):
        workers.seen(service.engine, f"worker {number}", 600)
        claimed = training_queue.claim(service.engine, f"worker {number}", 600)
        assert claimed is not None
        assert claimed.id == number
    points = [NewLoss("", step, round(2 / (1 + step / 40), 3)) for step in range(1, 240)]
    texts = [f"step {point.step} of 400, loss {point.loss}" for point in points[::20]]
    losses.append(service.engine, runs, f"worker {runs}", points)
    said = [NewLine(runs, utc_now(), "info", f"worker {runs}", text) for text in [*texts, SCRIPT]]
    append(service.engine, said)
    training_queue.heartbeat(service.engine, runs, f"worker {runs}", 0.55, texts[-1])
    training_queue.fail(service.engine, fails, f"worker {fails}", f"no train.jsonl in the folder {SCRIPT}")
