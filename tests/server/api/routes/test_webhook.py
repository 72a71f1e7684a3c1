"""The webhook over HTTP and by the commands: what became of events, and a trial."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from diffserver.cli.remote import RemoteError
from diffserver.events import outbox
from diffserver.settings import Settings
from diffserver.storage.column_types import utc_now
from diffserver.storage.database import writing
from tests.server.conftest import Service
from tests.server.events.receiver import SECRET, Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def settings(settings: Settings, receiver: Receiver) -> Settings:
    return replace(settings, webhook=receiver.webhook)


def test_a_trial_is_sent_at_once(receiver: Receiver, typed: Callable[..., Any]) -> None:
    answer = typed("webhook", "test")
    assert answer == {"host": "127.0.0.1", "message_id": receiver.ids[0], "status": 204}
    assert receiver.types == ["webhook.test"]


def test_a_trial_that_fails_says_why(receiver: Receiver, typed: Callable[..., Any]) -> None:
    receiver.answers = [403]
    with pytest.raises(RemoteError, match=r"127\.0\.0\.1 answered 403.*DIFFSERVER_WEBHOOK_URL"):
        typed("webhook", "test")


def test_what_became_of_events_is_shown_without_secrets(service: Service, typed: Callable[..., Any]) -> None:
    event = outbox.new_event("rollout.started", {"rollout": 1}, 1)
    with writing(service.engine) as session:
        session.add(event)
        session.flush()
        outbox.failed(event, "127.0.0.1 answered 500", utc_now())
    shown = typed("webhook", "show")
    (told,) = shown["events"]
    assert (shown["host"], shown["waiting"], shown["given_up"]) == ("127.0.0.1", 1, 0)
    assert (told["type"], told["tries"], told["error"]) == ("rollout.started", 1, "127.0.0.1 answered 500")
    assert SECRET not in str(shown)
    assert "s3cret" not in str(shown)


class TestWithoutOne:
    """A server that has no webhook."""

    @pytest.fixture
    def receiver(self) -> None:
        return None

    @pytest.fixture
    def settings(self, tmp_path: Any, database_url: str) -> Settings:
        return replace(Settings.under(tmp_path), database=database_url)

    def test_a_trial_is_refused(self, service: Service) -> None:
        answer = service.operator.post("/v1/webhook/test")
        assert answer.status_code == 409
        assert answer.json()["detail"] == "the server has no webhook"
        assert service.operator.get("/v1/webhook").json()["host"] is None
