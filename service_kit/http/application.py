"""FastAPI application that every service starts from: middleware, problems, health, metrics."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response

from service_kit.http import problems, request_middleware
from service_kit.http.request_middleware import LimitsOf
from service_kit.observability import metrics, tracing
from service_kit.observability.health import Health
from service_kit.process import garbage_collection

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Any]]
HealthOf = Callable[[], Health]


def own_version() -> str:
    """Return the version of the installed platform."""
    try:
        return version("valerix")
    except PackageNotFoundError:
        return "0.0.0"


def create(
    title: str, lifespan: Lifespan, health: HealthOf, *, limits_of: LimitsOf | None = None
) -> FastAPI:
    """Return an app titled `title` with the routes that operations expects of every process.

    `health` is asked on each call, since the probes exist only while the app runs. `limits_of`
    says which requests may have larger bodies than usual.
    """
    # the interactive pages would load their scripts from the internet; /openapi.json stays
    app = FastAPI(
        title=title,
        version=own_version(),
        lifespan=_of_a_process(lifespan),
        docs_url=None,
        redoc_url=None,
        # a redirect would be to whatever host the request names, and take the token along
        redirect_slashes=False,
        # ours are on /metrics and standard error; asked for on every request otherwise
        telemetry={"metrics": False, "logs": False},
    )
    problems.install(app)
    app.add_middleware(
        request_middleware.RequestMiddleware,
        limits_of=limits_of or request_middleware.usual_limits,
    )

    @app.get("/livez", include_in_schema=False)
    async def livez() -> Response:
        return await health().live()

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        return await health().ready()

    @app.get("/health", include_in_schema=False)
    async def deep_health() -> Response:
        return await health().deep()

    @app.get("/metrics", include_in_schema=False)
    async def metrics_page() -> Response:
        return await metrics.page()

    return app


def _of_a_process(lifespan: Lifespan) -> Lifespan:
    """Return `lifespan` with what every process does once it has started, and at its end.

    After that nothing of ours is sure to run: uvicorn hands the signal that ended it on, which
    ends the process where it stands.
    """

    @asynccontextmanager
    async def tidy(app: FastAPI) -> AsyncIterator[Any]:
        async with lifespan(app) as state:
            garbage_collection.tune_gc()
            yield state
        await tracing.end()

    return tidy
