"""Pages from templates: escaped values, figures as people read them, and the navigation."""

from __future__ import annotations

import functools
import json
from datetime import datetime
from http import HTTPStatus
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from diffserver import __version__
from diffserver.api.failures import Failure
from diffserver.choices import rollouts
from diffserver.choices.channels import STABLE
from diffserver.console import charts
from diffserver.console.terms import terms_of


@functools.cache
def environment() -> Environment:
    """Return the templates; whatever they show is escaped."""
    made = Environment(
        loader=PackageLoader("diffserver.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "bytes": in_bytes,
        "count": in_digits,
        "share": share,
        "when": when,
        "short": short,
        "plain": plain,
        "terms_of": terms_of,
        "begun": begun,
    }
    made.globals |= {"charts": charts, "version": __version__, "usual": rollouts, "stable": STABLE}
    return made


def page(request: Request, template: str, code: int = 200, /, **values: Any) -> Response:
    """Return a template as an answer, with its status code."""
    form = values.pop("form", None)
    values.setdefault("token", None)
    values.setdefault("may", lambda _role: False)
    hidden = Markup('<input type="hidden" name="form_token" value="{}">').format(form or "")
    links = request.app.state.console_links
    made = environment().get_template(template)
    return HTMLResponse(made.render(links=links, path=request.url.path, form_token=lambda: hidden, **values), code)


def failure(request: Request, failure: Failure) -> Response:
    """Return the page of a failure: its cause, and what to do."""
    title, ids = HTTPStatus(failure.status).phrase, request.scope.get("state", {}).get("request_id")
    told = page(request, "error.html", failure.status, title=title, failure=failure, request_id=ids)
    told.headers.update(failure.headers)
    return told


def in_bytes(number: float | None) -> str:
    """Return a number of bytes with three digits and its unit."""
    if number is None:
        return "–"
    size, units = float(number), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size, units = size / 1000, units[1:]
    digits = f"{size:.0f}" if units[0] == "bytes" or size >= 99.5 else f"{size:.3g}"
    return f"{digits} {units[0]}"


def in_digits(number: float | None) -> str:
    """Return a whole number with commas."""
    return "–" if number is None else f"{number:,.0f}"


def share(part: float, whole: float) -> str:
    """Return a part of a whole in per cent."""
    return f"{100 * part / whole:.3g} %" if whole else "–"


def when(text: str | datetime | None) -> str | Markup:
    """Return a moment to the minute, in UTC, with the whole of it for machines."""
    if text is None:
        return "–"
    moment = datetime.fromisoformat(text) if isinstance(text, str) else text
    return Markup('<time datetime="{}">{} UTC</time>').format(moment.isoformat(), f"{moment:%Y-%m-%d %H:%M}")


def short(digest: str | None) -> str:
    """Return the beginning of a digest."""
    return digest[:12] if digest else "–"


def begun(text: str) -> str:
    """Return a text as it begins a line: its first letter is a capital."""
    return text[:1].upper() + text[1:]


def plain(value: Any) -> str:
    """Return a JSON value as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
