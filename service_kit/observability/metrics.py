"""Prometheus metrics that every HTTP process has, and their page."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Gauge, Histogram, generate_latest
from starlette.responses import Response

REQUEST_SECONDS = Histogram(
    "http_server_request_duration_seconds",
    "Time from the first byte of a request to the last byte of its answer.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0),
)
REQUESTS_IN_FLIGHT = Gauge("http_server_active_requests", "Requests being served right now.")


POOL_CONNECTIONS = Gauge(
    "db_pool_connections", "Connections of a pool: in use, open, allowed.", ["pool", "state"]
)

# What reads further metrics of this process, which a library keeps apart.
_sources: list[Callable[[], Awaitable[bytes]]] = []


def add_source(read: Callable[[], Awaitable[bytes]]) -> None:
    """Have what `read` returns, in the text format, shown as part of this process's page.

    It has to be quick and must not raise.
    """
    _sources.append(read)


def watch_pool(name: str, size_of: Callable[[], Mapping[str, int]]) -> None:
    """Have a pool's use read whenever somebody scrapes."""
    for state in ("in_use", "open", "max"):
        POOL_CONNECTIONS.labels(name, state).set_function(partial(_connections, size_of, state))


def _connections(size_of: Callable[[], Mapping[str, int]], state: str) -> float:
    return float(size_of()[state])


async def page() -> Response:
    """Return this process's metrics in the Prometheus text format."""
    parts = [generate_latest(REGISTRY), *await asyncio.gather(*(read() for read in _sources))]
    return Response(b"".join(parts), media_type=CONTENT_TYPE_LATEST)
