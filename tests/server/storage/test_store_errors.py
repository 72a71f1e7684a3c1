from collections.abc import Callable

import pytest

from diffserver.errors import Unavailable
from diffserver.storage.object_store import Objects
from diffserver.storage.store_errors import REMEDY, store_errors
from tests.server.s3_server import BUCKET


def test_what_a_store_refuses_has_a_cause_and_a_remedy_in_one_line(s3: Callable[[], str]) -> None:
    objects = Objects(s3().replace(BUCKET, "elsewhere"))
    with pytest.raises(Unavailable, match=r"does not answer as it should: .*404 Not Found") as raised, store_errors():
        list(objects.list_all())
    assert raised.value.remedy == REMEDY
    assert "\n" not in raised.value.detail
