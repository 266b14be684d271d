"""Prometheus metrics that every HTTP process has, and the page that shows them."""

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Gauge, Histogram, generate_latest
from starlette.responses import Response

REQUEST_SECONDS = Histogram(
    "http_server_request_duration_seconds",
    "Time from the first byte of a request to the last byte of its answer.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0),
)
REQUESTS_IN_FLIGHT = Gauge("http_server_active_requests", "Requests being served right now.")


def page() -> Response:
    """Return this process's metrics in the Prometheus text format."""
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
