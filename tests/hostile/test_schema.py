"""What /openapi.json says is what is answered, whoever asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.served import served

pytest.importorskip("schemathesis", reason="generated requests need schemathesis: pip install 'diffserver[dev]'")

from tests.hostile.schema import walk

SECONDS = 120.0


@pytest.mark.long
def test_nothing_is_answered_that_is_not_declared(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        tally = walk(server, server.roles(), SECONDS)
    assert tally.requests > 500
    assert {200, 201, 401, 403, 404, 422} <= {status for _, status in tally.statuses}
    assert (dict(tally.undeclared), tally.server_errors) == ({}, 0)
