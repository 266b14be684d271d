"""Both databases as a reconciliation reads them: in one pass, or afresh for some orders.

Inventory is always looked at before the orders database when something is found to be without an
order: an order is durable before the warehouse hears of it, so what inventory knew first must be in
orders now. And orders come first when an end is compared: goods move before an end is written down.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from backup.reconcile.contracts import OrderSide, StockSide
from inventory_api.contracts import Line, digest
from order_api.db.statements import REQUEST_CANCEL
from service_kit.postgres.connection import RawConnection, connect

CHUNK = 5_000
_CONNECT_WITHIN_S = 10.0
# One of the two may have nothing to read for a while.
_OPTIONS = {"idle_in_transaction_session_timeout": "10min", "cursor_tuple_fraction": "1.0"}

Pair = tuple[OrderSide | None, StockSide | None]


class Books:
    """A connection to each database, used by one caller at a time."""

    def __init__(self, orders: RawConnection, inventory: RawConnection, grace_s: float) -> None:
        self._orders = orders
        self._inventory = inventory
        self._grace_s = grace_s

    async def every_pair(self) -> AsyncGenerator[Pair]:
        """Yield what both sides say of each order, by id, each side as of one instant.

        Memory does not grow with the number of orders. Lines are not read.
        """
        async with _snapshot(self._inventory), _snapshot(self._orders):
            stocks = _each(self._inventory, EVERY_RESERVATION, self._grace_s)
            orders = _each(self._orders, EVERY_ORDER, self._grace_s)
            order, stock = await anext(orders, None), await anext(stocks, None)
            while order is not None or stock is not None:
                if stock is None or (order is not None and order[0] < stock[0]):
                    assert order is not None
                    yield OrderSide(*order), None
                    order = await anext(orders, None)
                elif order is None or stock[0] < order[0]:
                    yield None, StockSide(*stock)
                    stock = await anext(stocks, None)
                else:
                    yield OrderSide(*order), StockSide(*stock)
                    order, stock = await anext(orders, None), await anext(stocks, None)

    async def pairs(self, ids: Sequence[UUID]) -> list[Pair]:
        """Return what both sides say of these orders now, with lines, in the order of `ids`."""
        rows = await self._orders.fetch(ORDERS, self._grace_s, ids)
        orders = {row[0]: _with_lines(OrderSide, row) for row in rows}
        rows = await self._inventory.fetch(RESERVATIONS, self._grace_s, ids)
        stocks = {row[0]: _with_lines(StockSide, row) for row in rows}
        return [(orders.get(each), stocks.get(each)) for each in ids]

    async def without_order(self, ids: Collection[UUID]) -> list[UUID]:
        """Return those of these ids that are no order's."""
        rows = await self._orders.fetch(WITHOUT_ORDER, list(ids))
        return [row["order_id"] for row in rows]

    async def free(self, skus: Iterable[str]) -> dict[str, int]:
        """Return how many pieces of each SKU nobody holds; what is not kept is left out."""
        rows = await self._inventory.fetch(FREE, list(skus))
        return {row["sku"]: row["free"] for row in rows}

    async def request_cancel(self, order_id: UUID) -> bool:
        """Note in the order's row that it is to be cancelled; the relay tells its workflow."""
        return await self._orders.fetchval(REQUEST_CANCEL, order_id) is not None

    async def has_orders(self) -> bool:
        """Tell whether there is any order."""
        return bool(await self._orders.fetchval("SELECT EXISTS (SELECT FROM orders)"))

    async def has_reservations(self) -> bool:
        """Tell whether inventory knows of any order."""
        return bool(await self._inventory.fetchval("SELECT EXISTS (SELECT FROM reservations)"))

    async def now(self) -> datetime:
        """Return what the clock of the orders database shows."""
        shown: datetime = await self._orders.fetchval("SELECT now()")
        return shown

    async def open_orders(self, up_to: datetime) -> int:
        """Return how many orders that were placed until then have not ended."""
        return int(await self._orders.fetchval(OPEN_ORDERS, up_to))

    async def broken(self) -> list[str]:
        """Return each SKU and order for which inventory contradicts its own ledger."""
        async with _snapshot(self._inventory):
            shelves = await self._inventory.fetch(NOT_CONSERVED)
            orders = await self._inventory.fetch(NOT_AS_MOVED)
        return [
            f"{row['sku']}: {row['on_hand']} on hand and {row['reserved']} reserved, but the "
            f"ledger says {row['ledger_on_hand']} and {row['ledger_reserved']}"
            for row in shelves
        ] + [
            f"order {row['order_id']} is {row['state'] or 'unknown'}, but the ledger has "
            f"{row['held']} lines held, {row['gone']} committed and {row['back']} released"
            for row in orders
        ]


