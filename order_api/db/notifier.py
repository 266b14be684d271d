"""Notifications of changed orders (`NOTIFY`), sent after the commit, many at once.

A NOTIFY inside the transaction would make commits queue for each other. So the database is told
after the commit, and under load for all orders of a tenth of a second together. A wake-up carries
no facts: it can be lost with the process or in a power cut, and whoever waits looks for itself
once a second anyway.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Self
from uuid import UUID

from service_kit.postgres.pool import POSTGRES_ERRORS, Pool, within
from service_kit.process.supervised import Supervised

CHANNEL = "order_events"
NOTIFY_INTERVAL_S = 0.1  # between two announcements; the first after a pause is made at once
IDS_PER_NOTIFY = 200  # a payload has at most 8000 bytes, an id with its comma has 37


class Notifier:
    """Announces changed orders on the channel; an async context manager around its one task."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._changed: set[UUID] = set()
        self._has_changes = asyncio.Event()
        self._announcing = Supervised("notifier", self._announce)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start announcing."""
        self._task = asyncio.create_task(self._announcing.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop announcing."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def notify(self, orders: Iterable[UUID]) -> None:
        """Have these orders announced soon."""
        self._changed.update(orders)
        self._has_changes.set()

    async def _announce(self) -> None:
        while True:
            await self._has_changes.wait()
            self._has_changes.clear()
            ids = [str(order_id) for order_id in self._changed]
            self._changed.clear()
            payloads = [
                ",".join(ids[start : start + IDS_PER_NOTIFY])
                for start in range(0, len(ids), IDS_PER_NOTIFY)
            ]
            with contextlib.suppress(*POSTGRES_ERRORS):
                async with within(self._pool, 1.0) as connection:
                    await connection.execute(NOTIFY, CHANNEL, payloads)
            await asyncio.sleep(NOTIFY_INTERVAL_S)


# Nobody has to wait until this is on disk.
NOTIFY = """
SELECT pg_notify($1, payload)
FROM set_config('synchronous_commit', 'off', true), unnest($2::text[]) AS payload
"""
