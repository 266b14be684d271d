"""Readers of both databases: by SQL, never through the code that is on trial."""

import time
from collections.abc import Collection
from uuid import UUID

from asyncpg import Record

from activities.contracts import TERMINAL
from chaos.checker.observations import (
    Movement,
    Observations,
    OrderEvent,
    OrderRow,
    Shelf,
    Snapshot,
)
from chaos.client.history import Entry
from chaos.scenarios.records import Fired
from chaos.scenarios.workload import PlannedOrder
from deploy.local.postgres.connection import connected

ORDERS = """
SELECT o.order_id, o.customer, o.idempotency_key AS key, o.status, o.reason, o.created_at,
       o.updated_at, array_agg(l.sku) AS skus, array_agg(l.quantity) AS quantities
FROM orders o LEFT JOIN order_lines l USING (order_id) GROUP BY o.order_id
"""
EVENTS = "SELECT seq, order_id, type, at FROM order_events ORDER BY seq"
OPEN = """
SELECT count(*) FROM orders
WHERE status <> ALL($2::text[]) AND customer = ANY($1::text[])
"""
STATUSES = "SELECT order_id, status FROM orders"
NOTIFIED = "SELECT event_seq, count(*) AS n FROM notifications GROUP BY event_seq"
UNREAD = """
SELECT count(*) FROM order_events e, subscriber_cursors c WHERE (e.tx, e.seq) > (c.tx, c.seq)
"""
MOVEMENTS = "SELECT movement_id, order_id, sku, operation, quantity FROM movements ORDER BY 1"
RESERVATIONS = "SELECT order_id, state FROM reservations"
SHELVES = "SELECT sku, on_hand, reserved FROM stock ORDER BY sku"
FIRED = """
SELECT rule, order_id, operation, attempt, point, fault, extract(epoch FROM at)::float8
FROM fault_log ORDER BY id
"""
# One statement, one snapshot of the database: level and ledger as of the same instant.
CONSERVATION = """
SELECT s.sku, s.on_hand, s.reserved,
       coalesce(sum(m.quantity) FILTER (WHERE m.operation IN ('initial', 'restock')), 0)
       - coalesce(sum(m.quantity) FILTER (WHERE m.operation = 'commit'), 0) AS ledger_on_hand,
       coalesce(sum(m.quantity) FILTER (WHERE m.operation = 'reserve'), 0)
       - coalesce(sum(m.quantity) FILTER (WHERE m.operation IN ('release', 'commit')), 0)
       AS ledger_reserved
FROM stock s LEFT JOIN movements m USING (sku) GROUP BY s.sku
"""
NOT_CONSERVED = f"""
SELECT * FROM ({CONSERVATION}) level
WHERE (on_hand, reserved) IS DISTINCT FROM (ledger_on_hand, ledger_reserved)
"""  # noqa: S608  a constant in a constant


async def read_warehouse(
    dsn: str,
) -> tuple[list[Movement], dict[UUID, str], list[Shelf], list[Fired]]:
    """Return the ledger, the reservations' states, the shelves and the evidence of faults."""
    async with (
        connected(dsn) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        movements = [Movement(*row) for row in await connection.fetch(MOVEMENTS)]
        states = {r["order_id"]: r["state"] for r in await connection.fetch(RESERVATIONS)}
        shelves = [Shelf(*row) for row in await connection.fetch(SHELVES)]
        fired = [Fired(*row) for row in await connection.fetch(FIRED)]
    return movements, states, shelves, fired


async def snapshots(dsn: str, within_s: float = 10.0) -> list[Snapshot]:
    """Return every SKU's level and what the ledger says of it, as of this instant."""
    async with connected(dsn, timeout=within_s) as connection:
        rows = await connection.fetch(CONSERVATION, timeout=within_s)
    now = time.time()
    return [Snapshot(now, *row) for row in rows]


async def open_orders(dsn: str, customers: Collection[str]) -> int:
    """Return how many orders of these customers have not ended."""
    return await _count(dsn, OPEN, list(customers), list(TERMINAL))


async def unread_events(dsn: str) -> int:
    """Return how many events some subscriber has not taken yet."""
    return await _count(dsn, UNREAD)


async def faults_fired(dsn: str) -> int:
    """Return how many faults have fired that a database has the evidence of."""
    return await _count(dsn, "SELECT count(*) FROM fault_log")


async def statuses(dsn: str) -> dict[UUID, str]:
    """Return the status of every order."""
    async with connected(dsn) as connection:
        return {r["order_id"]: r["status"] for r in await connection.fetch(STATUSES)}


async def _count(dsn: str, sql: str, *values: object) -> int:
    async with connected(dsn, timeout=2.0) as connection:
        found: int = await connection.fetchval(sql, *values)
        return found


async def read_databases(
    orders_dsn: str,
    inventory_dsn: str,
    planned: tuple[PlannedOrder, ...],
    history: list[Entry],
) -> Observations:
    """Return what the databases hold, joined with the client's side."""
    movements, reservations, shelves, fired = await read_warehouse(inventory_dsn)
    async with connected(orders_dsn) as connection:
        orders = [_order(row) for row in await connection.fetch(ORDERS)]
        events = [OrderEvent(*row) for row in await connection.fetch(EVENTS)]
        fired += [Fired(*row) for row in await connection.fetch(FIRED)]
        notified = {r["event_seq"]: r["n"] for r in await connection.fetch(NOTIFIED)}
    return Observations(
        planned=planned,
        history=history,
        orders=orders,
        events=events,
        movements=movements,
        reservations=reservations,
        shelves=shelves,
        fired=fired,
        notifications=notified,
    )


def _order(row: Record) -> OrderRow:
    lines: dict[str, int] = {}
    for sku, quantity in zip(row["skus"], row["quantities"], strict=True):
        if sku is None:  # an order without lines, as this release makes none
            continue
        lines[sku] = lines.get(sku, 0) + quantity
    return OrderRow(
        row["order_id"], row["customer"], row["key"], row["status"], row["reason"], lines,
        row["created_at"], row["updated_at"],
    )  # fmt: skip