@asynccontextmanager
async def opened(
    orders_dsn: str, inventory_dsn: str, grace_s: float, *, read_only: bool = False
) -> AsyncIterator[Books]:
    """Give the books of both databases; their connections end with the block.

    With `read_only` the databases themselves refuse whatever would change anything.
    """
    async with AsyncExitStack() as stack:
        orders = await connect(orders_dsn, _CONNECT_WITHIN_S, server_settings=_OPTIONS)
        stack.push_async_callback(orders.close)
        inventory = await connect(inventory_dsn, _CONNECT_WITHIN_S, server_settings=_OPTIONS)
        stack.push_async_callback(inventory.close)
        for connection in (orders, inventory) if read_only else ():
            # not as an option of the connection: it would be taken for a standby, and refused
            await connection.execute("SET default_transaction_read_only = on")
        yield Books(orders, inventory, grace_s)


@asynccontextmanager
async def _snapshot(connection: RawConnection) -> AsyncIterator[None]:
    """Let all statements inside see one and the same instant: that of the entry."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.fetchval("SELECT now()")  # the first statement makes the snapshot
        yield


async def _each(connection: RawConnection, statement: str, *arguments: Any) -> AsyncIterator[Any]:
    cursor = await connection.cursor(statement, *arguments)
    while rows := await cursor.fetch(CHUNK):
        for row in rows:
            yield row


def _with_lines(side: Any, row: Any) -> Any:
    """Return the side of a row whose last column has the lines: these count, not the digest."""
    *columns, text = row
    lines = tuple(
        # as they are: a row of a later release may hold what this one would not let in
        Line.model_construct(sku=sku, quantity=quantity)
        for sku, quantity in json.loads(text or "[]")
    )
    made: dict[str, Any] = dict(zip(side.__slots__, columns, strict=False))
    return side(**{**made, "digest": digest(lines) if lines else made["digest"], "lines": lines})


_ORDER = """
SELECT o.order_id, o.status, o.request_digest, o.cancel_requested_at IS NOT NULL, o.created_at,
       o.created_at > now() - make_interval(secs => $1)
"""
EVERY_ORDER = f"{_ORDER} FROM orders o ORDER BY o.order_id"
ORDERS = f"""
{_ORDER}, (SELECT jsonb_agg(jsonb_build_array(l.sku, l.quantity) ORDER BY l.line_no)
           FROM order_lines l WHERE l.order_id = o.order_id)
FROM orders o WHERE o.order_id = ANY ($2::uuid[])
"""  # noqa: S608  constants in constants, here and below
_RESERVATION = """
SELECT r.order_id, r.state, r.request_digest, r.updated_at,
       r.updated_at > now() - make_interval(secs => $1)
"""
EVERY_RESERVATION = f"{_RESERVATION} FROM reservations r ORDER BY r.order_id"
RESERVATIONS = f"""
{_RESERVATION}, (SELECT jsonb_agg(jsonb_build_array(m.sku, m.quantity) ORDER BY m.movement_id)
                 FROM movements m WHERE m.order_id = r.order_id AND m.operation = 'reserve')
FROM reservations r WHERE r.order_id = ANY ($2::uuid[])
"""  # noqa: S608
WITHOUT_ORDER = """
SELECT order_id FROM unnest($1::uuid[]) AS named (order_id)
WHERE NOT EXISTS (SELECT FROM orders o WHERE o.order_id = named.order_id)
"""
FREE = "SELECT sku, on_hand - reserved AS free FROM stock WHERE sku = ANY ($1::text[])"
OPEN_ORDERS = """
SELECT count(*) FROM orders WHERE status IN ('received', 'reserved') AND created_at <= $1
"""
NOT_CONSERVED = """
SELECT * FROM (
    SELECT s.sku, s.on_hand, s.reserved,
           coalesce(sum(m.quantity) FILTER (WHERE m.operation IN ('initial', 'restock')), 0)
           - coalesce(sum(m.quantity) FILTER (WHERE m.operation = 'commit'), 0) AS ledger_on_hand,
           coalesce(sum(m.quantity) FILTER (WHERE m.operation = 'reserve'), 0)
           - coalesce(sum(m.quantity) FILTER (WHERE m.operation IN ('release', 'commit')), 0)
           AS ledger_reserved
    FROM stock s LEFT JOIN movements m USING (sku) GROUP BY s.sku
) level
WHERE (on_hand, reserved) IS DISTINCT FROM (ledger_on_hand, ledger_reserved)
"""
# What is held, committed or released of an order is all of its lines, as its state says.
NOT_AS_MOVED = """
SELECT order_id, state, held, gone, back FROM (
    SELECT order_id, r.state, coalesce(held, 0) AS held, coalesce(gone, 0) AS gone,
           coalesce(back, 0) AS back
    FROM reservations r FULL JOIN (
        SELECT order_id, count(*) FILTER (WHERE operation = 'reserve') AS held,
               count(*) FILTER (WHERE operation = 'commit') AS gone,
               count(*) FILTER (WHERE operation = 'release') AS back
        FROM movements WHERE order_id IS NOT NULL GROUP BY order_id
    ) m USING (order_id)
) moved
WHERE CASE state WHEN 'held' THEN held = 0 OR gone + back > 0
                 WHEN 'committed' THEN held = 0 OR gone <> held OR back > 0
                 WHEN 'released' THEN back <> held OR gone > 0
                 WHEN 'refused' THEN held + gone + back > 0
                 ELSE state IS NULL END
LIMIT 1000
"""
