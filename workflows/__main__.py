"""Entry point of the worker; the one place that knows saga, order store and fault injector."""

import asyncio
import logging
from contextlib import AsyncExitStack

import uvicorn

from order_api.notifier import Notifier
from order_api.schema import MIGRATIONS, TABLES
from order_api.store import Store
from service_kit import database_health, logs, pool, server, tracing
from service_kit.fault_points import FaultPoints, NoFaults
from service_kit.migrations import latest
from service_kit.settings import load
from service_kit.tokens import TokenVerifier
from workflows.connection import expose_sdk_metrics
from workflows.process import create_app
from workflows.settings import WorkerSettings


async def serve(settings: WorkerSettings) -> None:
    """Work until told to stop."""
    async with AsyncExitStack() as stack:
        connections = await pool.create(
            settings.orders_database_url.get_secret_value(),
            name="worker",
            size=settings.pool_size,
            lock_timeout_s=0.3,
            statement_timeout_s=0.5,
        )
        stack.callback(connections.terminate)
        faults: FaultPoints = NoFaults()
        if settings.fault_injection:
            from chaos.injection.injector import injecting

            faults = await stack.enter_async_context(injecting("orders")(connections))
        notifier = await stack.enter_async_context(Notifier(connections))
        store = Store(connections, notifier, faults)
        probes = database_health.probes(connections, TABLES, latest(MIGRATIONS))
        app = create_app(settings, store, faults, probes)
        if settings.fault_injection:
            from chaos.injection.crash_route import crash_router

            verifier = TokenVerifier(settings.token_key.get_secret_value(), settings.token_audience)
            app.include_router(crash_router(verifier))
        await uvicorn.Server(server.config(app, settings.host, settings.port)).serve()


def main() -> None:
    """Serve until told to stop."""
    settings = load(WorkerSettings)
    logs.configure("worker", settings.log_level, settings.log_format)
    # A warning with a traceback for each failed attempt: an outage would fill the disk with what
    # the order's history says anyway.
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)
    end_tracing = tracing.configure("worker")
    expose_sdk_metrics()
    server.raise_open_file_limit()
    with asyncio.Runner(loop_factory=server.event_loop()) as runner:
        runner.run(serve(settings))
    end_tracing()


if __name__ == "__main__":
    main()
