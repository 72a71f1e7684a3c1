"""A receiver of webhooks for each test."""

from collections.abc import Iterator

import pytest

from tests.server.events.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made
