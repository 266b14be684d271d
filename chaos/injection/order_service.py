"""order_api with fault points around accepting and starting an order, and admin routes."""

from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from fastapi import FastAPI

from chaos.injection import routes
from chaos.injection.commit_faults import CommitFaults
from chaos.injection.crash_route import crash_router
from chaos.injection.injector import Injector
from chaos.injection.rules import Call
from order_api import main
from order_api.contracts import OrderLine
from order_api.db.notifier import Notifier
from order_api.db.statements import ACCEPT
from order_api.db.store import Store
from order_api.db.stored_order import Accepted, NewOrder
from order_api.placement import Sagas
from order_api.settings import OrderSettings
from order_api.workflow_client import TEMPORAL_ERRORS, OrderWorkflows
from service_kit.http.tokens import verifier_for
from service_kit.postgres.pool import Pool
from workflows.contracts import OrderOutcome

BEFORE_COMMIT = "order.before_commit"
AFTER_COMMIT = "order.after_commit"
AFTER_START = "order.after_start"
OPERATION = "accept"


class PartsWithFaults(main.Parts):
    """The parts of order_api, with an injector between them."""

    def __init__(self, injector: Injector) -> None:
        self._injector = injector
        self._commits = CommitFaults(injector, BEFORE_COMMIT, effect_of)

    @asynccontextmanager
    async def pool(self, settings: OrderSettings) -> AsyncIterator[Pool]:
        """Give the connections, and let the injector use them, too."""
        async with super().pool(settings) as connections, self._injector.using(connections):
            yield connections

    def extended(self, connection_class: type[asyncpg.Connection]) -> type[asyncpg.Connection]:
        """Return connections whose effects meet the faults."""
        return self._commits.extended(connection_class)

    def store(self, connections: Pool, notifier: Notifier) -> Store:
        """Return the orders database with faults around accepting."""
        return StoreWithFaults(connections, notifier, self._injector, self._commits)

    def sagas(self, workflows: OrderWorkflows) -> Sagas:
        """Return the workflows with a fault after their start."""
        return SagasWithFaults(workflows, self._injector)


class StoreWithFaults(Store):
    """The orders database, with faults before and after the COMMIT of an accepted order."""

    def __init__(
        self, pool: Pool, notifier: Notifier, injector: Injector, commits: CommitFaults
    ) -> None:
        super().__init__(pool, notifier)
        self._injector = injector
        self._commits = commits

    async def accept(self, new: NewOrder) -> Accepted:
        """Make the order durable, or return the one that this key has made before."""
        call = Call(new.order_id, OPERATION)
        with self._commits.ahead_of(call):
            accepted = await super().accept(new)
        await self._injector.reach(AFTER_COMMIT, call)
        return accepted


class SagasWithFaults:
    """What shoppers ask of workflows, with a fault once one was started, or asked for at least."""

    def __init__(self, inner: Sagas, injector: Injector) -> None:
        self._inner = inner
        self._injector = injector

    async def first_answer(
        self, order_id: UUID, lines: Iterable[OrderLine], wait_s: float
    ) -> OrderOutcome:
        """Return the order's outcome; a crash here leaves it to the shopper's retry."""
        call = Call(order_id, OPERATION)
        try:
            outcome = await self._inner.first_answer(order_id, lines, wait_s)
        except TEMPORAL_ERRORS:
            await self._injector.reach(AFTER_START, call)
            raise
        await self._injector.reach(AFTER_START, call)
        return outcome

    async def cancel(
        self, order_id: UUID, lines: Iterable[OrderLine], wait_s: float
    ) -> OrderOutcome:
        """Ask the order's workflow to cancel."""
        return await self._inner.cancel(order_id, lines, wait_s)


def effect_of(query: str, arguments: tuple[Any, ...]) -> tuple[str, Collection[UUID]] | None:
    """Return the operation and the orders of the statement that accepts orders."""
    return (OPERATION, arguments[0]) if query == ACCEPT else None


def create_app(settings: OrderSettings) -> FastAPI:
    """Return order_api with faults, and the calls with which staff switch them on and off."""
    injector = Injector("orders")
    app = main.create_app(settings, PartsWithFaults(injector))
    routes.add(app, injector)
    app.include_router(crash_router(verifier_for(settings)))
    return app
