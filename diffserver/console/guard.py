"""What stands before every page: who is signed in, whether a form is the console's own, and the headers of answers.

A request that changes something has to come from the console itself, by what the browser says of its origin, and
carry its session's form token. Errors become pages.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from diffserver.api.problems import STATUS
from diffserver.console import render, sessions
from diffserver.console.in_process import Api, Params, Refused
from diffserver.errors import DiffServerError, Forbidden
from diffserver.storage.database import reading
from diffserver.storage.tables import Token

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`, with which a browser does not say where a form comes from.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
PART = "X-Part"
"""The header of requests for a part of a page."""

FIELDS = 50
"""The most fields of a form."""


class SignedOut(Exception):
    """Nobody is signed in, or no longer."""


class ConsoleRoute(APIRoute):
    """A route of the console: forms of others are refused, errors are pages, and every answer has the headers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the checks around the handler."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                if request.method != "GET":
                    _require_own_origin(request)
                answer = await handle(request)
            except SignedOut:
                answer = _to_sign_in(request)
            except (DiffServerError, RequestValidationError, HTTPException) as error:
                answer = _error_page(request, error)
            for name, value in HEADERS.items():
                answer.headers.setdefault(name, value)
            return answer

        return guarded


@dataclass(frozen=True)
class Caller:
    """Who is signed in, what was typed into a form, and what can be done for them."""

    request: Request
    token: Token
    secret: str
    form: Mapping[str, str]

    def _api(self) -> Api:
        return Api(self.request.app, self.token, self.request.state.request_id)

    async def get(self, path: str, **params: str | int | bool | Sequence[str] | None) -> Any:
        """Return what the API answers; raises Refused."""
        return await self._api().call("GET", path, params)

    async def all(self, path: str, **params: Any) -> list[Any]:
        """Return the items of all pages of a list; raises Refused."""
        items: list[Any] = []
        after = None
        while True:
            found = await self.get(path, **params, limit=500, after=after)
            items += found["items"]
            after = found["next"]
            if after is None:
                return items

    async def send(self, method: str, path: str, body: object = None, params: Params | None = None) -> Any:
        """Have the API change something; raises Refused."""
        return await self._api().call(method, path, params, body)

    def may(self, role: str) -> bool:
        """Tell whether the role of who is signed in is this one, or more."""
        return sessions.ROLES.index(self.token.role) >= sessions.ROLES.index(role)

    def require(self, role: str) -> None:
        """Raise Forbidden unless they may."""
        if not self.may(role):
            raise Forbidden(f"this needs a token of role {role} or more, yours is a {self.token.role}'s", "ask one")

    def show(self, template: str, code: int = 200, /, **values: Any) -> Response:
        """Return a page."""
        form = sessions.form_token(self.secret)
        return render.page(self.request, template, code, token=self.token, form=form, may=self.may, **values)

    def go(self, path: str) -> Response:
        """Lead on to another page after something was done."""
        return RedirectResponse(path, 303)


async def _caller(request: Request) -> Caller:
    secret = request.cookies.get(cookie_name(request))
    token = await run_in_threadpool(_find, request, secret) if secret else None
    if token is None or secret is None:
        raise SignedOut
    request.state.token, request.state.token_id = token, token.id
    form = {} if request.method == "GET" else await read_form(request)
    if request.method != "GET" and not sessions.is_form_token(secret, form.pop("form_token", "")):
        raise Forbidden("the form is of another session", "go back, load the page again and try once more")
    return Caller(request, token, secret, form)


Operator = Annotated[Caller, Depends(_caller)]


async def read_form(request: Request) -> dict[str, str]:
    """Return a form's fields; raises HTTPException. Of fields of one name the last counts."""
    body = (await request.body()).decode("utf-8", "replace")
    try:
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=FIELDS))
    except ValueError as error:
        raise HTTPException(400, "the form has too many fields") from error


def is_secure(request: Request) -> bool:
    """Tell whether the browser came by TLS, as the proxy in front says (docs/proxy.md)."""
    return request.url.scheme == "https"


def cookie_name(request: Request) -> str:
    """Return the cookie's name: with TLS one that no other host of the domain can set."""
    return "__Host-diffserver" if is_secure(request) else "diffserver"


def _find(request: Request, secret: str) -> Token | None:
    with reading(request.app.state.engine) as session:
        return sessions.find(session, secret)


def _require_own_origin(request: Request) -> None:
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    # A proxy may pass the host on without its port.
    same = urlsplit(origin or "").hostname == request.url.hostname
    if site not in (None, "same-origin") or not same:
        raise Forbidden("the form does not come from this console", "use the console's own pages")


def _to_sign_in(request: Request) -> Response:
    if PART in request.headers:
        return Response(status_code=401)
    back = request.url.path if request.method == "GET" else "/"
    return RedirectResponse(f"/console/sign-in?next={quote(back)}", 303)


def _error_page(request: Request, error: Exception) -> Response:
    if isinstance(error, Refused):
        return render.error(request, error.status, error.detail, error.remedy)
    if isinstance(error, DiffServerError):
        status = next((STATUS[kind] for kind in type(error).mro() if kind in STATUS), 500)
        return render.error(request, status, error.detail, error.remedy)
    if isinstance(error, HTTPException):
        return render.error(request, error.status_code, error.detail, "go back and try once more")
    return render.error(request, 422, "the address or the form is not as the console makes it", "go to the overview")
