"""inventory_api with fault points around its effects, in their transactions, and admin routes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from fastapi import FastAPI

from chaos.injection import routes
from chaos.injection.attempts import Attempts, attempt
from chaos.injection.commit_faults import CommitFaults
from chaos.injection.crash_route import crash_router
from chaos.injection.injector import Injector
from chaos.injection.rules import Call
from inventory_api import main
from inventory_api.contracts import Line
from inventory_api.reservations import Reservations
from inventory_api.settings import InventorySettings
from inventory_api.stock import COMMIT_OR_RELEASE, RESERVE, Stock
from inventory_api.verdicts import Verdict
from service_kit.http.tokens import verifier_for
from service_kit.postgres.pool import Pool

ON_REQUEST = "inventory.on_request"
BEFORE_COMMIT = "inventory.before_commit"
AFTER_COMMIT = "inventory.after_commit"
BEFORE_RESPONSE = "inventory.before_response"


class PartsWithFaults(main.Parts):
    """The parts of inventory_api, with an injector between them."""

    def __init__(self, injector: Injector) -> None:
        self._injector = injector
        self.commits = CommitFaults(injector, BEFORE_COMMIT, effect_of)

    @asynccontextmanager
    async def pool(self, settings: InventorySettings) -> AsyncIterator[Pool]:
        """Give the connections, and let the injector use them, too."""
        async with super().pool(settings) as connections, self._injector.using(connections):
            yield connections

    def extended(self, connection_class: type[asyncpg.Connection]) -> type[asyncpg.Connection]:
        """Return connections whose effects meet the faults."""
        return self.commits.extended(connection_class)

    def reservations(self, stock: Stock) -> Reservations:
        """Return the saga's calls with the faults around them."""
        return ReservationsWithFaults(stock, self._injector, self.commits)


class ReservationsWithFaults:
    """What the saga asks of the warehouse, with faults before, during and after it."""

    def __init__(self, inner: Reservations, injector: Injector, commits: CommitFaults) -> None:
        self._inner = inner
        self._injector = injector
        self._commits = commits

    async def reserve(self, order_id: UUID, lines: tuple[Line, ...]) -> Verdict:
        """Hold all lines for the order or none."""
        call = Call(order_id, "reserve", attempt.get())
        return await self._among_faults(call, lambda: self._inner.reserve(order_id, lines))

    async def commit(self, order_id: UUID) -> Verdict:
        """Ship what the order holds."""
        call = Call(order_id, "commit", attempt.get())
        return await self._among_faults(call, lambda: self._inner.commit(order_id))

    async def release(self, order_id: UUID) -> Verdict:
        """Give back what the order holds."""
        call = Call(order_id, "release", attempt.get())
        return await self._among_faults(call, lambda: self._inner.release(order_id))

    async def _among_faults(self, call: Call, effect: Callable[[], Awaitable[Verdict]]) -> Verdict:
        await self._injector.reach(ON_REQUEST, call)
        with self._commits.ahead_of(call):
            verdict = await effect()
        await self._injector.reach(AFTER_COMMIT, call)
        await self._injector.reach(BEFORE_RESPONSE, call)
        return verdict


def effect_of(query: str, arguments: tuple[Any, ...]) -> tuple[str, Collection[UUID]] | None:
    """Return the operation and the orders of a statement that moves stock for orders."""
    if query == RESERVE:
        return "reserve", arguments[0]
    if query == COMMIT_OR_RELEASE:
        orders, target = arguments
        return "commit" if target == "committed" else "release", orders
    return None


def create_app(
    settings: InventorySettings, parts: Callable[[Injector], main.Parts] = PartsWithFaults
) -> FastAPI:
    """Return inventory_api with faults, and the calls with which staff switch them on and off."""
    injector = Injector("inventory")
    app = main.create_app(settings, parts(injector))
    app.add_middleware(Attempts)
    routes.add(app, injector)
    app.include_router(crash_router(verifier_for(settings)))
    return app
