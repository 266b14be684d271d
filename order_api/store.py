"""All SQL on orders: accept, read, record progress, ask for cancellation, hand out what lags."""

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from activities.contracts import Progress, Recorded
from order_api.contracts import Product, TimelineEvent
from order_api.search import Search
from order_api.stored_order import (
    Accepted,
    Laggard,
    NewOrder,
    StoredOrder,
    fresh,
    lines_of,
    stored,
)
from order_api.wakeups import Wakeups
from service_kit.fault_points import Call, FaultPoints
from service_kit.group_commit import GroupCommit
from service_kit.pool import Connection, Pool, within

DEADLINE_S = 1.0


class Store:
    """The orders database. Each call is bounded; TimeoutError leaves its outcome unknown."""

    def __init__(self, pool: Pool, wakeups: Wakeups, faults: FaultPoints) -> None:
        self._pool = pool
        self._wakeups = wakeups
        self._faults = faults
        blame = (asyncpg.IntegrityConstraintViolationError, asyncpg.DeadlockDetectedError)
        self._accepting = GroupCommit[NewOrder, Accepted](
            self._accept_batch, lambda new: new.order_id, blame=blame, writers=2
        )
        self._recording = GroupCommit[Progress, Recorded | None](
            self._record_batch, lambda progress: progress.order_id, blame=blame, writers=2
        )

    # --- accepting -----------------------------------------------------------------------

    async def accept(self, new: NewOrder) -> Accepted:
        """Make the order durable, or return the one that this key has made before."""
        call = Call(new.order_id, "accept")
        if self._faults.planned("order.before_commit", call):
            async with self._pool.acquire() as connection, connection.transaction():
                [accepted] = await self._insert(connection, [new])
                await self._faults.reach("order.before_commit", call)
        else:
            accepted = await self._accepting.submit(new)
        if accepted.created:
            self._wakeups.wake([new.order_id])
        await self._faults.reach("order.after_commit", call)
        return accepted

    async def _accept_batch(self, batch: Sequence[NewOrder]) -> list[Accepted]:
        async with within(self._pool, DEADLINE_S) as connection:
            return await self._insert(connection, batch)

    async def _insert(self, connection: Connection, batch: Sequence[NewOrder]) -> list[Accepted]:
        lines = [(new.order_id, n, line) for new in batch for n, line in enumerate(new.lines, 1)]
        rows = await connection.fetch(
            ACCEPT,
            [new.order_id for new in batch],
            [new.customer for new in batch],
            [new.key for new in batch],
            [new.digest for new in batch],
            [new.total_minor for new in batch],
            [new.currency for new in batch],
            [new.relay_in_s for new in batch],
            [order_id for order_id, _, _ in lines],
            [n for _, n, _ in lines],
            [line.sku for _, _, line in lines],
            [line.quantity for _, _, line in lines],
            [line.unit_price_minor for _, _, line in lines],
        )
        created_at = {row["order_id"]: row["created_at"] for row in rows}
        known = [new.order_id for new in batch if new.order_id not in created_at]
        # a statement of its own: its snapshot sees what the insert has just run into
        earlier = {row["order_id"]: stored(row) for row in await self._known(connection, known)}
        return [
            Accepted(fresh(new, created_at[new.order_id]), created=True)
            if new.order_id in created_at
            else Accepted(earlier[new.order_id], created=False)
            for new in batch
        ]

    @staticmethod
    async def _known(connection: Connection, orders: list[UUID]) -> list[asyncpg.Record]:
        return await connection.fetch(BY_IDS, orders) if orders else []

    # --- reading -------------------------------------------------------------------------

    async def products(self) -> list[Product]:
        """Return what is on sale, by SKU."""
        async with within(self._pool, DEADLINE_S) as connection:
            rows = await connection.fetch(PRODUCTS)
        return [Product.model_validate(dict(row)) for row in rows]

    async def order(self, order_id: UUID) -> StoredOrder | None:
        """Return an order, or None."""
        async with within(self._pool, DEADLINE_S) as connection:
            row = await connection.fetchrow(BY_IDS, [order_id])
        return None if row is None else stored(row)

    async def page(
        self,
        customer: str | None,
        status: str | None,
        limit: int,
        before: tuple[datetime, UUID] | None,
        search: Search | None = None,
    ) -> list[StoredOrder]:
        """Return up to `limit` orders, newest first, of `customer` or of all (None)."""
        created_at, order_id = before or (None, None)
        sql = PAGE_OF_ALL if customer is None else PAGE_OF_CUSTOMER
        arguments = [customer or "", status, created_at, order_id, limit]
        if search is not None:
            sql = sql.replace(NEWEST_FIRST, f"{search.condition} {NEWEST_FIRST}")
            arguments += search.arguments
        async with within(self._pool, DEADLINE_S) as connection:
            rows = await connection.fetch(sql, *arguments)
        return [stored(row) for row in rows]

    async def events(self, order_id: UUID, after: int = 0) -> list[TimelineEvent]:
        """Return what has happened to the order since event number `after`."""
        async with within(self._pool, DEADLINE_S) as connection:
            rows = await connection.fetch(EVENTS, order_id, after)
        return [
            TimelineEvent(
                seq=row["seq"], at=row["at"], type=row["type"], detail=json.loads(row["detail"])
            )
            for row in rows
        ]

    # --- what the saga and the shopper change --------------------------------------------

    async def record(self, progress: Progress) -> Recorded:
        """Keep an order's progress and return how it stands then.

        Repeated or older news change nothing, nor does a second end. LookupError if there is no
        such order: its news must not be lost, so whoever brings them has to come again.
        """
        recorded = await self._recording.submit(progress)
        if recorded is None:
            raise LookupError(f"no order {progress.order_id}")
        self._wakeups.wake([progress.order_id])
        return recorded

    async def _record_batch(self, batch: Sequence[Progress]) -> list[Recorded | None]:
        happened = [(p.order_id, h) for p in batch for h in p.happenings]
        async with within(self._pool, DEADLINE_S) as connection:
            moved = await connection.fetch(
                RECORD,
                [p.order_id for p in batch],
                [p.status for p in batch],
                [p.reason for p in batch],
                [p.waiting_for for p in batch],
                [p.at for p in batch],
                [order_id for order_id, _ in happened],
                [h.key for _, h in happened],
                [h.type for _, h in happened],
                [h.at for _, h in happened],
                [json.dumps(h.detail) for _, h in happened],
            )
            news = {p.order_id: Recorded(status=p.status, reason=p.reason) for p in batch}
            known = list(news.keys() - {row["order_id"] for row in moved})
            # a statement of its own: its snapshot sees who was quicker
            found = await connection.fetch(STANDING, known) if known else []
        stood = {
            row["order_id"]: Recorded(status=row["status"], reason=row["reason"]) for row in found
        }
        return [stood.get(p.order_id) if p.order_id in known else news[p.order_id] for p in batch]

    async def request_cancel(self, order_id: UUID) -> StoredOrder | None:
        """Note down durably that the customer wants out; None if the order has ended already."""
        async with within(self._pool, DEADLINE_S) as connection:
            row = await connection.fetchrow(REQUEST_CANCEL, order_id)
            if row is None:
                return None
            [found] = await connection.fetch(BY_IDS, [order_id])
        return stored(found)

    # --- for the relay -------------------------------------------------------------------

    async def claim_laggards(self, limit: int, lease_s: float) -> list[Laggard]:
        """Take up to `limit` unsettled orders that are due, for `lease_s` seconds."""
        async with within(self._pool, DEADLINE_S) as connection:
            rows = await connection.fetch(CLAIM, limit, lease_s)
        return [Laggard(row["order_id"], lines_of(row["lines"]), row["cancelling"]) for row in rows]

    async def relay_later(self, orders: Sequence[UUID], seconds: float) -> set[UUID]:
        """Have those of these orders that are unsettled looked after again; return their ids."""
        async with within(self._pool, DEADLINE_S) as connection:
            rows = await connection.fetch(RELAY_LATER, list(orders), seconds)
        return {row["order_id"] for row in rows}

    async def backlog(self) -> tuple[int, float]:
        """Return how many orders are due for the relay, and the age in seconds of the oldest."""
        async with within(self._pool, DEADLINE_S) as connection:
            row = await connection.fetchrow(BACKLOG)
        assert row is not None  # an aggregate without GROUP BY always has one row
        return row["due"], row["oldest_s"]


