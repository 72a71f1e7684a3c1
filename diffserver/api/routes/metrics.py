"""Figures for Prometheus, in its text format."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from diffserver.api.access import Registry, TokenFirst, Viewer
from diffserver.api.problems import CALLER, declared

router = APIRouter(tags=["metrics"], route_class=TokenFirst, responses=declared(*CALLER))


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "The figures.", "content": {"text/plain": {}}}},
)
def get_metrics(registry: Registry, _who: Viewer) -> Response:
    """Counts of this process, and figures of the database that are at most some seconds old."""
    return Response(generate_latest(registry), 200, {"Cache-Control": "no-store"}, CONTENT_TYPE_LATEST)
