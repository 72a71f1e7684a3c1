"""Blobs: payloads, snapshots, graphs and parts of the probe set, by their SHA-256.

Public and immutable, so that any cache may carry them; a device knows the digest from a manifest. Payloads
come from rows, all else from the object store; both are streamed in pieces. Whoever asks for the whole gets its last
piece only if all of it is what its name says; a part can't be checked here. Where the server redirects, objects come
from their store itself, and whoever fetches them is the only one to check them.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Header, Path, Request
from sqlalchemy import Engine, func, select
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response, StreamingResponse

from diffserver.api.access import Config, Database, Store, Watch
from diffserver.api.fields import DIGEST, PATTERN_DIGEST
from diffserver.api.problems import declared
from diffserver.api.ranges import Unsatisfiable, known, wanted
from diffserver.errors import BlobLost, NotFound
from diffserver.storage.database import reading
from diffserver.storage.object_store import CHUNK, Objects
from diffserver.storage.tables import Payload
from diffserver.upkeep.watch import ObjectWatch

router = APIRouter(prefix="/v1/blobs", tags=["blobs"])

BINARY = "application/octet-stream"

TELL = "tell its operator to run: diffserver verify --repair"

Sha256 = Annotated[str, Path(pattern=PATTERN_DIGEST, examples=[DIGEST])]
Conditional = Annotated[str | None, Header()]


@router.get(
    "/{sha256}",
    response_class=Response,
    responses={
        200: {"description": "All bytes.", "content": {BINARY: {}}},
        206: {"description": "The part that `Range` asks for.", "content": {BINARY: {}}},
        304: {"description": "The caller has these bytes."},
        307: {"description": "The bytes are in the object store, for a while at `Location`."},
        **declared(404, 416),
    },
)
@router.head(
    "/{sha256}",
    response_class=Response,
    operation_id="head_blob",
    summary="Head Blob",
    responses={
        206: {"description": "The part that `Range` asks for."},
        304: {"description": "The caller has these bytes."},
        **declared(404, 416),
    },
)
def get_blob(
    sha256: Sha256,
    request: Request,
    engine: Database,
    objects: Store,
    watch: Watch,
    config: Config,
    range: Conditional = None,
    if_range: Conditional = None,
    if_none_match: Conditional = None,
) -> Response:
    """Bytes by their SHA-256: all of them, or the single part that `Range` asks for."""
    place = _find(engine, objects, watch, sha256)
    length = place.length
    etag = f'"{sha256}"'
    headers = _headers(sha256, etag)
    if known(etag, if_none_match):
        return Response(status_code=304, headers=headers)
    try:
        span = wanted(length, etag, range, if_range)
    except Unsatisfiable as error:
        beyond = {"Content-Range": str(error)}
        raise HTTPException(416, "the range begins behind the last byte", beyond) from error
    start, stop = (span.start, span.stop) if span else (0, length)
    if span:
        headers["Content-Range"] = span.content_range
    headers["Content-Length"] = str(stop - start)
    status = 206 if span else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=BINARY)
    if config.redirects and not place.row:
        return RedirectResponse(objects.signed_url(sha256), 307, {"Cache-Control": "no-store"})
    request.state.kind = "payload" if place.row else "object"
    pieces = _row_pieces(engine, sha256, start, stop) if place.row else objects.stream(sha256, start, stop)
    if (start, stop) == (0, length):
        pieces = watch.checked(pieces, sha256, place.tag)
    return StreamingResponse(pieces, status, headers, media_type=BINARY)


@dataclass(frozen=True)
class _Place:
    """The place of a blob; an object has a tag that changes when it is written."""

    row: bool
    length: int
    tag: str | None = None


def _find(engine: Engine, objects: Objects, watch: ObjectWatch, sha256: str) -> _Place:
    with reading(engine) as session:
        length = session.scalar(select(Payload.length).where(Payload.sha256 == sha256))
    if length is not None:
        place = _Place(True, length)
    elif stored := objects.find(sha256):
        place = _Place(False, stored.length, stored.tag)
    else:
        raise _absent(watch, sha256)
    if watch.is_damaged(sha256, place.tag):
        raise BlobLost(f"blob {sha256} is damaged on the server", TELL)
    return place


def _absent(watch: ObjectWatch, sha256: str) -> NotFound:
    what = watch.name_of(sha256)
    if what is None:
        return NotFound(f"there is no blob {sha256}", "poll again for the manifests that hold now")
    return BlobLost(f"blob {sha256}, the {what}, is missing on the server", TELL)


def _row_pieces(engine: Engine, sha256: str, start: int, stop: int) -> Iterator[bytes]:
    # A session for each piece, over before it is sent: a slow reader must not hold a connection for minutes.
    for place in range(start, stop, CHUNK):
        piece = func.substr(Payload.data, place + 1, min(CHUNK, stop - place))
        with reading(engine) as session:
            data = session.execute(select(piece).where(Payload.sha256 == sha256)).scalar_one()
        yield data


def _headers(sha256: str, etag: str) -> dict[str, str]:
    return {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "public, max-age=31536000, immutable",
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:",
        "X-Content-Type-Options": "nosniff",
    }
