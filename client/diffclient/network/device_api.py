"""A device's JSON calls to the server: enrol, poll, say what is here, report.

Blobs are left to `fetch`, the messages' fields to `messages`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from diffclient import __version__
from diffclient.errors import AnswerError, NetworkError, ServerRefused
from diffclient.network.boot import boot_id
from diffclient.network.holding import Holding
from diffclient.network.messages import Answer, Enrolment, read_answer, read_enrolment
from diffclient.network.report import Report
from diffclient.network.transport import Transport, read_bounded
from diffclient.release.target_names import check_model

ANSWER_LIMIT = 4 << 20


def enroll(
    transport: Transport,
    server: str,
    token: str,
    *,
    model: str,
    name: str,
    channel: str = "stable",
    attributes: Mapping[str, str] | None = None,
    replaces: str | None = None,
) -> Enrolment:
    """Enrol this device at `server` with an enrolment token; return the enrolment that it polls with.

    `attributes` is what operators shall know of it by name, such as its region. `replaces` is the token of an enrolment
    that this one takes the place of: that one leaves the server's lists. Raises NetworkError, AnswerError,
    ManifestError. One attempt: a second one might enrol the device twice.
    """
    server = base_url(server)
    check_model(model)
    more = {"attributes": dict(attributes or {}), "replaces": replaces}
    body = {"model": model, "name": name, "channel": channel} | {key: value for key, value in more.items() if value}
    enrolment = read_enrolment(_post(transport, f"{server}/v1/enroll", token, body), server, name)
    if enrolment.model != model:
        raise AnswerError(f"the server enrols this device for {enrolment.model[:40]!r}, not for {model}")
    return enrolment


class Service:
    """The server as an enrolled device sees it."""

    def __init__(self, transport: Transport, enrolment: Enrolment) -> None:
        self._transport = transport
        self._enrolment = enrolment

    @property
    def model(self) -> str:
        """The model that this device is enrolled for."""
        return self._enrolment.model

    def poll(self, holding: Holding, *, full_fallback: bool = True, without: Sequence[str] = ()) -> Answer:
        """Say what is here and whether a snapshot is allowed; return what should run.

        `without` names steps that failed, and asks for a way that leaves them out. Raises NetworkError, AnswerError.
        """
        body = _said(holding) | {"full_fallback": full_fallback}
        if without:
            body["without"] = list(without)
        return read_answer(self._transport.persist(lambda: self._post("/v1/device/poll", body)))

    def tell(self, holding: Holding) -> bool:
        """Say what is here, in one attempt, since the next poll says it anyway; return whether the server answers."""
        try:
            self._post("/v1/device/state", _said(holding))
        except ServerRefused:
            return True  # one of an earlier release
        except (NetworkError, AnswerError):
            return False
        return True

    def deliver(self, reports: Sequence[Report]) -> tuple[Report, ...]:
        """Deliver reports, oldest first, each in one attempt; return those that have to wait."""
        for number, report in enumerate(reports):
            try:
                self._post("/v1/device/reports", report.to_json())
            except ServerRefused:
                continue  # it will not take this one later either
            except (NetworkError, AnswerError):
                return tuple(reports[number:])
        return ()

    def _post(self, path: str, body: object) -> bytes:
        return _post(self._transport, self._enrolment.server + path, self._enrolment.token, body)


def base_url(server: str) -> str:
    """Return the server's address without a trailing slash; raises AnswerError unless it is http(s)."""
    try:
        parts = urlsplit(server)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
    except ValueError:
        sound = False
    if not sound:
        raise AnswerError(f"{server!r} is not a server's address: give one like https://models.example.org")
    return server.rstrip("/")


def _said(holding: Holding) -> dict[str, object]:
    return holding.to_json() | {"client": f"diffclient/{__version__}", "boot": boot_id()}


def _post(transport: Transport, url: str, token: str, body: object) -> bytes:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with transport.open("POST", url, headers, json.dumps(body, allow_nan=False).encode()) as response:
        return read_bounded(response, ANSWER_LIMIT)