ACCEPT = """
WITH accepted AS (
    INSERT INTO orders (order_id, customer, idempotency_key, request_digest, total_minor,
                        currency, relay_at)
    SELECT order_id, customer, key, digest, total_minor, currency,
           now() + make_interval(secs => relay_in_s)
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::bigint[], $6::text[],
                $7::float8[])
         AS new (order_id, customer, key, digest, total_minor, currency, relay_in_s)
    ORDER BY order_id
    ON CONFLICT DO NOTHING
    RETURNING order_id, created_at
), lines AS (
    INSERT INTO order_lines (order_id, line_no, sku, quantity, unit_price_minor)
    SELECT order_id, line_no, sku, quantity, unit_price_minor
    FROM unnest($8::uuid[], $9::int[], $10::text[], $11::int[], $12::bigint[])
         AS line (order_id, line_no, sku, quantity, unit_price_minor)
    JOIN accepted USING (order_id)
), told AS (
    INSERT INTO order_events (order_id, key, type, at, detail)
    SELECT order_id, 'received', 'received', created_at, '{"message": "We have your order."}'
    FROM accepted
)
SELECT order_id, created_at FROM accepted
"""

_ORDER = """
SELECT o.order_id, o.customer, o.request_digest, o.status, o.reason, o.waiting_for, o.total_minor,
       o.currency, o.created_at, o.updated_at, o.cancel_requested_at IS NOT NULL AS cancelling,
       (SELECT jsonb_agg(jsonb_build_array(l.sku, l.quantity, l.unit_price_minor)
                         ORDER BY l.line_no)
        FROM order_lines l WHERE l.order_id = o.order_id) AS lines
FROM orders o
"""
BY_IDS = f"{_ORDER} WHERE o.order_id = ANY ($1::uuid[])"

