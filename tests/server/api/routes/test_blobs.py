from dataclasses import replace
from hashlib import sha256
from urllib.parse import quote

import pytest
import urllib3

from diffserver.api.routes import blobs
from diffserver.storage.object_store import CHUNK, Objects
from tests.server import factories
from tests.server.conftest import Service, record, release

OBJECT = bytes(range(256)) * 9000
UPDATE = factories.update("v0", "v1", 1)


def url(data: bytes) -> str:
    return f"/v1/blobs/{sha256(data).hexdigest()}"


@pytest.fixture(params=["payload", "file", "s3"])
def data(request: pytest.FixtureRequest, service: Service) -> bytes:
    """Bytes that are served: a payload row, and an object of more than one piece, in a folder or at S3."""
    if request.param == "s3":
        service.app.state.objects = Objects(request.getfixturevalue("s3")())
    if request.param != "payload":
        service.app.state.objects.put(OBJECT)
        return OBJECT
    service.publish_chain(0)
    release(service.engine, UPDATE)
    assert UPDATE.payload is not None
    return UPDATE.payload


def test_all_bytes_with_headers_that_let_any_cache_keep_them(service: Service, data: bytes) -> None:
    answer = service.public.get(url(data))
    assert (answer.status_code, answer.content) == (200, data)
    assert answer.headers["etag"] == f'"{sha256(data).hexdigest()}"'
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-length"] == str(len(data))
    assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("header", ["bytes=0-0", "bytes=1000-", "bytes=-10", "bytes=5000-6000"])
def test_a_part(service: Service, data: bytes, header: str) -> None:
    answer = service.public.get(url(data), headers={"Range": header})
    assert answer.status_code == 206
    span, _, total = answer.headers["content-range"].removeprefix("bytes ").partition("/")
    first, last = map(int, span.split("-"))
    assert answer.content == data[first : last + 1]
    assert (int(total), int(answer.headers["content-length"])) == (len(data), last - first + 1)


def test_a_download_resumes_where_it_stopped(service: Service, data: bytes) -> None:
    etag = service.public.head(url(data)).headers["etag"]
    got = data[:1234]
    rest = service.public.get(url(data), headers={"Range": f"bytes={len(got)}-", "If-Range": etag})
    assert got + rest.content == data


def test_a_part_of_other_bytes_is_never_sent(service: Service, data: bytes) -> None:
    answer = service.public.get(url(data), headers={"Range": "bytes=5-", "If-Range": '"other"'})
    assert (answer.status_code, answer.content) == (200, data)


def test_a_range_behind_the_end(service: Service, data: bytes) -> None:
    answer = service.public.get(url(data), headers={"Range": f"bytes={len(data)}-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(data)}")
    assert answer.headers["content-type"] == "application/problem+json"


def test_who_has_the_bytes_gets_none(service: Service, data: bytes) -> None:
    etag = f'"{sha256(data).hexdigest()}"'
    answer = service.public.get(url(data), headers={"If-None-Match": etag, "Range": "bytes=0-5"})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(("header", "status"), [({}, 200), ({"Range": "bytes=2-3"}, 206)])
def test_head_is_get_without_the_bytes(service: Service, data: bytes, header: dict[str, str], status: int) -> None:
    got, head = (getattr(service.public, method)(url(data), headers=header) for method in ("get", "head"))
    assert (head.status_code, head.content) == (status, b"")
    skipped = {"x-request-id"}
    assert {*head.headers.items()} - {*got.headers.items()} <= {(name, head.headers[name]) for name in skipped}


@pytest.mark.parametrize("name", ["abc", "0" * 63, "A" * 64, "g" * 64, "../" * 21 + "x", "\x00" * 64, "0" * 64 + "\n"])
def test_what_is_no_digest_is_refused(service: Service, name: str) -> None:
    answer = service.public.get(f"/v1/blobs/{quote(name, safe='')}")
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_unknown_digest(service: Service) -> None:
    answer = service.public.get(url(b"nothing"))
    assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")


def test_a_payload_is_served_only_once_it_is_published(service: Service) -> None:
    service.publish_chain(0)
    candidate = record(service.engine, UPDATE)
    assert candidate.payload is not None
    path = f"/v1/blobs/{candidate.payload.sha256}"
    assert service.public.get(path).status_code == 404
    service.operator.post(f"/v1/candidates/{candidate.id}/publish", json={})
    assert service.public.get(path).content == UPDATE.payload


def test_a_large_payload_is_read_in_pieces(service: Service) -> None:
    service.publish_chain(0)
    large = bytes(range(256)) * ((2 * CHUNK + 1024) // 256)
    manifest = {**UPDATE.manifest, "payload": {"sha256": sha256(large).hexdigest(), "length": len(large)}}
    release(service.engine, factories.update("v0", "v1", 1, payload=large, manifest=manifest))
    assert service.public.get(url(large)).content == large
    middle = service.public.get(url(large), headers={"Range": f"bytes={CHUNK - 5}-{2 * CHUNK + 5}"})
    assert middle.content == large[CHUNK - 5 : 2 * CHUNK + 6]


def test_a_slow_reader_holds_no_connection_to_the_database(service: Service) -> None:
    payload = service.publish_chain(1)[1].candidate.payload
    assert payload is not None
    pieces = blobs._row_pieces(service.engine, payload.sha256, 0, payload.length)
    assert next(pieces)
    assert service.engine.pool.status().endswith("Current Checked out connections: 0")


@pytest.mark.parametrize("objects_url", ["s3"], indirect=True)
def test_whoever_is_redirected_downloads_from_the_store_itself(service: Service) -> None:
    service.app.state.settings = replace(service.settings, redirects=True)
    service.objects.put(OBJECT)
    public, etag = service.public, f'"{sha256(OBJECT).hexdigest()}"'
    led = public.get(url(OBJECT), headers={"Range": "bytes=5-8"}, follow_redirects=False)
    assert (led.status_code, led.content, led.headers["cache-control"]) == (307, b"", "no-store")
    there = urllib3.request("GET", led.headers["location"], headers={"Range": "bytes=5-8"})
    assert (there.status, there.data) == (206, OBJECT[5:9])
    assert public.head(url(OBJECT), follow_redirects=False).headers["content-length"] == str(len(OBJECT))
    assert public.get(url(OBJECT), headers={"If-None-Match": etag}, follow_redirects=False).status_code == 304
    assert public.get(url(b"nothing"), follow_redirects=False).status_code == 404
    service.publish_chain(0)
    release(service.engine, UPDATE)
    assert UPDATE.payload is not None
    assert public.get(url(UPDATE.payload), follow_redirects=False).content == UPDATE.payload
