"""An operator over REST who tells honest failures, nothing came or come back later, from wrong answers."""

from __future__ import annotations

import time
from typing import Any

import httpx2

PAUSE_SECONDS = 0.5

LONGEST_SECONDS = 120.0
"""Who has had no answer for so long is not asked for more patience."""


class Unanswered(Exception):
    """An honest failure: no connection, one that broke off, 429 or 5xx."""


class Refused(Exception):
    """Any other answer that is no success."""


class Operator:
    """A connection with an operator's token; `failures` counts the requests that went unanswered."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx2.Client(base_url=url, headers=headers, timeout=40)
        self._answered_at = time.monotonic()
        self.requests = self.failures = 0

    def ask(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        """Return the answer to a request; raises Unanswered, Refused."""
        self.requests += 1
        try:
            answer = self._client.request(method, path, json=body)
        except httpx2.TransportError as error:
            raise self._unanswered(f"{type(error).__name__}: {error}") from error
        if answer.status_code == 429 or answer.status_code >= 500:
            raise self._unanswered(f"{answer.status_code} {answer.text[:200]}")
        self._answered_at = time.monotonic()
        if not answer.is_success:
            raise Refused(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer

    def _unanswered(self, why: str) -> Exception:
        self.failures += 1
        silent = time.monotonic() - self._answered_at
        return Unanswered(why) if silent < LONGEST_SECONDS else Refused(f"no answer for {silent:.0f} s: {why}")

    def get(self, path: str) -> Any:
        """Return the JSON at a path, asked for until it comes; raises Refused."""
        while True:
            try:
                return self.ask("GET", path).json()
            except Unanswered:
                time.sleep(PAUSE_SECONDS)