NEWEST_FIRST = "ORDER BY o.created_at DESC, o.order_id DESC"
_PAGE = f"""
AND ($2::text IS NULL OR o.status = $2)
AND ($3::timestamptz IS NULL OR (o.created_at, o.order_id) < ($3, $4::uuid))
{NEWEST_FIRST} LIMIT $5
"""
PAGE_OF_CUSTOMER = f"{_ORDER} WHERE o.customer = $1 {_PAGE}"
PAGE_OF_ALL = f"{_ORDER} WHERE $1 = '' {_PAGE}"

PRODUCTS = """
SELECT sku, name, description, unit_price_minor, currency, image_url
FROM products WHERE listed ORDER BY sku
"""
EVENTS = """
SELECT seq, at, type, detail FROM order_events WHERE order_id = $1 AND seq > $2 ORDER BY seq
"""

# The row is locked before the events get their numbers, so that within an order numbers grow in
# the order of commits and a reader who asks for "after n" misses nothing. A row that has ended
# does not move, and its story is complete.
RECORD = """
WITH news AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
        AS news (order_id, status, reason, waiting_for, at)
), moved AS (
    UPDATE orders o SET status = news.status, reason = news.reason,
           waiting_for = news.waiting_for, updated_at = news.at
    FROM news
    WHERE o.order_id = news.order_id
      AND (order_rank(news.status) > order_rank(o.status)
           OR (news.status = o.status AND order_rank(o.status) < 2))
    RETURNING o.order_id
), told AS (
    INSERT INTO order_events (order_id, key, type, at, detail)
    SELECT happened.order_id, happened.key, happened.type, happened.at, happened.detail::jsonb
    FROM unnest($6::uuid[], $7::text[], $8::text[], $9::timestamptz[], $10::text[])
         WITH ORDINALITY AS happened (order_id, key, type, at, detail, n)
    JOIN moved USING (order_id)
    ORDER BY happened.n
    ON CONFLICT ON CONSTRAINT told_once DO NOTHING
)
SELECT order_id FROM moved
"""
STANDING = "SELECT order_id, status, reason FROM orders WHERE order_id = ANY ($1)"
REQUEST_CANCEL = """
UPDATE orders SET cancel_requested_at = coalesce(cancel_requested_at, now()),
       relay_at = least(relay_at, now() + interval '3 seconds')
WHERE order_id = $1 AND status IN ('received', 'reserved') RETURNING order_id
"""
CLAIM = """
UPDATE orders o SET relay_at = now() + make_interval(secs => $2)
FROM (
    SELECT order_id FROM orders
    WHERE status IN ('received', 'reserved') AND relay_at <= now()
    ORDER BY relay_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
) due
WHERE o.order_id = due.order_id
RETURNING o.order_id, o.cancel_requested_at IS NOT NULL AS cancelling,
    (SELECT jsonb_agg(jsonb_build_array(l.sku, l.quantity, l.unit_price_minor) ORDER BY l.line_no)
     FROM order_lines l WHERE l.order_id = o.order_id) AS lines
"""
RELAY_LATER = """
UPDATE orders SET relay_at = now() + make_interval(secs => $2)
WHERE order_id = ANY ($1) AND status IN ('received', 'reserved') RETURNING order_id
"""
BACKLOG = """
SELECT count(*) AS due,
       coalesce(extract(epoch FROM now() - min(relay_at)), 0)::float8 AS oldest_s
FROM orders WHERE status IN ('received', 'reserved') AND relay_at <= now()
"""
