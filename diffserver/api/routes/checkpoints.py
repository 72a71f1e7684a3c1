"""Checkpoints: weights that were trained elsewhere, uploaded under their SHA-256 so that a training may use them."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from diffserver.api.access import Config, Operator, Store, TokenFirst
from diffserver.api.answers import BlobAnswer
from diffserver.api.problems import CALLER, declared
from diffserver.api.routes.blobs import BINARY, Sha256
from diffserver.checkpoints.checkpoint_file import Checkpoint
from diffserver.errors import CheckpointError
from diffserver.storage import uploads
from diffserver.storage.object_store import CHUNK, Objects

router = APIRouter(prefix="/v1/checkpoints", tags=["checkpoints"], route_class=TokenFirst)

BODY = {"requestBody": {"required": True, "content": {BINARY: {}}, "description": "A safetensors file."}}


@router.put("/{sha256}", status_code=201, openapi_extra=BODY, responses=declared(*CALLER, 422))
async def put_checkpoint(
    sha256: Sha256, request: Request, config: Config, objects: Store, _who: Operator
) -> BlobAnswer:
    """Store a safetensors file whose bytes have this SHA-256; what is there already is replaced."""
    with uploads.draft(config.home) as path:
        arrived = await _receive(request, path)
        if arrived != sha256:
            raise CheckpointError(
                f"what arrived, {path.stat().st_size} bytes, does not have that SHA-256, but {arrived}",
                "send the whole file again",
            )
        return await run_in_threadpool(_store, objects, path)


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
