"""All SQL on orders: accept, read, record progress, ask for cancellation, hand out what lags."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from activities.contracts import Progress
from order_api.contracts import Order, OrderLine, Product, TimelineEvent, message_for
from order_api.wakeups import Wakeups
from service_kit.fault_points import Call, FaultPoints
from service_kit.group_commit import GroupCommit
from service_kit.pool import Connection, Pool, within
from workflows.contracts import OrderOutcome, workflow_id

DEADLINE_S = 1.0


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A valid, priced order that is about to be accepted.

    `relay_in_s`: how soon the relay should look after it if nobody else has.
    """

    order_id: UUID
    customer: str
    key: str
    digest: bytes
    lines: tuple[OrderLine, ...]
    total_minor: int
    currency: str
    relay_in_s: float


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """An order's row with its lines."""

    order_id: UUID
    customer: str
    digest: bytes
    status: str
    reason: str | None
    waiting_for: str | None
    lines: tuple[OrderLine, ...]
    total_minor: int
    currency: str
    created_at: datetime
    updated_at: datetime
    cancelling: bool = False

    def seen(self) -> Order:
        """Return the order as its customer sees it."""
        return Order.model_validate(
            {
                "order_id": self.order_id,
                "status": self.status,
                "reason": self.reason,
                "lines": list(self.lines),
                "total_minor": self.total_minor,
                "currency": self.currency,
                "created_at": self.created_at,
                "updated_at": self.updated_at,
                "message": message_for(
                    self.status, self.reason, self.waiting_for, cancelling=self.cancelling
                ),
                "workflow_id": workflow_id(self.order_id),
            }
        )

    def after(self, outcome: OrderOutcome) -> "StoredOrder":
        """Return the order as it is after what the saga has reported."""
        return replace(
            self,
            status=outcome.status,
            reason=outcome.reason,
            waiting_for=outcome.waiting_for,
            updated_at=outcome.at,
        )


@dataclass(frozen=True, slots=True)
class Accepted:
    """The order under a key, and whether this very request made it."""

    order: StoredOrder
    created: bool


@dataclass(frozen=True, slots=True)
class Laggard:
    """An unsettled order that nobody has looked after for a while."""

    order_id: UUID
    lines: tuple[OrderLine, ...]
    cancelling: bool


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
        self._recording = GroupCommit[Progress, None](
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
        earlier = {row["order_id"]: _stored(row) for row in await self._known(connection, known)}
        return [
            Accepted(_fresh(new, created_at[new.order_id]), created=True)
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
        return None if row is None else _stored(row)

    async def page(
        self,
        customer: str | None,
        status: str | None,
        limit: int,
        before: tuple[datetime, UUID] | None,
    ) -> list[StoredOrder]:
        """Return up to `limit` orders, newest first, of `customer` or of all (None)."""
        created_at, order_id = before or (None, None)
        sql = PAGE_OF_ALL if customer is None else PAGE_OF_CUSTOMER
        async with within(self._pool, DEADLINE_S) as connection:
            rows = await connection.fetch(sql, customer or "", status, created_at, order_id, limit)
        return [_stored(row) for row in rows]

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

    async def record(self, progress: Progress) -> None:
        """Keep an order's progress; repeated or older news change nothing."""
        await self._recording.submit(progress)
        self._wakeups.wake([progress.order_id])

    async def _record_batch(self, batch: Sequence[Progress]) -> list[None]:
        happened = [(p.order_id, h) for p in batch for h in p.happenings]
        async with within(self._pool, DEADLINE_S) as connection:
            await connection.execute(
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
        return [None] * len(batch)

    async def request_cancel(self, order_id: UUID) -> StoredOrder | None:
        """Note down durably that the customer wants out; None if the order has ended already."""
        async with within(self._pool, DEADLINE_S) as connection:
            row = await connection.fetchrow(REQUEST_CANCEL, order_id)
            if row is None:
                return None
            [found] = await connection.fetch(BY_IDS, [order_id])
        return _stored(found)

    # --- for the relay -------------------------------------------------------------------

    async def claim_laggards(self, limit: int, lease_s: float) -> list[Laggard]:
        """Take up to `limit` unsettled orders that are due, for `lease_s` seconds."""
        async with within(self._pool, DEADLINE_S) as connection:
            rows = await connection.fetch(CLAIM, limit, lease_s)
        return [Laggard(row["order_id"], _lines(row["lines"]), row["cancelling"]) for row in rows]

    async def relay_later(self, orders: Sequence[UUID], seconds: float) -> None:
        """Have these orders looked after again in `seconds`, if they are unsettled then."""
        async with within(self._pool, DEADLINE_S) as connection:
            await connection.execute(RELAY_LATER, list(orders), seconds)

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

_PAGE = """
AND ($2::text IS NULL OR o.status = $2)
AND ($3::timestamptz IS NULL OR (o.created_at, o.order_id) < ($3, $4::uuid))
ORDER BY o.created_at DESC, o.order_id DESC LIMIT $5
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
# the order of commits and a reader who asks for "after n" misses nothing.
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
), locked AS (
    SELECT count(*) FROM moved
)
INSERT INTO order_events (order_id, key, type, at, detail)
SELECT happened.order_id, happened.key, happened.type, happened.at, happened.detail::jsonb
FROM unnest($6::uuid[], $7::text[], $8::text[], $9::timestamptz[], $10::text[])
     WITH ORDINALITY AS happened (order_id, key, type, at, detail, n), locked
ORDER BY happened.n
ON CONFLICT ON CONSTRAINT told_once DO NOTHING
"""
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
WHERE order_id = ANY ($1) AND status IN ('received', 'reserved')
"""
BACKLOG = """
SELECT count(*) AS due,
       coalesce(extract(epoch FROM now() - min(relay_at)), 0)::float8 AS oldest_s
FROM orders WHERE status IN ('received', 'reserved') AND relay_at <= now()
"""


def _lines(column: str) -> tuple[OrderLine, ...]:
    return tuple(
        OrderLine(sku=sku, quantity=quantity, unit_price_minor=price)
        for sku, quantity, price in json.loads(column)
    )


def _stored(row: asyncpg.Record) -> StoredOrder:
    columns: dict[str, Any] = dict(row)
    columns["digest"] = columns.pop("request_digest")
    columns["lines"] = _lines(columns["lines"])
    return StoredOrder(**columns)


def _fresh(new: NewOrder, created_at: datetime) -> StoredOrder:
    return StoredOrder(
        order_id=new.order_id,
        customer=new.customer,
        digest=new.digest,
        status="received",
        reason=None,
        waiting_for=None,
        lines=new.lines,
        total_minor=new.total_minor,
        currency=new.currency,
        created_at=created_at,
        updated_at=created_at,
    )
