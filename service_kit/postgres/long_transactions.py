"""Health probe for transactions that stay open for long in a service's database.

As long as one is open, nothing that was alive when it began can be cleaned away: rows and index
entries that change all the time, stock and unfinished orders, get slower to read with every change.
"""

import asyncio
import contextlib
import time

from prometheus_client import Gauge

from service_kit.observability.health import PROBE_LIMIT_S, CheckResult
from service_kit.postgres.pool import POSTGRES_ERRORS, Pool, within

# Longer than any transaction of the services, and than a dump of a small shop.
LONG_S = 120.0
READ_EVERY_S = 5.0

OLDEST = Gauge(
    "postgres_oldest_transaction_seconds",
    "Age of the oldest open or prepared transaction in the service's database.",
)


class LongTransactions:
    """Knows the oldest transaction of the database behind `pool`; warns from `limit_s` on.

    Of other roles' sessions a service sees that they hold something, not since when: for those,
    age is counted from when they were first seen.
    """

    def __init__(self, pool: Pool, limit_s: float = LONG_S) -> None:
        self._pool = pool
        self._limit_s = limit_s
        self._first_seen: dict[str, float] = {}

    async def keep_reading(self) -> None:
        """Read now and then for ever, so that ages and the gauge are true when nobody asks."""
        while True:
            with contextlib.suppress(*POSTGRES_ERRORS):
                await self.probe()
            await asyncio.sleep(READ_EVERY_S)

    async def probe(self) -> CheckResult:
        """Warn and name the session or prepared transaction that has been open for too long."""
        async with within(self._pool, PROBE_LIMIT_S) as connection:
            rows = await connection.fetch(OPEN)
        now = time.monotonic()
        self._first_seen = {row["mark"]: self._first_seen.get(row["mark"], now) for row in rows}
        ages = [
            (max(row["age_s"], now - self._first_seen[row["mark"]]), row["holder"]) for row in rows
        ]
        age_s, holder = max(ages, default=(0.0, ""))
        OLDEST.set(age_s)
        if age_s > self._limit_s:
            return CheckResult("warn", f"{holder} keeps a transaction open", round(age_s), "s")
        return CheckResult(value=round(age_s), unit="s")


# What marks a transaction is its number or, while it only reads, the oldest one that it may see.
OPEN = """
SELECT format('process %s (%s, role %s)', pid, coalesce(nullif(application_name, ''), '?'),
              usename) AS holder,
       format('%s %s', pid, coalesce(backend_xid, backend_xmin)) AS mark,
       coalesce(extract(epoch FROM now() - xact_start), 0)::float8 AS age_s
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND coalesce(backend_xid, backend_xmin) IS NOT NULL
UNION ALL
SELECT format('the prepared transaction %L of role %s', gid, owner), gid,
       extract(epoch FROM now() - prepared)::float8
FROM pg_prepared_xacts WHERE database = current_database()
"""
