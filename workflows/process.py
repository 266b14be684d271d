"""Build the worker application, with health page, from its settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from activities.inventory import HttpTimeouts, InventoryActivities
from activities.orders import OrderActivities, OrderLedger
from service_kit import application
from service_kit.background import Background
from service_kit.fault_points import FaultPoints
from service_kit.health import Health, Probe
from service_kit.http_client import open_session
from service_kit.readiness import readiness_of
from workflows.policies import DEADLINES
from workflows.settings import WorkerSettings
from workflows.worker import WorkerRun, steps


class WorkerState:
    """What the health routes need of the running worker."""

    def __init__(self, health: Health) -> None:
        self.health = health


def create_app(
    settings: WorkerSettings,
    ledger: OrderLedger,
    faults: FaultPoints,
    ledger_probes: dict[str, Probe],
) -> FastAPI:
    """Return an application that works on orders for as long as it runs.

    `ledger` keeps the orders' progress; `ledger_probes` say how it is.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with open_session() as session:
            inventory = InventoryActivities(
                session,
                settings.inventory_url,
                settings.inventory_token.get_secret_value(),
                HttpTimeouts(DEADLINES.fast_http_s, DEADLINES.durable_http_s),
                faults,
            )
            run = WorkerRun(settings, steps(inventory, OrderActivities(ledger, faults)))
            probes: dict[str, Probe] = {
                "temporal:worker": run.polls,
                "temporal:frontend": run.temporal_answers,
                **ledger_probes,
                "inventory_api:readiness": readiness_of(session, settings.inventory_url),
            }
            app.state.service = WorkerState(
                Health(
                    "worker",
                    application.own_version(),
                    probes,
                    needed=frozenset({"temporal:worker", *ledger_probes}),
                    optional=frozenset({"inventory_api:readiness"}),
                )
            )
            async with Background(run.run()):
                yield

    app = application.create("Valerix worker", lifespan, lambda: app.state.service.health)
    return app
