"""Checkpoints, graphs and diffs made elsewhere, uploaded under their SHA-256 so that a training may use them."""

import hashlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from diffclient.payload import frame
from diffserver.api.access import Config, Database, Publisher, Store, TokenFirst
from diffserver.api.answers import BlobAnswer
from diffserver.api.problems import CALLER, declared
from diffserver.api.routes.blobs import BINARY, Sha256
from diffserver.catalog import audit
from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.errors import CheckpointError
from diffserver.settings import Settings
from diffserver.storage import uploads
from diffserver.storage.database import writing
from diffserver.storage.object_store import CHUNK, Objects
from diffserver.storage.tables import Token

router = APIRouter(prefix="/v1/checkpoints", tags=["checkpoints"], route_class=TokenFirst)


Keep = Callable[[Path], BlobAnswer]
"""Stores a file if it is what it shall be; raises CheckpointError."""


def _body(what: str) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {BINARY: {}}, "description": what}}


@router.put(
    "/{sha256}",
    status_code=201,
    openapi_extra=_body("A safetensors file."),
    responses=declared(*CALLER),
)
async def put_checkpoint(
    sha256: Sha256, request: Request, config: Config, engine: Database, objects: Store, who: Publisher
) -> BlobAnswer:
    """Store a safetensors file whose bytes have this SHA-256; what is there already is replaced."""
    store = _recorded(partial(_store, objects), engine, who, "checkpoint.upload")
    return await _put(sha256, request, config, store)


@router.put(
    "/graphs/{sha256}",
    status_code=201,
    openapi_extra=_body("A graph (ONNX) without weights."),
    responses=declared(*CALLER),
)
async def put_graph(
    sha256: Sha256, request: Request, config: Config, engine: Database, objects: Store, who: Publisher
) -> BlobAnswer:
    """Store a graph whose bytes have this SHA-256; whether it takes a checkpoint's weights, the worker finds out."""
    store = _recorded(lambda path: BlobAnswer.model_validate(objects.put(path)), engine, who, "graph.upload")
    return await _put(sha256, request, config, store)


@router.put(
    "/diffs/{sha256}",
    status_code=201,
    openapi_extra=_body("A diff's payload (.ndiff)."),
    responses=declared(*CALLER),
)
async def put_diff(
    sha256: Sha256, request: Request, config: Config, engine: Database, objects: Store, who: Publisher
) -> BlobAnswer:
    """Store a payload whose bytes have this SHA-256; whether it fits a version, the worker finds out."""
    store = _recorded(partial(_store_diff, objects), engine, who, "diff.upload")
    return await _put(sha256, request, config, store)


def _recorded(keep: Keep, engine: Engine, who: Token, act: str) -> Keep:
    """Return what keeps a file and writes down that somebody sent it."""

    def kept(path: Path) -> BlobAnswer:
        blob = keep(path)
        with writing(engine) as session:
            audit.record(session, who, act, **blob.model_dump())
        return blob

    return kept


async def _put(sha256: str, request: Request, config: Settings, store: Keep) -> BlobAnswer:
    """Receive a file and store it; raises CheckpointError unless it has the SHA-256."""
    with uploads.draft(config.home) as path:
        arrived = await _receive(request, path)
        if arrived != sha256:
            raise CheckpointError(
                f"what arrived, {path.stat().st_size} bytes, does not have that SHA-256, but {arrived}",
                "send the whole file again",
            )
        return await run_in_threadpool(store, path)


async def _receive(request: Request, path: Path) -> str:
    """Write the body to a file as it comes, and return its SHA-256; raises CheckpointError if it breaks off."""
    digest = hashlib.sha256()
    try:
        with path.open("wb") as file:
            async for part in _gathered(request.stream()):
                digest.update(part)
                await run_in_threadpool(file.write, part)
    except ClientDisconnect as error:
        raise CheckpointError("the upload broke off", "send the whole file again") from error
    return digest.hexdigest()


async def _gathered(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield about a MiB at a time, so that few trips to another thread are needed."""
    waiting = bytearray()
    async for part in parts:
        waiting += part
        if len(waiting) >= CHUNK:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


def _store(objects: Objects, path: Path) -> BlobAnswer:
    """Keep the file if it is a checkpoint; raises CheckpointError."""
    Checkpoint(path)
    return BlobAnswer.model_validate(objects.put(path))


def _store_diff(objects: Objects, path: Path) -> BlobAnswer:
    """Keep the file if it begins as a payload does; the rest is read when it is applied. Raises CheckpointError."""
    with path.open("rb") as file:
        if not frame.begins(file.read(frame.HEADER.size)):
            raise CheckpointError("that is no diff", "send the .ndiff that was saved")
    return BlobAnswer.model_validate(objects.put(path))
