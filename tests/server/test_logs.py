import io
import json
from pathlib import Path

import pytest

from diffserver.logs import make_log
from tests.server.conftest import Service, publish_chain


def test_a_line_is_json_with_a_time_and_a_level() -> None:
    stream = io.StringIO()
    make_log(stream).warning("lost", training=3)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["training"]) == ("lost", "warning", 3)
    assert line["timestamp"].endswith("Z")


class _Written(io.StringIO):
    """A stream that keeps what is written to it, piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return super().write(text)


def test_a_line_is_written_at_once_so_that_no_other_comes_between() -> None:
    stream = _Written()
    make_log(stream).info("one")
    make_log(stream).info("two")
    assert [json.loads(piece)["event"] for piece in stream.pieces if piece.endswith("\n")] == ["one", "two"]
    assert len(stream.pieces) == 2


def test_each_request_is_one_line_that_says_who_and_what(service: Service) -> None:
    publish_chain(service.engine, 0)
    device = service.device()
    before = len(service.logged())
    answer = device.post("/v1/device/poll", json={"digest": None}, headers={"X-Request-ID": "from-the-proxy"})
    (line,) = service.logged()[before:]
    assert answer.headers["x-request-id"] == line["request_id"] == "from-the-proxy"
    assert (line["event"], line["method"], line["path"]) == ("request", "POST", "/v1/device/poll")
    assert (line["status"], line["token_id"]) == (200, 2)
    assert line["device_id"] in service.operator.get("/v1/models/speech/devices").text
    assert line["ms"] >= 0


def test_the_path_is_a_template_and_nothing_secret_is_written(service: Service) -> None:
    publish_chain(service.engine, 0)
    service.operator.get("/v1/models/speech/versions?after=0")
    service.public.get("/v1/secret-path?token=swordfish", headers={"Authorization": "Bearer ds_operator_guess"})
    assert [line["path"] for line in service.logged()[-2:]] == ["/v1/models/{model}/versions", "unknown"]
    text = service.lines.getvalue()
    secret = service.operator.headers["authorization"].removeprefix("Bearer ")
    assert not any(word in text for word in (secret, "guess", "secret-path", "swordfish", "after"))


def test_a_strange_request_id_is_replaced(service: Service) -> None:
    answer = service.public.get("/healthz", headers={"X-Request-ID": '"; drop'})
    assert answer.headers["x-request-id"] == service.logged()[-1]["request_id"]
    assert len(answer.headers["x-request-id"]) == 16


def test_what_nobody_foresaw_is_logged_and_answered_without_details(service: Service) -> None:
    service.app.state.objects = None
    answer = service.public.get(f"/v1/blobs/{'0' * 64}")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert "NoneType" not in answer.text
    failed, request = service.logged()[-2:]
    assert (failed["event"], request["status"]) == ("failed", 500)
    assert "'NoneType' object has no attribute" in failed["exception"]
    assert problem["request_id"] == failed["request_id"] == request["request_id"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full needs Linux")
def test_a_log_that_cannot_be_written_costs_lines_and_nothing_else() -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - to close it fails
    make_log(full).info("lost")
    with pytest.raises(OSError, match="No space"):
        full.close()
