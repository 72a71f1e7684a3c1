"""The HTTP service of one process, built from its settings.

No training code is imported; trainings are left to workers, through the database.
"""

import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError

from diffserver import __version__
from diffserver.api import problems
from diffserver.api.guesses import Guesses
from diffserver.api.limits import WRITERS, BodyLimit, PollGate, Returns, WriteGate
from diffserver.api.parameters import only_known
from diffserver.api.quick_polls import QuickPolls
from diffserver.api.routes import (
    audit,
    blobs,
    channels,
    checkpoints,
    device,
    devices,
    health,
    metrics,
    models,
    rollouts,
    status,
    tokens,
    trainings,
    trust,
    webhook,
)
from diffserver.console.pages import mount
from diffserver.drain import Drain
from diffserver.events.delivery import PASS_SECONDS as DELIVERY_SECONDS
from diffserver.events.delivery import deliver
from diffserver.logs import Log, RequestLog, make_log
from diffserver.metrics.fleet import FleetFigures
from diffserver.metrics.process import ProcessCounts, RequestCounter
from diffserver.polls.memory import HEAR_SECONDS, Memory
from diffserver.polls.notes import WRITE_SECONDS, Notes
from diffserver.polls.together import Together
from diffserver.settings import Settings
from diffserver.storage import migrate, uploads
from diffserver.storage.database import connect
from diffserver.storage.object_store import AT_ONCE, Objects
from diffserver.trust.keys import Keyring
from diffserver.trust.renewal import PASS_SECONDS, Renewal
from diffserver.upkeep.repeating import Repeating
from diffserver.upkeep.rollouts import log_moves
from diffserver.upkeep.tallies import PASS_SECONDS as TALLY_SECONDS
from diffserver.upkeep.tallies import tally
from diffserver.upkeep.watch import ObjectWatch

SHED_SECONDS = 5
"""Whoever is refused may come back after so long, or later if many are."""
PARTS = (
    health,
    trust,
    blobs,
    device,
    models,
    devices,
    channels,
    checkpoints,
    trainings,
    rollouts,
    status,
    tokens,
    audit,
    metrics,
    webhook,
)


def create_app(settings: Settings, log: Log | None = None, own_worker: Callable[[], str] | None = None) -> FastAPI:
    """Return the service; raises NotMigrated or DatabaseTooNew unless the database has this release's tables.

    `own_worker` describes the state of the worker that was started with this process, if one was.
    """
    memory, objects = Memory(settings.remembered_devices), Objects(settings.objects, AT_ONCE)
    connected = connect(settings.database)
    migrate.check(connected)
    log = log or make_log()
    engine = connected.execution_options(on_change=memory.outdate)
    quick = engine.execution_options(wait_seconds=settings.write_seconds)
    notes, keyring = Notes(quick), Keyring(settings.keys)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        log.info("started", version=__version__, revision=migrate.latest())
        replica = _replica()
        renew = Renewal(engine, keyring, replica, log).look
        look = partial(log_moves, engine, keyring, replica, log)
        app.state.renewal = Repeating("renewal", renew, PASS_SECONDS, log, "metadata was not renewed")
        rollout_watch = Repeating("rollouts", look, settings.rollout_seconds, log, "rollouts were not looked at")
        noting = Repeating("notes", notes.write, WRITE_SECONDS, log, "that devices were seen is not written down")
        hear = partial(memory.hear, engine)
        hearing = Repeating("changes", hear, HEAR_SECONDS, log, "changes were not read", memory.outdated)
        threads = [app.state.renewal, rollout_watch, hearing, noting]
        threads.append(
            Repeating("tallies", partial(tally, engine, replica), TALLY_SECONDS, log, "devices were not counted")
        )
        if settings.webhook is not None:
            send = partial(deliver, engine, settings.webhook, replica, log)
            threads.append(Repeating("webhook", send, DELIVERY_SECONDS, log, "events were not looked for"))
        for thread in threads:
            thread.start()
        uploads.sweep(settings.home)
        yield
        for thread in threads:
            thread.stop()
        _last_notes(notes, log)
        engine.dispose()
        log.info("stopped")

    app = _Service(
        title="diffserver",
        version=__version__,
        summary="Serves neural diffs: compact payloads that turn a device's version into the next.",
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
        responses=problems.declared(400, 413, 422, 503),
        # Else it looks for providers of OpenTelemetry at each request, for an eighth of an idle poll's time.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings, app.state.objects = settings, objects
    app.state.engine, app.state.memory, app.state.notes = quick, memory, notes
    app.state.keyring = keyring
    app.state.watch, app.state.guesses = ObjectWatch(engine, objects, log), Guesses(settings.quotas.wrong_tokens)
    app.state.drain = Drain(settings.drain_seconds)
    app.state.own_worker = own_worker or (lambda: "none was started with this server")
    app.state.registry = CollectorRegistry()
    app.state.counts = ProcessCounts(app.state.registry, engine)
    app.state.registry.register(FleetFigures(engine, timedelta(seconds=settings.update_seconds)))
    app.state.gate = PollGate(settings.max_polls, SHED_SECONDS)
    app.state.writes = WriteGate(settings.write_seconds, SHED_SECONDS)
    come_back = Returns(WRITERS, SHED_SECONDS).seconds
    app.state.enrolments = Together(quick, device.enroll_all, come_back)
    app.state.reports = Together(quick, partial(device.record_all, limits=settings.quotas), come_back)
    for part in PARTS:
        app.include_router(part.router, dependencies=[Depends(only_known)])
    app.state.routes = [route for part in PARTS for route in part.router.routes]
    mount.add_to(app)
    problems.register(app)
    app.add_middleware(QuickPolls, memory=memory, notes=notes, poll_seconds=settings.poll_seconds)
    app.add_middleware(
        BodyLimit, limit=settings.max_body, large=checkpoints.router.prefix, large_limit=settings.max_checkpoint
    )
    app.add_middleware(RequestLog, log=log, idle_polls=settings.log_idle_polls, on_error=problems.answer)
    app.add_middleware(RequestCounter, counts=app.state.counts)
    return app


def _last_notes(notes: Notes, log: Log) -> None:
    try:
        notes.write()
    except SQLAlchemyError as error:
        log.warning("that devices were seen is not written down", error=str(error))


class _Service(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """Return the API's description, with the schema of problems added."""
        document = super().openapi()
        document["components"]["schemas"]["Problem"] = problems.Problem.model_json_schema()
        return document


def _replica() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def _operation_id(route: APIRoute) -> str:
    return route.name
