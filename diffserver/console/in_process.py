"""The public API, asked in process on behalf of who is signed in: the same endpoints, checks and log lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
from starlette.types import ASGIApp, Receive, Scope, Send

from diffserver.api.failures import Failed, Failure
from diffserver.storage.tables import Token

Params = Mapping[str, str | int | bool | Sequence[str] | None]


class Api:
    """The API as one operator sees it."""

    def __init__(self, app: ASGIApp, token: Token, request_id: str) -> None:
        async def signed_in(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": {"signed_in": token}}, receive, send)

        self._transport = httpx2.ASGITransport(app=signed_in)
        self._headers = {"X-Request-ID": request_id}

    async def call(self, method: str, path: str, params: Params | None = None, body: object = None) -> Any:
        """Return an endpoint's answer; raises Failed."""
        known = {name: value for name, value in (params or {}).items() if value is not None}
        async with httpx2.AsyncClient(
            transport=self._transport, base_url="http://console", headers=self._headers
        ) as client:
            answer = await client.request(method, path, params=known, json=body)
        if answer.is_error:
            raise Failed(_failure(answer))
        return answer.json() if answer.content else None


def _failure(answer: httpx2.Response) -> Failure:
    problem = answer.json()
    headers = {name: value for name, value in answer.headers.items() if name == "retry-after"}
    return Failure(answer.status_code, problem["type"], problem["detail"], problem["remedy"], headers=headers)
