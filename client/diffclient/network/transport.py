"""HTTP with patience: one request at a time, typed errors, backoff with jitter.

Certificates are verified. The choice of a proxy is left to `proxies`, the least speed of an answer to `pace`. Reading
the bodies is left to `device_api` (JSON) and `fetch` (blobs).
"""

from __future__ import annotations

import contextlib
import email.utils
import itertools
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, LocationValueError, ProtocolError, SSLError

from diffclient import __version__
from diffclient.errors import (
    AnswerError,
    AnswerTooLong,
    DiffClientError,
    Interrupted,
    ServerBusy,
    ServerUnreachable,
)
from diffclient.network.connections import paced, tls_context
from diffclient.network.messages import read_problem
from diffclient.network.pace import Pace
from diffclient.network.proxies import credentials, proxy_for

T = TypeVar("T")

CHUNK = 64 * 1024
_PROBLEM_LIMIT = 64 * 1024
_OF_ONE_HOST = ("Authorization", "If-Range")
"""Headers that no other host should see, or that mean nothing to it: each has ETags of its own."""


@dataclass(frozen=True)
class Patience:
    """Retries and timeouts before an error reaches the caller; all times in seconds."""

    attempts: int = 4
    first_wait: float = 0.5
    longest_wait: float = 20.0
    connect_timeout: float = 10.0
    """For the look-up of a name, for each of its addresses and for the TLS handshake."""
    read_timeout: float = 30.0
    """In it an answer has to begin, and then `least_bytes` of its body to arrive, again and again."""
    least_bytes: int = 3000
    answer_timeout: float = 300.0
    """For a whole answer, unless it is a blob: of those, the least speed is all that is asked for."""

    def wait(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row: doubling, with jitter."""
        longest = min(self.first_wait * 2.0 ** min(failures - 1, 30), self.longest_wait)
        return longest * random.uniform(0.5, 1.0)


@dataclass(frozen=True)
class Response:
    """An answer whose body has yet to come, `pieces` of it as they arrive."""

    status: int
    reason: str
    headers: Mapping[str, str]
    pieces: Iterator[bytes]


class Transport:
    """Connections and their patience; `pause` waits some seconds, and may raise to stop.

    `proxy` is the owner's choice of one, see `proxies`; certificates may also be vouched for by those in `ca_file`.
    """

    def __init__(
        self,
        patience: Patience | None = None,
        pause: Callable[[float], None] = time.sleep,
        proxy: str | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self.patience = patience or Patience()
        self._pause = pause
        self._proxy = proxy
        self._ca_file = ca_file
        self._pace = Pace(self.patience.read_timeout, self.patience.least_bytes)
        self._pools: dict[tuple[str | None, bool], urllib3.PoolManager] = {}

    @contextlib.contextmanager
    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        redirects: int = 0,
        seconds: float | None = None,
    ) -> Iterator[Response]:
        """Yield the response to one request: status below 300, its body unread.

        The whole answer may take `seconds`, or else the patience's. Raises ServerUnreachable, TooSlow, ServerBusy,
        Interrupted, ServerRefused, AnswerError, NoCertificates.
        """
        sent_headers = {"User-Agent": f"diffclient/{__version__}", "Accept-Encoding": "identity", **headers}
        with _translated(url):
            self._pace.begin(url, seconds or self.patience.answer_timeout)
            with contextlib.closing(self._request(method, url, sent_headers, body, redirects)) as raw:
                response = Response(raw.status, raw.reason or "", raw.headers, self._pieces(raw))
                if raw.status >= 300:
                    raise _refusal(response, url)
                yield response
                raw.release_conn()

    def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, redirects: int
    ) -> urllib3.BaseHTTPResponse:
        """Return the answer at `url`, or where it leads to; redirects are followed here so that no body is drained."""
        connect, read = self.patience.connect_timeout, self.patience.read_timeout
        try:
            raw = self._pool(url).request(
                method,
                url,
                headers=headers,
                body=body,
                preload_content=False,
                decode_content=False,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=connect, read=read),
            )
            location = raw.get_redirect_location() if redirects else None
            target = urljoin(url, location) if location else None
            carried = _carried(headers, url, target or url)
        except ValueError as error:
            raise AnswerError(f"{url} is not a URL that can be fetched, or redirects to none: {error}") from error
        if target is None:
            return raw
        raw.close()
        return self._request(method, target, carried, body, redirects - 1)

    def _pool(self, url: str) -> urllib3.PoolManager:
        """Return the connections for an address: by its proxy, and with certificates where there is TLS."""
        proxy = proxy_for(url, self._proxy)
        key = (proxy, url.startswith("https:") or (proxy or "").startswith("https:"))
        if key not in self._pools:
            context = tls_context(self._ca_file, self._pace) if key[1] else None
            manager = (
                urllib3.ProxyManager(
                    proxy, proxy_headers=credentials(proxy), ssl_context=context, proxy_ssl_context=context
                )
                if proxy
                else urllib3.PoolManager(ssl_context=context)
            )
            self._pools[key] = paced(manager, self._pace)
        return self._pools[key]

    def _pieces(self, raw: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        while piece := raw.read1(CHUNK, decode_content=False):
            self._pace.count(len(piece))
            yield piece

    def persist(self, attempt: Callable[[], T]) -> T:
        """Return what `attempt` returns, trying again while the server is unreachable and patience lasts."""
        for failures in itertools.count(1):
            try:
                return attempt()
            except ServerUnreachable as error:
                retry_after = error.retry_after if isinstance(error, ServerBusy) else None
                if failures >= self.patience.attempts or (retry_after or 0) > self.patience.longest_wait:
                    raise
                # Never sooner than asked, and not all at the same moment.
                self._pause(max(self.patience.wait(failures), (retry_after or 0) * random.uniform(1.0, 1.2)))
        raise AssertionError  # pragma: no cover


def read_bounded(response: Response, limit: int) -> bytes:
    """Return a whole body of at most `limit` bytes; raises AnswerTooLong on a longer one."""
    body = bytearray()
    for piece in response.pieces:
        body += piece
        if len(body) > limit:
            raise AnswerTooLong(f"the server's answer is longer than {limit:,} bytes: it was not read on")
    return bytes(body)


def _carried(headers: Mapping[str, str], url: str, target: str) -> Mapping[str, str]:
    """Return the headers that go on with a redirect, fewer if it leads to another host; raises ValueError."""
    if urlsplit(url)[:2] == urlsplit(target)[:2]:
        return headers
    return {name: value for name, value in headers.items() if name not in _OF_ONE_HOST}


@contextlib.contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except LocationValueError as error:
        raise AnswerError(f"{url} is not a URL that can be fetched") from error
    except ProtocolError as error:
        raise Interrupted(f"the connection to {url} broke off: {_cause(error)}; try again") from error
    except SSLError as error:
        raise ServerUnreachable(
            f"no safe connection to {url}: {_cause(error)}; certificates of a private authority are given by --ca-file"
        ) from error
    except HTTPError as error:
        raise ServerUnreachable(f"cannot reach {url}: {_cause(error)}; check the network, then try again") from error


def _cause(error: Exception) -> str:
    """Return the innermost message of a nested connection error."""
    return str(error).rsplit(": ", 1)[-1].strip("'\") ") or type(error).__name__


def _refusal(response: Response, url: str) -> DiffClientError:
    if response.status < 400:
        return AnswerError(f"{url} answers {response.status}, a redirect that is not followed")
    problem = read_problem(response.status, response.reason, read_bounded(response, _PROBLEM_LIMIT))
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
