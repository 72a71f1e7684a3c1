"""What stands before every page: who is signed in, whether a form is the console's own, and the headers of answers.

A request that changes something has to come from the console itself, by what the browser says of its origin, and
carry its session's form token. Failures become pages, those that nothing expected too.
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
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from diffserver.api.failures import Failure, failure_of
from diffserver.console import render, sessions
from diffserver.console.in_process import Api, Params
from diffserver.errors import DiffServerError, Forbidden, Invalid
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
    """A route of the console: forms of others are refused, failures are pages, and every answer has the headers."""

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
            except RequestValidationError as error:
                raise Invalid("the address or the form is not as the console makes it", "go to the overview") from error
            return _with_headers(answer)

        return guarded

    @staticmethod
    def tell(scope: Scope, failure: Failure) -> Response:
        """Return a failure as a page; the service calls it for those that reach it."""
        return _with_headers(render.failure(Request(scope), failure))


def _with_headers(answer: Response) -> Response:
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


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
        """Return what the API answers; raises Failed."""
        return await self._api().call("GET", path, params)

    async def all(self, path: str, **params: Any) -> list[Any]:
        """Return the items of all pages of a list; raises Failed."""
        items: list[Any] = []
        after = None
        while True:
            found = await self.get(path, **params, limit=500, after=after)
            items += found["items"]
            after = found["next"]
            if after is None:
                return items

    async def send(self, method: str, path: str, body: object = None, params: Params | None = None) -> Any:
        """Have the API change something; raises Failed."""
        return await self._api().call(method, path, params, body)

    def may(self, role: str) -> bool:
        """Tell whether the role of who is signed in is this one, or more."""
        return sessions.ROLES.index(self.token.role) >= sessions.ROLES.index(role)

    def require(self, role: str) -> None:
        """Raise Forbidden unless they may."""
        if not self.may(role):
            raise Forbidden(f"this needs a token of role {role} or more, yours is a {self.token.role}'s", "ask one")

    def show(
        self, template: str, code: int = 200, /, problem: DiffServerError | None = None, **values: Any
    ) -> Response:
        """Return a page; with what speaks against the form that was sent, if something does."""
        failure = failure_of(problem) if problem else None
        values |= {"token": self.token, "form": sessions.form_token(self.secret), "may": self.may, "problem": failure}
        answer = render.page(self.request, template, failure.status if failure else code, **values)
        answer.headers.update(failure.headers if failure else {})
        return answer

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
    """Return a form's fields; raises Invalid. Of fields of one name the last counts."""
    body = (await request.body()).decode("utf-8", "replace")
    try:
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=FIELDS))
    except ValueError as error:
        raise Invalid("the form has too many fields", "go back, load the page again and try once more") from error


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
