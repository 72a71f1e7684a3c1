"""One event is sent as Standard Webhooks say, and a receiver can neither hold nor redirect the sender."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from diffserver.errors import Undelivered
from diffserver.events import webhook
from diffserver.events.outbox import new_event
from diffserver.settings import Webhook
from diffserver.storage.column_types import utc_now
from tests.server.events.receiver import SECRET, Receiver

EVENT = new_event("rollout.completed", {"rollout": 7, "reason": "é"}, 7)


def test_a_receiver_verifies_what_it_gets(receiver: Receiver) -> None:
    assert webhook.send(receiver.webhook, EVENT) == 204
    assert receiver.ids == [EVENT.message_id]
    (body,) = receiver.bodies
    assert (body["type"], body["data"]) == ("rollout.completed", {"rollout": 7, "reason": "é"})
    assert body["timestamp"] == EVENT.created_at.isoformat()


def test_another_secret_does_not_verify() -> None:
    body = webhook.body_of(EVENT)
    headers = webhook.headers_of(Webhook("http://a", "whsec_" + "A" * 32), EVENT, body, utc_now())
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Verifier(SECRET).verify(body, headers)


@pytest.mark.parametrize("status", [302, 307, 400, 410, 500])
def test_only_success_is_delivery_and_no_redirect_is_followed(receiver: Receiver, status: int) -> None:
    receiver.answers = [status]
    with pytest.raises(Undelivered, match=f"^127.0.0.1 answered {status}"):
        webhook.send(receiver.webhook, EVENT)
    assert len(receiver.ids) == 1


def test_who_is_not_there_is_named_without_the_path() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(Undelivered, match=r"^127.0.0.1 can't be reached") as caught:
        webhook.send(Webhook(f"http://127.0.0.1:{port}/s3cret", SECRET), EVENT)
    assert "s3cret" not in str(caught.value)


@contextmanager
def raw(answer: Callable[[socket.socket], None]) -> Iterator[Webhook]:
    """A receiver that does with its one connection whatever it likes."""

    def accept() -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.recv(65536)
            answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept)
        thread.start()
        yield Webhook(f"http://127.0.0.1:{listening.getsockname()[1]}", SECRET)
        thread.join(5)
        assert not thread.is_alive(), "the sender is still there"


def test_a_receiver_that_trickles_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            connection.sendall(b"a")
            time.sleep(0.05)

    monkeypatch.setattr(webhook, "SECONDS", 0.5)
    began = time.monotonic()
    with raw(trickle) as slow, pytest.raises(Undelivered, match=r"did not answer in 0\.5 seconds"):
        webhook.send(slow, EVENT)
    assert time.monotonic() - began < 3


def test_a_body_without_end_is_not_read() -> None:
    def long(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\nmore")
        connection.recv(1)  # until the sender is gone

    with raw(long) as endless:
        assert webhook.send(endless, EVENT) == 200
