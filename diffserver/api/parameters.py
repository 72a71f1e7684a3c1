"""Query parameters: one that an endpoint does not know is refused, since to ignore it would answer another question."""

from fastapi import Request

from diffserver.errors import UnknownParameter


async def only_known(request: Request) -> None:
    """A dependency of every endpoint; raises UnknownParameter."""
    if not request.query_params:
        return
    # Those of the endpoint itself: what endpoints depend on has none.
    known = sorted(field.alias for field in request.scope["route"].dependant.query_params)
    for name in request.query_params:
        if name not in known:
            raise UnknownParameter(name, known)
