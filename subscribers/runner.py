"""Feed order events to one subscriber: in commit order, each exactly once, for ever."""

import asyncio
import json
from typing import Any

import asyncpg
from prometheus_client import Counter

from order_api.db.restored import ADOPT, say_adopted
from service_kit.observability import logs
from service_kit.postgres.pool import POSTGRES_ERRORS, Connection, Pool
from service_kit.process.waiting import is_set_within
from subscribers.contracts import OrderEvent, Subscriber
from subscribers.lag import Lag
from subscribers.statements import ADVANCE, FAILURE, LOCK, NEXT, REGISTER, TAKE_TIME

BATCH_SIZE = 100
HANDLE_TIMEOUT_S = 10.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
POLL_INTERVAL_S = 1.0
# How the database knows the sessions of subscribers; statements.py looks for it.
APPLICATION = "subscribers"

HANDLED = Counter("subscriber_events", "Events a subscriber has taken.", ["subscriber"])
FAILED = Counter("subscriber_failures", "Events a subscriber has failed at.", ["subscriber"])

_log = logs.get(__name__)


class Runner:
    """One subscriber with its durable cursor.

    `changed` is set when there may be something to read; the runner also looks once a second.
    Replicas are fine: the cursor's row is locked while a batch is handled, the others wait.
    """

    def __init__(
        self, name: str, subscriber: Subscriber, pool: Pool, changed: asyncio.Event
    ) -> None:
        self.name = name
        self._subscriber = subscriber
        self._pool = pool
        self._changed = changed
        self._one_by_one = False
        self._lag = Lag(name)

    async def run(self) -> None:
        """Hand over events for ever, pausing longer and longer while the subscriber fails."""
        pause_s = FIRST_PAUSE_S
        prepared = False
        while True:
            try:
                if not prepared:
                    await self._prepare()
                    prepared = True
                taken = await self._take_batch()
            except Exception as error:
                FAILED.labels(self.name).inc()
                _log.warning(
                    "subscriber failed, will try again",
                    subscriber=self.name,
                    reason=repr(error)[:300],
                    pause_s=pause_s,
                )
                await self._note_failure(error)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            if taken < BATCH_SIZE:
                await is_set_within(self._changed, POLL_INTERVAL_S)
                self._changed.clear()

    async def _prepare(self) -> None:
        # first and by itself, so that failing at the rest can be noted
        await self._pool.execute(REGISTER, self.name)
        async with self._pool.acquire() as connection, connection.transaction():
            await self._subscriber.prepare(connection)

    async def _take_batch(self) -> int:
        """Handle up to BATCH_SIZE events and return how many there were.

        All of them share a commit. After a failure each gets its own, so that those before the
        one that fails do not wait for it.
        """
        async with self._pool.acquire() as connection:
            found = await connection.fetch(NEXT, self.name, BATCH_SIZE)
            if not found:
                raise RuntimeError("its row in subscriber_cursors is gone; a restart begins anew")
            if found[0]["foreign_events"]:
                await self._adopt(connection)
                return BATCH_SIZE
            self._lag.saw(found[0]["behind_s"], found[0]["next_seq"])
            rows = [row for row in found if row["seq"] is not None]
            together = 1 if self._one_by_one else BATCH_SIZE
            self._one_by_one = True  # unless all goes well
            for first in range(0, len(rows), together):
                if not await self._take(connection, rows[first : first + together]):
                    return BATCH_SIZE  # another replica was here; look again at once
            self._one_by_one = False
        if rows and len(rows) < BATCH_SIZE:
            self._lag.saw(found[0]["held_s"], found[0]["held_seq"])
        return len(rows)

    async def _adopt(self, connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute(TAKE_TIME)
            say_adopted(await connection.fetchval(ADOPT))

    async def _take(self, connection: Connection, rows: list[asyncpg.Record]) -> bool:
        """Handle `rows` and move the cursor past them, or neither; False if they are not next."""
        async with connection.transaction():
            if not await self._is_next(connection, rows[0]):
                return False
            for row in rows:
                await self._hand_over(_event(row), connection)
            await connection.execute(ADVANCE, self.name, rows[-1]["tx"], rows[-1]["seq"])
        HANDLED.labels(self.name).inc(len(rows))
        return True

    async def _hand_over(self, event: OrderEvent, connection: Connection) -> None:
        try:
            async with asyncio.timeout(HANDLE_TIMEOUT_S):
                await self._subscriber.handle(event, connection)
        except SystemExit as error:  # would end the loop, and with it the reading
            raise RuntimeError("the subscriber wanted to end the process") from error

    async def _is_next(self, connection: Connection, row: asyncpg.Record) -> bool:
        return bool(await connection.fetchval(LOCK, self.name, row["tx"], row["seq"]))

    async def _note_failure(self, error: Exception) -> None:
        try:
            await self._pool.execute(FAILURE, self.name, repr(error)[:500])
        except POSTGRES_ERRORS:
            _log.warning("could not note the failure either", subscriber=self.name)


def _event(row: asyncpg.Record) -> OrderEvent:
    found = json.loads(row["detail"])  # of a later release it may be no object
    detail: dict[str, Any] = found if isinstance(found, dict) else {"value": found}
    return OrderEvent(row["seq"], row["order_id"], row["customer"], row["type"], row["at"], detail)
