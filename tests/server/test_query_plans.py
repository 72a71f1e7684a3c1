"""The plans by which PostgreSQL answers what is asked often of a fleet: none may read one of its tables whole.

The gate, the ledger and a version's percentiles read all reports of a version, once in a while: they are not here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event

from benchmarks.enrolled import enrol, poll_of, token_of, vary
from diffserver.storage.database import writing
from tests.server.conftest import Databases, Service
from tests.server.rollouts.fleet import publish_in_stages
from tests.waiting import wait_for

DEVICES = 100_000
OF_THE_FLEET = frozenset({"devices", "device_attributes", "reports", "tokens"})
MIDDLE, SEEN = f"{DEVICES // 2:024x}", f"{17:024x}"

PAGES = [
    *(f"/v1/models/speech/devices?{query}" for query in (
        "", f"after={MIDDLE}", "search=kitchen", "behind=true", "stuck=true", "failed=true", "failed=true&stuck=true",
        "left=true", "channel=stable", "attribute=region=no", "attribute=region=eu", "behind=true&attribute=region=no",
    )),
    f"/v1/devices/{MIDDLE}", "/metrics", "/v1/tokens", "/v1/audit?model=speech", "/v1/audit?newest=true",
    "/v1/rollouts", "/v1/trainings?newest=true", "/v1/roles",
    "/v1/models/speech", "/v1/models/speech/versions", "/v1/models/speech/channels", "/v1/trainings", "/v1/candidates",
    "/v1/reports?model=speech", "/v1/models/speech/tallies",
]  # fmt: skip
"""What operators, their scripts and their instruments ask for again and again."""


@pytest.fixture
def databases(postgresql: Databases) -> Databases:
    return postgresql


@pytest.fixture
def fleet(service: Service) -> Service:
    before, digest = (version.digest for version in service.publish_chain(2)[1:])
    with writing(service.engine) as session:
        enrol(session, DEVICES, digest)
        vary(session, before)
    with service.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    return service


@contextmanager
def statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """The statements that are executed in the block, with their parameters."""
    found: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        found.append((statement, parameters[0] if many else parameters))

    event.listen(engine, "before_cursor_execute", note)
    yield found
    event.remove(engine, "before_cursor_execute", note)


def read_whole(node: dict[str, Any]) -> Iterator[str]:
    """The tables of the fleet that a plan reads from end to end."""
    if node["Node Type"] == "Seq Scan" and node["Relation Name"] in OF_THE_FLEET:
        yield node["Relation Name"]
    for below in node.get("Plans", []):
        yield from read_whole(below)


def planned_whole(engine: Engine, asked: list[tuple[str, Any]]) -> list[tuple[str, list[str]]]:
    """The statements by which a table of the fleet is read from end to end, with those tables."""
    found = []
    with engine.connect() as connection:
        for statement, parameters in asked:
            if statement.split()[0] in ("SELECT", "UPDATE", "DELETE", "INSERT", "WITH"):
                explained = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
                if tables := list(read_whole(explained[0]["Plan"])):
                    found.append((statement, tables))
    return found


def test_what_is_asked_often_of_a_fleet_reads_none_of_its_tables_whole(fleet: Service) -> None:
    device = fleet.client(token_of(17))
    seen: dict[str, dict[str, object]] = {
        "/v1/device/poll": poll_of(17, "0" * 64),
        "/v1/device/state": {"digest": "0" * 64, "previous": None},
        "/v1/device/reports": {"stage": "installed", "to_digest": "0" * 64, "report_id": "0" * 32},
    }
    whole = {"/v1/status": asked(fleet, fleet.operator, "GET", "/v1/status")}
    publish_in_stages(fleet, 3, "1%,100%")  # the first stage chooses by a hash of each device's id: counts take all
    whole |= {page: asked(fleet, fleet.operator, "GET", page) for page in PAGES}
    whole |= {path: asked(fleet, device, "POST", path, body) for path, body in seen.items()}
    whole["/v1/enroll"] = asked(fleet, fleet.operator, "POST", "/v1/enroll", {"model": "speech", "name": "hall"})
    whole["devices that were seen"] = noted(fleet, device, seen["/v1/device/poll"])
    assert not {path: found for path, found in whole.items() if found}


def noted(fleet: Service, device: TestClient, said: dict[str, object]) -> list[tuple[str, list[str]]]:
    """Poll until that is written down; return the statements by which a table of the fleet was read from end to end."""
    engine = fleet.app.state.engine
    with statements(engine) as executed:
        wait_for(lambda: device.post("/v1/device/poll", json=said).is_success and not fleet.app.state.notes.lacks(SEEN))
        wait_for(lambda: any("FROM json_to_recordset" in statement for statement, _ in executed))
    return planned_whole(engine, executed)


def asked(fleet: Service, client: TestClient, method: str, path: str, body: Any = None) -> list[tuple[str, list[str]]]:
    """Ask; return the statements by which a table of the fleet was read from end to end."""
    engine = fleet.app.state.engine
    with statements(engine) as executed:
        answer = client.request(method, path, json=body)
    assert answer.is_success, answer.text
    assert executed, path
    return planned_whole(engine, executed)
