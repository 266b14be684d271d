"""A release to come, pretended: its schema and the rows it would write, for this one to meet."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from deploy.local.postgres.connection import connected
from inventory_api.contracts import Line, digest
from order_api.contracts import order_id_for
from tests.support.databases import Owner
from tests.support.order_stack import OrderStack

WAITS = "waiting_for_stock"
EXPIRED = "expired"
HERE = Path(__file__).parent

ORDER = """
INSERT INTO orders (order_id, customer, idempotency_key, request_digest, total_minor, currency,
                    relay_at, status, reason, waiting_for, on_shortage, payment)
VALUES ($1, $2, $3, $4, 1490, 'EUR', now() + interval '2 minutes', $5, $6, $7, 'wait', 'authorised')
"""
LINE = """
INSERT INTO order_lines (order_id, line_no, sku, quantity, unit_price_minor)
VALUES ($1, 1, 'MUG-BLUE', 1, 1490)
"""
EVENT = """
INSERT INTO order_events (order_id, key, type, at, detail, told_by)
VALUES ($1, $2, $2, now(), $3, 'queue')
"""
RETURNED = """
WITH known AS (INSERT INTO reservations (order_id, state, place_in_queue) VALUES ($1, 'queued', 3))
INSERT INTO movements (order_id, sku, operation, quantity, reported_by)
VALUES ($1, 'MUG-BLUE', 'return', 1, 'otto')
"""


async def migrate(dsn: str, owner: Owner) -> None:
    """Bring a database of this release to the schema of the one to come."""
    await _execute(dsn, (HERE / f"{owner}.sql").read_text())
    await _execute(
        dsn,
        "INSERT INTO schema_migrations (version, name, digest)"
        " SELECT max(version) + 1, 'next', '' FROM schema_migrations",
    )


def migrate_all(stack: OrderStack) -> None:
    """Bring both databases of `stack` there."""
    stack.loop_thread.run(migrate(stack.orders_dsn, "orders"))
    stack.loop_thread.run(migrate(stack.inventory_dsn, "inventory"))


async def order(
    dsn: str,
    customer: str,
    key: str,
    status: str,
    *,
    reason: str | None = None,
    waiting_for: str | None = None,
    told: tuple[str, ...] = ("received", WAITS),
) -> str:
    """Write an order for one blue mug as the release to come would; return its id."""
    order_id = order_id_for(customer, key)
    fingerprint = digest([Line(sku="MUG-BLUE", quantity=1)])
    async with connected(dsn) as connection, connection.transaction():
        await connection.execute(
            ORDER, order_id, customer, key, fingerprint, status, reason, waiting_for
        )
        await connection.execute(LINE, order_id)
        await _tell(connection, order_id, told)
    return str(order_id)


async def tell(dsn: str, order_id: str, *kinds: str) -> None:
    """Add to an order's timeline, all at once, in words that only the release to come knows."""
    async with connected(dsn) as connection, connection.transaction():
        await _tell(connection, UUID(order_id), kinds)


async def _tell(
    connection: "asyncpg.Connection[asyncpg.Record]", order_id: UUID, kinds: tuple[str, ...]
) -> None:
    for kind in kinds:
        detail = {"message": f"Told: {kind}.", "attempts": "2 of 5", "step": ["queue"], "place": 3}
        await connection.execute(EVENT, order_id, kind, json.dumps(detail))


async def tell_oddly(dsn: str, order_id: str, kind: str, detail: str) -> None:
    """Add to an order's timeline something whose detail, as JSON, need not be an object."""
    await _execute(dsn, EVENT, UUID(order_id), kind, detail)


async def take_back(dsn: str, order_id: str) -> None:
    """Write to inventory's ledger that an order's mug has come back."""
    await _execute(dsn, RETURNED, UUID(order_id))


async def _execute(dsn: str, statement: str, *arguments: Any) -> None:
    async with connected(dsn) as connection:
        await connection.execute(statement, *arguments)
