"""Orders carried out step by step, so that each database can be had as of any step of a history.

A history is one sequence of steps of many orders, each step in one of the two databases. To restore
a database to a moment is to take its own steps up to there, and none of the other's.
"""

import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from activities.contracts import OrderStatus, StatusUpdate, TimelineEntry
from backup.reconcile.warehouse import Warehouse
from inventory_api.contracts import Line, digest
from order_api.contracts import OrderLine, order_id_for
from order_api.db.notifier import Notifier
from order_api.db.store import Store
from order_api.db.stored_order import NewOrder
from service_kit.http.client_session import open_session
from service_kit.postgres import pool
from tests.support.serving import token

What = Literal["accept", "wish", "hold", "commit", "release", "tell"]
IN_ORDERS = frozenset({"accept", "wish", "tell"})
DELIVERED = {"MUG-BLUE": 60, "TEE-BASIC": 8, "LAST-ONE": 3}
PLANS: Sequence[Sequence[str]] = (
    ("accept", "hold", "commit", "tell shipped"),
    ("accept", "hold", "tell reserved", "commit", "tell shipped"),
    ("accept", "hold", "wish", "release", "tell cancelled"),
    ("accept", "wish", "release", "tell cancelled"),
)


@dataclass(frozen=True)
class Ordered:
    """What one order asks for."""

    number: int
    lines: tuple[Line, ...]

    @property
    def order_id(self) -> UUID:
        return order_id_for("alice", f"key-{self.number}")


@dataclass(frozen=True)
class Step:
    """One step of one order; `status` is what is told."""

    order: Ordered
    what: What
    status: OrderStatus | None = None


@dataclass
class History:
    """Steps in the order in which they happened."""

    steps: list[Step] = field(default_factory=list)

    def in_orders(self, up_to: int) -> list[Step]:
        return [step for step in self.steps[:up_to] if step.what in IN_ORDERS]

    def in_inventory(self, up_to: int) -> list[Step]:
        return [step for step in self.steps[:up_to] if step.what not in IN_ORDERS]

    def orders_with(self, what: What, up_to: int) -> set[UUID]:
        return {step.order.order_id for step in self.steps[:up_to] if step.what == what}


def history(dice: random.Random, orders: int) -> History:
    """Return a random history of so many orders, some of which find too little on the shelf."""
    free = Counter(DELIVERED)
    left = {_ordered(dice, n): list(dice.choice(PLANS)) for n in range(orders)}
    made = History()
    while left:
        # mostly the older ones go on, so that many have ended when the last begin
        order = list(left)[min(int(dice.expovariate(0.3)), len(left) - 1)]
        what, _, status = left[order].pop(0).partition(" ")
        if what == "hold":
            if any(free[line.sku] < line.quantity for line in order.lines):
                left[order] = ["tell rejected"]
            else:
                free.subtract({line.sku: line.quantity for line in order.lines})
        if what == "release" and any(s.order == order and s.what == "hold" for s in made.steps):
            free.update({line.sku: line.quantity for line in order.lines})
        made.steps.append(Step(order, what, status or None))  # type: ignore[arg-type]
        if not left[order]:
            del left[order]
    return made


def _ordered(dice: random.Random, number: int) -> Ordered:
    skus = dice.sample(list(DELIVERED), dice.choice((1, 1, 2)))
    return Ordered(number, tuple(Line(sku=sku, quantity=dice.randint(1, 2)) for sku in skus))


class ByHand:
    """Takes steps, as order_api and a workflow would have them taken."""

    def __init__(self, store: Store, warehouse: Warehouse) -> None:
        self.store = store
        self.warehouse = warehouse

    async def take(self, steps: Sequence[Step]) -> None:
        for step in steps:
            await self._take(step)

    async def finish(self, order: Ordered, *, cancelling: bool) -> OrderStatus:
        """Do what the order's workflow does when it begins anew, and return how it ends."""
        ended = await self._end_of(order, cancelling=cancelling)
        await self._tell(order.order_id, ended)
        return ended

    async def ship(self, order_id: UUID, lines: Sequence[Line]) -> None:
        """Take all the steps of an order that ships."""
        assert await self.warehouse.reserve(order_id, lines) == "held"
        assert await self.warehouse.commit(order_id) == "committed"
        await self._tell(order_id, "shipped")

    async def _end_of(self, order: Ordered, *, cancelling: bool) -> OrderStatus:
        release, held = self.warehouse.release, None
        if not cancelling:
            held = await self.warehouse.reserve(order.order_id, order.lines)
            if held == "out-of-stock":
                return "rejected"
            if held == "held" and await self.warehouse.commit(order.order_id) == "committed":
                return "shipped"
        if await release(order.order_id) == "committed":
            return "shipped"
        return "cancelled" if cancelling else "failed"

    async def _take(self, step: Step) -> None:
        order_id, lines = step.order.order_id, step.order.lines
        match step.what:
            case "accept":
                await self.store.accept(_new(step.order))
            case "wish":
                await self.store.request_cancel(order_id)
            case "hold":
                await self.warehouse.reserve(order_id, lines)
            case "commit":
                assert await self.warehouse.commit(order_id) == "committed"
            case "release":
                assert await self.warehouse.release(order_id) == "released"
            case "tell":
                assert step.status is not None
                await self._tell(order_id, step.status)

    async def _tell(self, order_id: UUID, status: OrderStatus) -> None:
        now = datetime.now(UTC)
        entry = TimelineEntry(key=status, type=status, at=now, detail={})
        update = StatusUpdate(order_id=order_id, status=status, at=now, entries=(entry,))
        await self.store.record(update)


@asynccontextmanager
async def by_hand(orders_dsn: str, inventory_url: str) -> AsyncIterator[ByHand]:
    making = pool.create(
        orders_dsn, name="by hand", size=2, lock_timeout_s=10.0, statement_timeout_s=15.0
    )
    async with (
        pool.opened(making) as connections,
        Notifier(connections) as notifier,
        open_session() as session,
    ):
        warehouse = Warehouse(session, inventory_url, token("service", "by hand"), 60.0)
        yield ByHand(Store(connections, notifier), warehouse)


def _new(order: Ordered) -> NewOrder:
    lines = tuple(
        OrderLine(sku=line.sku, quantity=line.quantity, unit_price_minor=100)
        for line in order.lines
    )
    return NewOrder(
        order_id=order.order_id,
        customer="alice",
        key=f"key-{order.number}",
        digest=digest(order.lines),
        lines=lines,
        total_minor=100,
        currency="EUR",
        relay_in_s=60.0,
    )


def each_ordered(made: History) -> Iterator[Ordered]:
    """Yield each order of a history once."""
    yield from dict.fromkeys(step.order for step in made.steps)
