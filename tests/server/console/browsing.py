"""A browser without pictures: it keeps cookies, says where its forms come from, and fills in their tokens."""

from __future__ import annotations

import re
from typing import Any

from starlette.testclient import TestClient

from tests.server.conftest import Service

ORIGIN = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}


class Browser:
    """One that somebody sits at."""

    def __init__(self, service: Service, base: str = "http://testserver") -> None:
        self.client = TestClient(service.app, base_url=base, follow_redirects=False)
        self.origin = ORIGIN | {"Origin": base}

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=headers)

    def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> Any:
        """Send a form as the console makes it, unless it is said otherwise."""
        given = self.origin if headers is None else headers
        return self.client.post(path, data={"form_token": self.form_token(), **fields}, headers=given)

    def form_token(self) -> str:
        found = re.search(r'name="form_token" value="([0-9a-f]+)"', self.get("/").text)
        return found[1] if found else ""

    def sign_in(self, token: str, **fields: str) -> Any:
        return self.client.post("/console/sign-in", data={"token": token, **fields}, headers=self.origin)


def signed_in(service: Service, role: Any) -> Browser:
    browser = Browser(service)
    assert browser.sign_in(service.token(role, f"a {role}".replace(" ", "-"))).status_code == 303
    return browser
