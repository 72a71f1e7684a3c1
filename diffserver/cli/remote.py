"""An operator's client of the REST API: requests with a token, problems as errors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import httpx2

from diffserver.errors import DiffServerError

PAGE = 500
"""The items of a page: the most that a server gives."""
UPLOAD_TIMEOUT = 3600.0
"""Seconds to wait for the answer to an upload: the server first copies the file to its object store."""


class RemoteError(DiffServerError):
    """A server that refuses or cannot be reached; `problem` is its problem+json, if it sent one."""

    def __init__(self, detail: str, remedy: str, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail, remedy)
        self.problem = dict(problem or {})

    def members(self) -> Mapping[str, Any]:
        """Return the server's problem+json."""
        return self.problem


class Remote:
    """A connection to a server with an operator's token; a context manager."""

    def __init__(self, url: str, token: str, timeout: float = 60.0) -> None:
        """Keep connections to `url`, with this operator token."""
        self.url = url
        self._client = httpx2.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=timeout, follow_redirects=True
        )

    def __enter__(self) -> "Remote":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str, **query: str | int | list[str] | None) -> Any:
        """Return the JSON at a path; raises RemoteError."""
        parameters = {name: value for name, value in query.items() if value is not None}
        return self._json("GET", path, params=parameters)

    def pages(self, path: str, **query: str | int | list[str] | None) -> Iterator[Any]:
        """Yield all items of a list, page by page, as they come."""
        after: int | str | None = None
        while True:
            answer = self.get(path, after=after, limit=PAGE, **query)
            yield from answer["items"]
            after = answer["next"]
            if after is None:
                return

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send JSON, return JSON; raises RemoteError."""
        return self._json("POST", path, json=body)

    def put(self, path: str, pieces: Iterator[bytes], length: int) -> Any:
        """Send `length` raw bytes, return JSON; raises RemoteError."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
        return self._json("PUT", path, content=pieces, headers=headers, timeout=UPLOAD_TIMEOUT)

    def pieces(self, path: str) -> Iterator[bytes]:
        """Yield the bytes at a path as they come; raises RemoteError."""
        with self._translated(), self._client.stream("GET", path) as response:
            if not response.is_success:
                response.read()
                raise _refusal(response)
            yield from response.iter_bytes()

    def fetch(self, path: str) -> bytes:
        """Return the bytes at a path; raises RemoteError."""
        return b"".join(self.pieces(path))

    def exists(self, path: str) -> bool:
        """Tell whether a path exists; raises RemoteError."""
        with self._translated():
            response = self._client.head(path)
        return bool(response.is_success)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send what changes as JSON, return JSON; raises RemoteError."""
        return self._json("PATCH", path, json=body)

    def delete(self, path: str) -> Any:
        """Delete a path, return JSON if any comes; raises RemoteError."""
        return self._json("DELETE", path)

    def _json(self, method: str, path: str, **request: Any) -> Any:
        with self._translated():
            response = self._client.request(method, path, **request)
            if response.is_success:
                return response.json() if response.content else None
        raise _refusal(response)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise RemoteError(
                f"no answer from {self.url}: {error}",
                "start the server (`diffserver serve`) or pass --server",
            ) from error
        except ValueError as error:
            raise RemoteError(f"{self.url} does not answer in JSON", "is it a diffserver? pass --server") from error


def _refusal(response: httpx2.Response) -> RemoteError:
    try:
        problem = response.json()
        return RemoteError(problem["detail"], problem.get("remedy", ""), problem)
    except (ValueError, KeyError, TypeError):
        return RemoteError(f"the server answers {response.status_code}", "is it a diffserver? pass --server")
