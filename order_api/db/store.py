"""Access to the orders database: accept, read, record updates, cancel, hand out due orders."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from activities.contracts import StatusUpdate, StoredStatus
from order_api.contracts import Product, TimelineEvent
from order_api.db import figures, order_lists, statements
from order_api.db.figures import Figures
from order_api.db.notifier import Notifier
from order_api.db.order_lists import ListQuery, Page
from order_api.db.stored_order import (
    Accepted,
    DueOrder,
    NewOrder,
    StoredOrder,
    from_new,
    from_row,
)
from order_api.search import Search
from service_kit.postgres.group_commit import GroupCommit
from service_kit.postgres.pool import Connection, Pool, leaves_doubt, within
from workflows import shopper_texts

STORE_DEADLINE_S = 1.0
FIGURES_DEADLINE_S = 0.8
# No due time is set further ahead than this: one that lies there is of a clock since put back.
MAX_RELAY_DELAY_S = 180.0


class Store:
    """The orders database. Each call is bounded; TimeoutError leaves its outcome unknown."""

    def __init__(self, pool: Pool, notifier: Notifier) -> None:
        self._pool = pool
        self._notifier = notifier
        raced = (asyncpg.IntegrityConstraintViolationError, asyncpg.DeadlockDetectedError)
        self._accepting = GroupCommit[NewOrder, Accepted](
            self._accept_batch,
            lambda new: new.order_id,
            raced=raced,
            doubtful=leaves_doubt,
            writers=2,
        )
        self._recording = GroupCommit[StatusUpdate, StoredStatus | None](
            self._record_batch,
            lambda progress: progress.order_id,
            raced=raced,
            doubtful=leaves_doubt,
            writers=2,
        )

    # --- accepting -----------------------------------------------------------------------

    async def accept(self, new: NewOrder) -> Accepted:
        """Make the order durable, or return the one that this key has made before."""
        accepted = await self._accepting.submit(new)
        if accepted.created:
            self._notifier.notify([new.order_id])
        return accepted

    async def _accept_batch(self, batch: Sequence[NewOrder]) -> list[Accepted]:
        async with within(self._pool, STORE_DEADLINE_S) as connection:
            return await self._insert(connection, batch)

    async def _insert(self, connection: Connection, batch: Sequence[NewOrder]) -> list[Accepted]:
        lines = [(new.order_id, n, line) for new in batch for n, line in enumerate(new.lines, 1)]
        rows = await connection.fetch(
            statements.ACCEPT,
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
            shopper_texts.RECEIVED,
        )
        created_at = {row["order_id"]: row["created_at"] for row in rows}
        known = [new.order_id for new in batch if new.order_id not in created_at]
        # a statement of its own: its snapshot sees what the insert has just run into
        earlier = {row["order_id"]: from_row(row) for row in await self._known(connection, known)}
        return [
            Accepted(from_new(new, created_at[new.order_id]), created=True)
            if new.order_id in created_at
            else Accepted(earlier[new.order_id], created=False)
            for new in batch
        ]

    @staticmethod
    async def _known(connection: Connection, orders: list[UUID]) -> list[asyncpg.Record]:
        return await connection.fetch(statements.BY_IDS, orders) if orders else []

    # --- reading -------------------------------------------------------------------------

    async def products(
        self, limit: int, after: str | None, skus: Sequence[str] | None, like: str | None
    ) -> list[Product]:
        """Return up to `limit` products on sale, by SKU, from the one that follows SKU `after`.

        Of these `skus` only, unless None; `like` is a LIKE pattern for SKU or name.
        """
        async with within(self._pool, STORE_DEADLINE_S) as connection:
            rows = await connection.fetch(statements.PRODUCTS, after, skus, like, limit)
        return [Product.model_validate(dict(row)) for row in rows]

    async def prices(self, skus: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Return unit price (minor units) and currency of those of these SKUs that are on sale."""
        async with within(self._pool, STORE_DEADLINE_S) as connection:
            rows = await connection.fetch(statements.PRICES, skus)
        return {row["sku"]: (row["unit_price_minor"], row["currency"]) for row in rows}

    async def order(self, order_id: UUID) -> StoredOrder | None:
        """Return an order, or None."""
        async with within(self._pool, STORE_DEADLINE_S) as connection:
            row = await connection.fetchrow(statements.BY_IDS, [order_id])
        return None if row is None else from_row(row)

    async def page(
        self,
        customer: str | None,
        status: str | None,
        limit: int,
        before: tuple[datetime, UUID] | None,
        search: Search | None = None,
    ) -> Page:
        """Return up to `limit` orders, newest first, of `customer` or of all (None)."""
        wanted = ListQuery(customer, status, limit, before)
        async with within(self._pool, STORE_DEADLINE_S) as connection:
            if search is None:
                return await order_lists.newest(connection, wanted)
            return await order_lists.found(connection, wanted, search)

    async def events(self, order_id: UUID, after: int = 0) -> list[TimelineEvent]:
        """Return what has happened to the order since event number `after`."""
        async with within(self._pool, STORE_DEADLINE_S) as connection:
            rows = await connection.fetch(statements.EVENTS, order_id, after)
        return [
            TimelineEvent(
                seq=row["seq"], at=row["at"], type=row["type"], detail=json.loads(row["detail"])
            )
            for row in rows
        ]

    async def with_new_events(self, seen: Mapping[UUID, int]) -> list[UUID]:
        """Return those of the orders that have events after the number seen."""
        async with within(self._pool, STORE_DEADLINE_S) as connection:
            rows = await connection.fetch(
                statements.ORDERS_WITH_NEW_EVENTS, [*seen], [*seen.values()]
            )
        return [row["order_id"] for row in rows]

    async def figures(self, since_s: float, rate_s: float, watched_event: int) -> Figures:
        """Return the figures of all orders, those of the last `since_s` seconds by status.

        `watched_event` is the number of an event: is an order up to it open?
        """
        async with within(self._pool, FIGURES_DEADLINE_S) as connection:
            return await figures.read(
                connection,
                since_s=since_s,
                rate_s=rate_s,
                max_relay_delay_s=MAX_RELAY_DELAY_S,
                watched_event=watched_event,
            )

    # --- what the saga and the shopper change --------------------------------------------

    async def record(self, progress: StatusUpdate) -> StoredStatus:
        """Keep an order's progress and return how it stands then.

        Repeated or older updates change nothing, nor does a second end. LookupError if there is no
        such order: its update must not be lost, so whoever brings it has to come again.
        """
        recorded = await self._recording.submit(progress)
        if recorded is None:
            raise LookupError(f"no order {progress.order_id}")
        self._notifier.notify([progress.order_id])
        return recorded

    async def _record_batch(self, batch: Sequence[StatusUpdate]) -> list[StoredStatus | None]:
        happened = [(p.order_id, h) for p in batch for h in p.entries]
        async with within(self._pool, STORE_DEADLINE_S) as connection:
            moved = await connection.fetch(
                statements.RECORD,
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
            updates = {p.order_id: StoredStatus(status=p.status, reason=p.reason) for p in batch}
            known = list(updates.keys() - {row["order_id"] for row in moved})
            # a statement of its own: its snapshot sees who was quicker
            found = await connection.fetch(statements.STATUSES, known) if known else []
        stood = {
            row["order_id"]: StoredStatus(status=row["status"], reason=row["reason"])
            for row in found
        }
        return [
            stood.get(p.order_id) if p.order_id in known else updates[p.order_id] for p in batch
        ]

    async def request_cancel(self, order_id: UUID) -> StoredOrder | None:
        """Note down durably that the customer wants out; None if the order has ended already."""
        async with within(self._pool, STORE_DEADLINE_S) as connection:
            row = await connection.fetchrow(statements.REQUEST_CANCEL, order_id)
            if row is None:
                return None
            [found] = await connection.fetch(statements.BY_IDS, [order_id])
        return from_row(found)

    # --- for the relay -------------------------------------------------------------------

    async def correct_due_times(self, not_before: datetime | None) -> tuple[datetime, float]:
        """Make up for a database clock that was put back; return what it shows, and by how much.

        `not_before` is the earliest that it can show if nobody has put it back.
        """
        async with within(self._pool, STORE_DEADLINE_S) as connection:
            row = await connection.fetchrow(
                statements.CORRECT_DUE_TIMES, not_before, MAX_RELAY_DELAY_S
            )
        assert row is not None  # the clock always shows something
        return row["at"], row["back_s"]

    async def claim_due(self, limit: int, lease_s: float) -> list[DueOrder]:
        """Take up to `limit` unsettled orders that are due, for `lease_s` seconds."""
        async with within(self._pool, STORE_DEADLINE_S) as connection:
            rows = await connection.fetch(statements.CLAIM_DUE, limit, lease_s)
        return [DueOrder(row["order_id"], row["lines"], row["cancelling"]) for row in rows]

    async def relay_later(self, orders: Sequence[UUID], seconds: float) -> set[UUID]:
        """Have those of these orders that are unsettled looked after again; return their ids."""
        async with within(self._pool, STORE_DEADLINE_S) as connection:
            rows = await connection.fetch(statements.RELAY_LATER, list(orders), seconds)
        return {row["order_id"] for row in rows}

    async def relay_now(self, orders: Sequence[UUID]) -> int:
        """Have those of these orders that are open looked after at once; return how many."""
        async with within(self._pool, STORE_DEADLINE_S) as connection:
            rows = await connection.fetch(statements.RELAY_NOW, list(orders))
        return len(rows)

    async def orders_at_work(self) -> frozenset[UUID]:
        """Return the open orders whose workflow the relay has found at work some time ago.

        All others it visits by itself within seconds.
        """
        async with within(self._pool, STORE_DEADLINE_S) as connection:
            found = await connection.fetchval(statements.AT_WORK)
        return frozenset(found)

    async def backlog(self) -> tuple[int, float]:
        """Return how many orders are due for the relay, and the age in seconds of the oldest."""
        async with within(self._pool, STORE_DEADLINE_S) as connection:
            row = await connection.fetchrow(statements.BACKLOG, MAX_RELAY_DELAY_S)
        assert row is not None  # an aggregate without GROUP BY always has one row
        return row["due"], row["oldest_s"]
