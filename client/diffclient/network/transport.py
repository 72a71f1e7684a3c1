"""HTTP with patience: one request at a time, typed errors, backoff with jitter.

Certificates are verified, as urllib3 does by default. Reading the bodies is left to `device_api` (JSON)
and `fetch` (blobs).
"""

from __future__ import annotations

import contextlib
import email.utils
import itertools
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import urllib3
from urllib3.exceptions import HTTPError, LocationValueError, MaxRetryError, ProtocolError, ResponseError

from diffclient import __version__
from diffclient.errors import (
    AnswerError,
    AnswerTooLong,
    DiffClientError,
    Interrupted,
    ServerBusy,
    ServerUnreachable,
)
from diffclient.network.messages import read_problem

T = TypeVar("T")
Response = urllib3.BaseHTTPResponse

CHUNK = 64 * 1024
_PROBLEM_LIMIT = 64 * 1024


@dataclass(frozen=True)
class Patience:
    """Retries and timeouts before an error reaches the caller; all times in seconds."""

    attempts: int = 4
    first_wait: float = 0.5
    longest_wait: float = 20.0
    connect_timeout: float = 10.0
    read_timeout: float = 30.0

    def wait(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row: doubling, with jitter."""
        longest = min(self.first_wait * 2.0 ** min(failures - 1, 30), self.longest_wait)
        return longest * random.uniform(0.5, 1.0)


class Transport:
    """A pool of connections and its patience; `pause` waits some seconds, and may raise to stop."""

    def __init__(self, patience: Patience | None = None, pause: Callable[[float], None] = time.sleep) -> None:
        self.patience = patience or Patience()
        self._pause = pause
        self._pool = urllib3.PoolManager()

    @contextlib.contextmanager
    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        redirects: int = 0,
    ) -> Iterator[Response]:
        """Yield the response to one request: status below 300, its body unread.

        Raises ServerUnreachable, ServerBusy, Interrupted, ServerRefused, AnswerError.
        """
        with _translated(url):
            response = self._pool.request(
                method,
                url,
                headers={"User-Agent": f"diffclient/{__version__}", "Accept-Encoding": "identity", **headers},
                body=body,
                preload_content=False,
                decode_content=False,
                retries=urllib3.Retry(
                    total=None,
                    connect=0,
                    read=0,
                    status=0,
                    other=0,
                    redirect=redirects,
                    raise_on_redirect=True,
                ),
                timeout=urllib3.Timeout(connect=self.patience.connect_timeout, read=self.patience.read_timeout),
            )
            with contextlib.closing(response):
                if response.status >= 300:
                    raise _refusal(response, url)
                yield response
                response.release_conn()

    def persist(self, attempt: Callable[[], T]) -> T:
        """Return what `attempt` returns, trying again while the server is unreachable and patience lasts."""
        for failures in itertools.count(1):
            try:
                return attempt()
            except ServerUnreachable as error:
                retry_after = error.retry_after if isinstance(error, ServerBusy) else None
                if failures >= self.patience.attempts or (retry_after or 0) > self.patience.longest_wait:
                    raise
                self._pause(max(self.patience.wait(failures), retry_after or 0))
        raise AssertionError  # pragma: no cover


def chunks(response: Response) -> Iterator[bytes]:
    """Yield a body as it arrives and as it was sent, at most 64 KiB at a time."""
    while chunk := response.read1(CHUNK, decode_content=False):
        yield chunk


def read_bounded(response: Response, limit: int) -> bytes:
    """Return a whole body of at most `limit` bytes; raises AnswerTooLong on a longer one."""
    body = bytearray()
    for chunk in chunks(response):
        body += chunk
        if len(body) > limit:
            raise AnswerTooLong(f"the server's answer is longer than {limit:,} bytes: it was not read on")
    return bytes(body)


@contextlib.contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except MaxRetryError as error:
        if isinstance(error.reason, ResponseError):
            raise AnswerError(f"{url} redirects too often") from error
        raise _unreachable(url, error.reason or error) from error
    except LocationValueError as error:
        raise AnswerError(f"{url} is not a URL that can be fetched") from error
    except ProtocolError as error:
        raise Interrupted(f"the connection to {url} broke off: {_cause(error)}; try again") from error
    except HTTPError as error:
        raise _unreachable(url, error) from error


def _unreachable(url: str, error: Exception) -> ServerUnreachable:
    return ServerUnreachable(f"cannot reach {url}: {_cause(error)}; check the network, then try again")


def _cause(error: Exception) -> str:
    """Return the innermost message of a nested connection error."""
    return str(error).rsplit(": ", 1)[-1].strip("'\") ") or type(error).__name__


def _refusal(response: Response, url: str) -> DiffClientError:
    if response.status < 400:
        return AnswerError(f"{url} answers {response.status}, a redirect that is not followed")
    problem = read_problem(response.status, response.reason or "", read_bounded(response, _PROBLEM_LIMIT))
    if response.status == 429 or response.status >= 500:
        return ServerBusy(f"the server cannot answer now: {problem}", _retry_after(response.headers))
    return problem


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Retry-After asks for, as a number or a date; None if it does not."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return None
