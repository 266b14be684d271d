"""What the checker says of two databases at rest, and all that is in them."""

from typing import Any
from uuid import UUID

from chaos.checker import orders, stock
from chaos.checker.databases import read_databases
from chaos.checker.observations import Observations
from deploy.local.postgres.connection import connected
from tests.support.both_apis import CONTENTS
from tests.support.databases import Databases, name_in

# What subscribers make when they first run.
NOTIFICATIONS = "CREATE TABLE IF NOT EXISTS notifications (event_seq bigint PRIMARY KEY)"
CHECKS = (
    stock.conservation,
    stock.one_effect,
    stock.effect_as_ordered,
    stock.release_undoes_own_hold,
    stock.no_oversell,
    orders.settled_once,
)


async def observe(databases: Databases, orders_dsn: str, inventory_dsn: str) -> Observations:
    """Return what both databases hold, as the checker reads them."""
    async with connected(databases.postgres.admin_dsn(name_in(orders_dsn))) as connection:
        await connection.execute(NOTIFICATIONS)
        await connection.execute("GRANT SELECT ON notifications TO orders")
    found = await read_databases(orders_dsn, inventory_dsn, (), [])
    found.settled_within_s = 1.0
    return found


def wrong(observed: Observations, decided_by_people: set[UUID]) -> list[str]:
    """Return all that breaks an invariant, except what a person has been asked about.

    What moved for nobody may be on the list for people, or hold nothing any more.
    """
    violations = [each for check in CHECKS for each in check(observed).violations]
    violations += [
        f"{order_id} is {state}, and nobody ordered it"
        for order_id, state in observed.reservations.items()
        if order_id not in observed.by_id and state not in ("released", "refused")
    ]
    violations += [
        f"order {row.order_id} was rejected, but the warehouse has it {state}"
        for row in observed.orders
        if row.status == "rejected"
        and (state := observed.reservations.get(row.order_id)) not in ("refused", "released")
    ]
    asked = {str(order_id) for order_id in decided_by_people}
    return [each for each in violations if not any(order_id in each for order_id in asked)]


async def contents(orders_dsn: str, inventory_dsn: str) -> list[list[Any]]:
    """Return every row of both databases, but for when the relay looks at an order again."""
    found = []
    for dsn, queries in zip((orders_dsn, inventory_dsn), CONTENTS, strict=True):
        async with connected(dsn) as connection:
            found += [await connection.fetch(query) for query in queries]
    return found
