"""A warehouse written another way, right unless a mutation is asked for.

It keeps one key per order and operation in a table of its own and does everything in one plain
transaction. Without a mutation it passes the checks, so what they find is the mutation.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, get_args
from uuid import UUID

import asyncpg

from chaos.injection.attempts import attempt
from chaos.injection.commit_faults import CommitFaults
from inventory_api.contracts import Line
from inventory_api.stock import Stock
from inventory_api.verdicts import Verdict
from service_kit.postgres.pool import Connection, Pool

Mutation = Literal[
    "none",
    "no unique key",
    "key in another transaction",
    "key includes the attempt",
    "release without tombstone",
    "no check",
    "dedupe in memory only",
]
MUTATIONS: tuple[Mutation, ...] = get_args(Mutation)

# The real schema would stop most mutants by itself: that is what it is for.
UNGUARDED = """
DROP INDEX IF EXISTS movements_once_per_order;
CREATE TABLE IF NOT EXISTS keys (key text PRIMARY KEY, state text NOT NULL);
"""
UNCHECKED = """
ALTER TABLE stock DROP CONSTRAINT IF EXISTS stock_not_oversold,
    DROP CONSTRAINT IF EXISTS stock_on_hand_not_negative,
    DROP CONSTRAINT IF EXISTS stock_reserved_not_negative;
"""
STATE = """
INSERT INTO reservations (order_id, state, shortages) VALUES ($1, $2, $3)
ON CONFLICT (order_id) DO UPDATE SET state = $2, shortages = $3, updated_at = now()
"""
MOVE = "INSERT INTO movements (order_id, sku, operation, quantity) VALUES ($1, $2, $3, $4)"
HOLD = "UPDATE stock SET reserved = reserved + $2 WHERE sku = $1"
SHIP = "UPDATE stock SET reserved = reserved - $2, on_hand = on_hand - $2 WHERE sku = $1"
FREE = "UPDATE stock SET reserved = reserved - $2 WHERE sku = $1"
# A hold that was written twice is not shipped twice by the shipping alone.
HELD = """
SELECT DISTINCT sku, quantity FROM movements WHERE order_id = $1 AND operation = 'reserve'
ORDER BY sku
"""


Effect = Callable[[Connection], Awaitable[str]]


class MutantStock(Stock):
    """Decides and writes its own way; only reading is left as it is."""

    def __init__(self, pool: Pool, commits: CommitFaults, mutation: Mutation) -> None:
        super().__init__(pool, deadline_s=1.0)
        self._commits = commits
        self._mutation = mutation
        self._memory: dict[str, str] = {}

    async def reserve(self, order_id: UUID, lines: tuple[Line, ...]) -> Verdict:
        try:
            return await self._once("reserve", order_id, lambda c: self._hold(c, order_id, lines))
        except asyncpg.CheckViolationError:
            return await self._once("reserve", order_id, lambda c: self._refuse(c, order_id, lines))

    async def commit(self, order_id: UUID) -> Verdict:
        return await self._once(
            "commit", order_id, lambda c: self._commit_or_release(c, order_id, "committed")
        )

    async def release(self, order_id: UUID) -> Verdict:
        return await self._once(
            "release", order_id, lambda c: self._commit_or_release(c, order_id, "released")
        )

    async def _once(self, operation: str, order_id: UUID, effect: Effect) -> Verdict:
        """Do `effect` unless its key says that it has been done."""
        key = f"{order_id}/{operation}"
        if self._mutation == "key includes the attempt":
            key += f"/{attempt.get()}"
        async with self._pool.acquire() as connection:
            if self._mutation == "key in another transaction":
                done, state = await self._in_two(connection, key, operation, order_id, effect)
            else:
                async with connection.transaction():
                    done, state = await self._known(connection, key), ""
                    if done is None:
                        state = await effect(connection)
                        await self._commits.strike(operation, [order_id])
                        await self._remember(connection, key, state)
        return Verdict(done or state, replayed=done is not None)

    async def _in_two(
        self, connection: Connection, key: str, operation: str, order_id: UUID, effect: Effect
    ) -> tuple[str | None, str]:
        done = await self._known(connection, key)
        if done is not None:
            return done, done
        async with connection.transaction():
            state = await effect(connection)
        await self._commits.strike(operation, [order_id])
        await self._remember(connection, key, state)
        return None, state

    async def _known(self, connection: Connection, key: str) -> str | None:
        if self._mutation == "no unique key":
            return None
        if self._mutation == "dedupe in memory only":
            return self._memory.get(key)
        found: str | None = await connection.fetchval("SELECT state FROM keys WHERE key = $1", key)
        return found

    async def _remember(self, connection: Connection, key: str, state: str) -> None:
        if self._mutation == "dedupe in memory only":
            self._memory[key] = state
        elif self._mutation != "no unique key":
            await connection.execute("INSERT INTO keys VALUES ($1, $2)", key, state)

    async def _hold(self, connection: Connection, order_id: UUID, lines: Sequence[Line]) -> str:
        state = await self._state(connection, order_id)
        if state == "released":
            return state  # the tombstone
        for line in sorted(lines, key=lambda line: line.sku):
            await connection.execute(HOLD, line.sku, line.quantity)
            await connection.execute(MOVE, order_id, line.sku, "reserve", line.quantity)
        await connection.execute(STATE, order_id, "held", None)
        return "held"

    async def _refuse(self, connection: Connection, order_id: UUID, lines: Sequence[Line]) -> str:
        await connection.execute(STATE, order_id, "refused", f'["{lines[0].sku}"]')
        return "refused"

    async def _commit_or_release(self, connection: Connection, order_id: UUID, target: str) -> str:
        state = await self._state(connection, order_id)
        if state is None and self._mutation == "release without tombstone":
            return target
        if state not in (None, "held", target):
            return state
        if state == target and self._mutation != "no unique key":
            return target
        sql, operation = (SHIP, "commit") if target == "committed" else (FREE, "release")
        for row in await connection.fetch(HELD, order_id):
            await connection.execute(sql, row["sku"], row["quantity"])
            await connection.execute(MOVE, order_id, row["sku"], operation, row["quantity"])
        await connection.execute(STATE, order_id, target, None)
        return target

    async def _state(self, connection: Connection, order_id: UUID) -> str | None:
        found: str | None = await connection.fetchval(
            "SELECT state FROM reservations WHERE order_id = $1", order_id
        )
        return found
