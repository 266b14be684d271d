"""All SQL on stock: reserve, commit, release, restock, and reading their results.

Each effect is one transaction keyed by the order, so any call may be repeated, late or doubled.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from inventory_api import movement_lists
from inventory_api.contracts import (
    LedgerEntry,
    Line,
    Movement,
    Reservation,
    Shortage,
    StockLevel,
    digest,
)
from inventory_api.verdicts import OtherLines, Restocked, Verdict
from service_kit.postgres.group_commit import GroupCommit
from service_kit.postgres.pool import Connection, Pool, leaves_doubt, within


@dataclass(frozen=True, slots=True)
class _Reserve:
    order_id: UUID
    lines: tuple[Line, ...]


_Request = TypeVar("_Request")


class Stock:
    """The warehouse's shelf and ledger in Postgres.

    Concurrent calls are written together (group commit), each with its own verdict. `deadline_s`
    bounds every call: TimeoutError means that the outcome is unknown and the call may be repeated.
    """

    def __init__(self, pool: Pool, *, deadline_s: float, writers: int = 2) -> None:
        self._pool = pool
        self._deadline_s = deadline_s
        shared: dict[str, Any] = {
            # A key that another replica wrote at the same moment; asking again finds its row.
            "raced": (asyncpg.IntegrityConstraintViolationError,),
            "doubtful": leaves_doubt,
            "writers": writers,
        }
        self._reserve = GroupCommit[_Reserve, Verdict](
            self._reserve_batch, lambda request: request.order_id, **shared
        )
        self._commit = GroupCommit[UUID, Verdict](self._commit_batch, _itself, **shared)
        self._release = GroupCommit[UUID, Verdict](self._release_batch, _itself, **shared)

    async def reserve(self, order_id: UUID, lines: tuple[Line, ...]) -> Verdict:
        """Hold all `lines` for the order or none; OtherLines if it already asked for others."""
        verdict = await self._reserve.submit(_Reserve(order_id, lines))
        if verdict.conflict:
            raise OtherLines
        return verdict

    async def commit(self, order_id: UUID) -> Verdict:
        """Take a held order's pieces off the shelf. Only a held order changes."""
        return await self._commit.submit(order_id)

    async def release(self, order_id: UUID) -> Verdict:
        """Give a held order's pieces back, or leave a tombstone that a late reserve will find."""
        return await self._release.submit(order_id)

    async def _reserve_batch(self, requests: Sequence[_Reserve]) -> list[Verdict | Exception]:
        async def write(connection: Connection, some: Sequence[_Reserve]) -> list[Verdict]:
            rows = await connection.fetch(RESERVE, *_reserve_arguments(some))
            return [_reserve_verdict(row) for row in rows]

        async def behind_locks(connection: Connection) -> list[asyncpg.Record]:
            wanted = [
                (request.order_id, line.sku) for request in requests for line in request.lines
            ]
            return await connection.fetch(
                RESERVES_BEHIND_LOCKS, [order for order, _ in wanted], [sku for _, sku in wanted]
            )

        return await self._write(requests, lambda request: request.order_id, write, behind_locks)

    async def _commit_batch(self, orders: Sequence[UUID]) -> list[Verdict | Exception]:
        return await self._commit_or_release_batch(orders, "committed")

    async def _release_batch(self, orders: Sequence[UUID]) -> list[Verdict | Exception]:
        return await self._commit_or_release_batch(orders, "released")

    async def _commit_or_release_batch(
        self, orders: Sequence[UUID], target: str
    ) -> list[Verdict | Exception]:
        async def write(connection: Connection, some: Sequence[UUID]) -> list[Verdict]:
            rows = await connection.fetch(COMMIT_OR_RELEASE, list(some), target)
            return [Verdict(row["state"], row["replayed"]) for row in rows]

        async def behind_locks(connection: Connection) -> list[asyncpg.Record]:
            return await connection.fetch(HOLDS_BEHIND_LOCKS, list(orders))

        return await self._write(orders, lambda order: order, write, behind_locks)

    async def _write(
        self,
        requests: Sequence[_Request],
        order_of: Callable[[_Request], UUID],
        write: Callable[[Connection, Sequence[_Request]], Awaitable[list[Verdict]]],
        behind_locks: Callable[[Connection], Awaitable[list[asyncpg.Record]]],
    ) -> list[Verdict | Exception]:
        """Write them all; if somebody sits on a shelf, those that want others, once more."""
        async with within(self._pool, self._deadline_s) as connection:
            try:
                return [*await write(connection, requests)]
            except asyncpg.LockNotAvailableError as error:
                stuck = {row["order_id"] for row in await behind_locks(connection)}
                free = [request for request in requests if order_of(request) not in stuck]
                verdicts = iter(await write(connection, free) if free else ())
                return [
                    error if order_of(request) in stuck else next(verdicts) for request in requests
                ]

    async def restock(self, sku: str, key: str, quantity: int) -> Restocked:
        """Add `quantity` pieces once per `key`."""
        async with within(self._pool, self._deadline_s) as connection:
            row = await connection.fetchrow(RESTOCK, sku, key, quantity)
        assert row is not None  # the function always answers with one row
        level = _level(sku, row["on_hand"], row["reserved"]) if row["known"] else None
        return Restocked(level, row["replayed"], row["conflict"])

    async def knows_restock(self, key: str) -> bool:
        """Tell whether pieces were added under this key."""
        async with within(self._pool, self._deadline_s) as connection:
            return await connection.fetchval(KNOWS_RESTOCK, key) is not None

    async def levels(
        self, limit: int, after: str | None, skus: Sequence[str] | None, like: str | None
    ) -> list[StockLevel]:
        """Return up to `limit` levels, by SKU, from the one that follows SKU `after`.

        Of these `skus` only, unless None; `like` is a LIKE pattern for the SKU.
        """
        async with within(self._pool, self._deadline_s) as connection:
            rows = await connection.fetch(LEVELS, after, skus, like, limit)
        return [_level(row["sku"], row["on_hand"], row["reserved"]) for row in rows]

    async def level(self, sku: str) -> StockLevel | None:
        """Return one SKU's level, or None if there is no such SKU."""
        async with within(self._pool, self._deadline_s) as connection:
            row = await connection.fetchrow(LEVEL, sku)
        return None if row is None else _level(sku, row["on_hand"], row["reserved"])

    async def movements(
        self, limit: int, before: int | None, sku: str | None, operation: str | None
    ) -> list[LedgerEntry]:
        """Return up to `limit` movements with a number below `before`, newest first."""
        async with within(self._pool, self._deadline_s) as connection:
            return await movement_lists.newest(connection, limit, before, sku, operation)

    async def reservation(self, order_id: UUID) -> Reservation | None:
        """Return an order's state and movements, or None if the order is not known here."""
        async with within(self._pool, self._deadline_s) as connection:
            row = await connection.fetchrow(RESERVATION, order_id)
        if row is None:
            return None
        movements = [Movement.model_validate(item) for item in json.loads(row["movements"])]
        return Reservation(
            order_id=order_id,
            state=row["state"],
            lines=[
                Line(sku=movement.sku, quantity=movement.quantity)
                for movement in movements
                if movement.operation == "reserve"
            ],
            movements=movements,
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )


