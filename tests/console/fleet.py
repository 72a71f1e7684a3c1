"""A server with a fleet of 10,000 in the middle of a rollout, which a browser visits."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from diffserver.app import create_app
from diffserver.catalog import tokens
from diffserver.catalog.tokens import Role
from diffserver.logs import make_log
from diffserver.rollouts import tallies
from diffserver.rollouts.target import reached
from diffserver.settings import Settings
from diffserver.storage import leases, migrate
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import reading, writing
from diffserver.storage.object_store import Objects
from diffserver.storage.tables import Attribute, Device, Report, Rollout, Tally
from diffserver.trust.bootstrap import establish
from diffserver.upkeep.rollouts import LEASE, move_on
from tests.server import factories
from tests.server.conftest import Service, closing_engine, listening

DEVICES = 10_000
HOSTILE = "<script>document.title='taken'</script><img src=x onerror=alert(1)>"
"""What an outsider may fill in."""


ROLES: tuple[Role, ...] = ("viewer", "publisher", "admin")


@dataclass(frozen=True)
class Visited:
    """A service that listens, and its tokens by role."""

    service: Service
    url: str
    tokens: dict[Role, str]
    rollout: int


@contextmanager
def fleet(home: Path, devices: int = DEVICES, rollout_seconds: int = 3600) -> Iterator[Visited]:
    """Serve a fleet whose channel is being led from version 1 to 2; the server looks at rollouts so often."""
    database = f"sqlite:///{home / 'server.db'}"
    objects = (home / "objects").as_uri()
    settings = replace(Settings.under(home), database=database, objects=objects, rollout_seconds=rollout_seconds)
    with closing_engine(database) as engine:
        migrate.upgrade(engine)
        establish(engine, settings)
        lines = io.StringIO()
        app = create_app(settings, make_log(lines))
        told = engine.execution_options(on_change=app.state.memory.outdate)
        with writing(told) as session:
            secrets = {role: tokens.create(session, role, f"anna-{role}")[1] for role in ROLES}
        operator = TestClient(app, headers={"Authorization": f"Bearer {secrets['admin']}"})
        service = Service(app, settings, told, Objects(settings.objects), lines, operator, operator)
        versions = service.publish_chain(1)
        with writing(told) as session:
            _enrol(session, devices, versions[1].digest, versions[0].digest)
        rollout = _in_rollout(service)
        with listening(app) as url:
            yield Visited(service, url, secrets, rollout)


def _enrol(session: Session, devices: int, digest: str, before: str) -> None:
    now, chance = utc_now(), random.Random(1)
    ids = [f"{number:024x}" for number in range(devices)]
    common: dict[str, object] = {
        "model": "speech",
        "channel": "stable",
        "previous": before,
        "client": "diffclient/0.1.0",
    }
    rows = [
        common
        | {
            "id": device,
            "name": HOSTILE if number == 0 else f"device-{number}",
            "digest": before if number % 97 == 0 else digest,
            "outcome": "failed" if number % 211 == 0 else "installed",
            "stage": "download" if number % 503 == 0 else None,
            "enrolled_at": now - timedelta(days=40),
            "last_seen": now - timedelta(minutes=chance.randrange(300)),
        }
        for number, device in enumerate(ids)
    ]
    session.execute(insert(Device), rows)
    session.execute(update(Device).where(Device.id == ids[0]).values(client=HOSTILE))
    session.add(Attribute(device_id=ids[0], name="region", value=HOSTILE[:100]))
    about = {"downloaded_bytes": 0, "created_at": now - timedelta(days=3)}
    installed = about | {"stage": "installed", "to_digest": digest, "from_digest": before, "downloaded_bytes": 21_000}
    failed = about | {"stage": "failed", "to_digest": digest, "failed_stage": "apply", "cause": "device"}
    session.execute(insert(Report), [installed | {"device_id": device} for device in ids])
    session.execute(insert(Report), [failed | {"device_id": device, "reason": HOSTILE} for device in ids[::211]])
    session.execute(insert(Report), [_field(device, digest, chance, about) for device in ids[:2000]])
    for hours in range(48, 0, -1):
        moved = min(devices, round(devices * (49 - hours) / 40))
        at = tallies.hour_of(now) - timedelta(hours=hours)
        counts = {0: devices - moved, 1: moved}
        session.add_all(Tally(model="speech", at=at, number=number, devices=n) for number, n in counts.items() if n)


def _field(device: str, digest: str, chance: random.Random, about: dict[str, object]) -> dict[str, object]:
    errors = sum(chance.random() < 0.05 for _ in range(40))
    return about | {"device_id": device, "stage": "field", "to_digest": digest, "errors": errors, "total": 40}


def _in_rollout(service: Service) -> int:
    """Publish version 2 in stages, and let the first stage's devices install it and count in the field."""
    candidate = service.record(factories.update("v1", "v2", 2)).id
    way = {"stages": ["10%", "50%", "100%"], "conditions": {"margin": 0.5}}
    assert service.operator.post(f"/v1/candidates/{candidate}/publish", json=way).status_code == 201
    with reading(service.engine) as session:
        rollout = session.scalars(select(Rollout).order_by(Rollout.id.desc())).first()
        assert rollout is not None
        come = reached(rollout)
        ids = session.scalars(select(Device.id).order_by(Device.id)).all()
    took = [device for device in ids if come.has(device, ())]
    install(service, took, rollout)
    chance, about = random.Random(2), {"downloaded_bytes": 0, "created_at": utc_now()}
    fresh = [device for device in took if int(device, 16) < 2000]
    stayed = [device for device in ids[:2000] if device not in set(took)]
    for part in range(8):
        for side, digest in ((fresh[part::8], rollout.to_digest), (stayed[part::8], rollout.from_digest)):
            with writing(service.engine) as session:
                session.execute(insert(Report), [_field(device, digest, chance, about) for device in side])
        move_on(service.engine, service.keyring, "test")
    leases.release(service.engine, LEASE, "test")  # from now on the server itself looks
    return rollout.id


def install(service: Service, devices: list[str], rollout: Rollout) -> None:
    """Let devices say that they installed a rollout's version."""
    with writing(service.engine) as session:
        held = {"digest": rollout.to_digest, "previous": rollout.from_digest}
        for start in range(0, len(devices), 500):
            session.execute(update(Device).where(Device.id.in_(devices[start : start + 500])).values(**held))
        said = {"stage": "installed", "to_digest": rollout.to_digest, "from_digest": rollout.from_digest}
        rows = [{"device_id": device, "downloaded_bytes": 19_000, **said} for device in devices]
        session.execute(insert(Report), rows)
