"""Prometheus metrics that every HTTP process has, and their page."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import aiohttp
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
SOURCE_LIMIT_S = 0.4

# Addresses of metrics pages that libraries serve on loopback ports of their own.
_sources: list[str] = []


def add_source(url: str) -> None:
    """Have another metrics page of this process shown as part of its one page."""
    _sources.append(url)


def watch_pool(name: str, size_of: Callable[[], Mapping[str, int]]) -> None:
    """Have a pool's use read whenever somebody scrapes."""
    for state in ("in_use", "open", "max"):
        POOL_CONNECTIONS.labels(name, state).set_function(partial(_connections, size_of, state))


def _connections(size_of: Callable[[], Mapping[str, int]], state: str) -> float:
    return float(size_of()[state])


async def page() -> Response:
    """Return this process's metrics in the Prometheus text format."""
    parts = [generate_latest(REGISTRY), *await asyncio.gather(*map(_read, _sources))]
    return Response(b"".join(parts), media_type=CONTENT_TYPE_LATEST)


async def _read(url: str) -> bytes:
    try:
        async with (
            asyncio.timeout(SOURCE_LIMIT_S),
            aiohttp.ClientSession() as session,
            session.get(url) as answer,
        ):
            return await answer.read()
    except (aiohttp.ClientError, OSError, TimeoutError):
        return b""
