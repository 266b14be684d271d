"""The load client and the checker of this release, looking at orders of the next one."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from chaos.checker.databases import open_orders, read_databases
from chaos.checker.invariants import order_checks, stock_checks
from chaos.checker.observations import Observations
from chaos.checker.responses import only_forward
from chaos.client.history import History
from chaos.client.load import Shoppers
from chaos.scenarios.workload import PlannedOrder
from deploy.local.postgres.connection import connected
from inventory_api.contracts import Line
from order_api.contracts import order_id_for
from subscribers.notifications import Notifications
from tests.support import next_release
from tests.support.next_release import WAITS
from tests.support.order_stack import OrderStack, eventually
from tests.support.serving import token

WHO = "run-01"


@pytest.fixture
def order_stack(fresh_order_stack: OrderStack) -> OrderStack:
    next_release.migrate_all(fresh_order_stack)
    return fresh_order_stack


def planned(number: int, *, cancels: bool = False) -> PlannedOrder:
    key = f"run-{number}"
    lines = (Line(sku="MUG-BLUE", quantity=1),)
    return PlannedOrder(number, WHO, key, order_id_for(WHO, key), lines, 0.0, cancels=cancels)


async def test_orders_are_followed_through_unknown_statuses_and_judged_by_known_ones(
    order_stack: OrderStack, tmp_path: Path
) -> None:
    orders = (planned(1), planned(2, cancels=True))
    for order in orders:
        await next_release.order(
            order_stack.orders_dsn, WHO, order.key, WAITS, told=("received", WAITS, "waiting")
        )
    with History(tmp_path / "history.jsonl") as history:
        async with Shoppers(
            order_stack.orders.url, lambda customer: token(subject=customer), history
        ) as shoppers:
            sending = asyncio.create_task(shoppers.send(orders, 60.0))

            async def both_seen_waiting() -> bool:
                seen = {e.number for e in history.entries if e.state == WAITS}
                asked = {e.number for e in history.entries if e.operation == "cancel"}
                return (seen, asked) == ({1, 2}, {2})

            await eventually(both_seen_waiting)
            assert await open_orders(order_stack.orders_dsn, [WHO]) == 2
            for order, end in zip(orders, ("shipped", "cancelled"), strict=True):
                await order_stack.rows(
                    "UPDATE orders SET status = $1 WHERE order_id = $2", end, order.order_id
                )
                await next_release.tell(order_stack.orders_dsn, str(order.order_id), end)
            await sending
        assert shoppers.counts.states == {"shipped": 1, "cancelled": 1}
        observations = await facts_of(order_stack, orders, history)
    assert only_forward(observations).holds, only_forward(observations).violations
    assert [*order_checks(observations), *stock_checks(observations)], "each came to a verdict"


async def facts_of(
    order_stack: OrderStack, orders: tuple[PlannedOrder, ...], history: History
) -> Observations:
    """Read everything, an order without lines and a returned mug among it."""
    empty = await next_release.order(order_stack.orders_dsn, "somebody", "empty", WAITS)
    await order_stack.rows("DELETE FROM order_lines WHERE order_id = $1", UUID(empty))
    await next_release.take_back(order_stack.inventory_dsn, empty)
    async with connected(order_stack.orders_dsn) as connection:
        await Notifications().prepare(connection)  # type: ignore[arg-type]
    observations = await read_databases(
        order_stack.orders_dsn, order_stack.inventory_dsn, orders, history.entries
    )
    assert observations.by_id[UUID(empty)].lines == {}
    return observations