# See migrations/0006_typed_verdicts.sql for what these functions do: one round trip for a batch.
RESERVE = """
SELECT state, replayed, conflict, shortages FROM reserve_orders($1, $2, $3, $4, $5) ORDER BY place
"""
COMMIT_OR_RELEASE = "SELECT state, replayed FROM commit_or_release($1, $2) ORDER BY place"
# Which of them want a shelf that somebody is sitting on at this moment.
RESERVES_BEHIND_LOCKS = """
WITH wanted AS (
    SELECT order_id, sku FROM unnest($1::uuid[], $2::text[]) AS w (order_id, sku)
    JOIN stock USING (sku)
), free AS MATERIALIZED (
    SELECT sku FROM stock WHERE sku IN (SELECT sku FROM wanted)
    ORDER BY sku FOR NO KEY UPDATE SKIP LOCKED
)
SELECT DISTINCT order_id FROM wanted WHERE sku NOT IN (SELECT sku FROM free)
"""
HOLDS_BEHIND_LOCKS = """
WITH wanted AS (
    SELECT m.order_id, m.sku FROM movements m JOIN reservations r USING (order_id)
    WHERE m.order_id = ANY ($1) AND m.operation = 'reserve' AND r.state = 'held'
), free AS MATERIALIZED (
    SELECT sku FROM stock WHERE sku IN (SELECT sku FROM wanted)
    ORDER BY sku FOR NO KEY UPDATE SKIP LOCKED
)
SELECT DISTINCT order_id FROM wanted WHERE sku NOT IN (SELECT sku FROM free)
"""
KNOWS_RESTOCK = "SELECT 1 FROM movements WHERE restock_key = $1 LIMIT 1"
RESTOCK = "SELECT known, replayed, conflict, on_hand, reserved FROM restock_once($1, $2, $3)"
LEVELS = """
SELECT sku, on_hand, reserved FROM stock
WHERE ($1::text IS NULL OR sku > $1) AND ($2::text[] IS NULL OR sku = ANY ($2))
  AND ($3::text IS NULL OR sku ILIKE $3)
ORDER BY sku LIMIT $4
"""
LEVEL = "SELECT on_hand, reserved FROM stock WHERE sku = $1"
RESERVATION = """
SELECT state, created_at, updated_at, (
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'sku', sku, 'operation', operation, 'quantity', quantity, 'at', at
    ) ORDER BY movement_id), '[]')
    FROM movements WHERE order_id = $1
) AS movements
FROM reservations WHERE order_id = $1
"""


def _reserve_arguments(requests: Sequence[_Reserve]) -> tuple[Any, ...]:
    flat = [(n, line) for n, request in enumerate(requests, 1) for line in request.lines]
    return (
        [request.order_id for request in requests],
        [digest(request.lines) for request in requests],
        [n for n, _ in flat],
        [line.sku for _, line in flat],
        [line.quantity for _, line in flat],
    )


def _itself(order_id: UUID) -> UUID:
    return order_id


def _reserve_verdict(row: asyncpg.Record) -> Verdict:
    found = json.loads(row["shortages"]) if row["shortages"] else ()
    shortages = tuple(Shortage.model_validate(item) for item in found)
    return Verdict(row["state"], row["replayed"], shortages, conflict=row["conflict"])


def _level(sku: str, on_hand: int, reserved: int) -> StockLevel:
    return StockLevel(sku=sku, on_hand=on_hand, reserved=reserved, available=on_hand - reserved)
