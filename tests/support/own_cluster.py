"""Order events by plain SQL, and a Postgres cluster of one's own to leave transactions open in."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx

from deploy.local.postgres.server import EmbeddedPostgres
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.order_stack import eventually

AN_HOUR = timedelta(hours=1)
_ORDER = """
INSERT INTO orders (order_id, customer, idempotency_key, request_digest, total_minor, currency,
                    relay_at)
VALUES ($1::uuid, 'alice', $1::uuid::text, '', 100, 'EUR', now() + interval '1 day')
"""
_EVENT = """
INSERT INTO order_events (order_id, key, type, at, detail)
VALUES ($1, $2::text, $2::text, now() - $3::interval, '{}') RETURNING seq
"""


@contextmanager
def cluster(loop_thread: EventLoopThread, folder: Path) -> Iterator[Databases]:
    """Run a cluster that allows prepared transactions, with both templates migrated."""
    postgres = EmbeddedPostgres(folder, fsync=False)
    loop_thread.run(postgres.prepare())
    with (postgres.data / "postgresql.conf").open("a") as settings:
        settings.write("\nmax_prepared_transactions = 5\n")
    with loop_thread.entered(postgres):
        databases = Databases(loop_thread, postgres)
        databases.prepare()
        yield databases


async def tell(
    connection: "asyncpg.Connection[Any]", *types: str, age: timedelta = AN_HOUR
) -> list[int]:
    """Write an order with an event of each of `types`, `age` old; return the events' numbers."""
    order_id: UUID = uuid4()
    await connection.execute(_ORDER, order_id)
    return [await connection.fetchval(_EVENT, order_id, one, age) for one in types]


async def written(connection: "asyncpg.Connection[Any]", numbers: list[int]) -> None:
    """Wait until the notifications have been written for exactly the events `numbers`."""

    async def all_there() -> bool:
        try:
            rows = await connection.fetch("SELECT event_seq FROM notifications ORDER BY 1")
        except asyncpg.UndefinedTableError:
            return False
        return [row["event_seq"] for row in rows] == sorted(numbers)

    await eventually(all_there)


async def check_of(address: str, name: str) -> dict[str, Any]:
    """Return what /health at `address` says of `name`."""
    async with httpx.AsyncClient(base_url=address, timeout=30) as http:
        found: dict[str, Any] = (await http.get("/health")).json()["checks"][name][0]
    return found


async def says(address: str, name: str, words: str) -> dict[str, Any]:
    """Wait until /health warns of `name` with `words` (a pattern), and return that check."""

    async def warned() -> dict[str, Any]:
        try:
            check = await check_of(address, name)
        except httpx.TransportError:  # still starting
            return {}
        fits = check["status"] == "warn" and re.search(words, check.get("output", ""))
        return check if fits else {}

    return await eventually(warned, 60.0)


async def passes(address: str, name: str) -> None:
    """Wait until /health is content with `name`."""

    async def content() -> bool:
        try:
            return bool((await check_of(address, name))["status"] == "pass")
        except httpx.TransportError:  # still starting: subscribers begin before the page is there
            return False

    await eventually(content, 60.0)


async def shows(address: str, series: str, fits: Callable[[float], bool]) -> None:
    """Wait until the value of `series` fits: what is measured may be shown later than it is so."""

    async def fitting() -> bool:
        return fits(await metric(address, series))

    await eventually(fitting, 60.0)


async def metric(address: str, series: str) -> float:
    """Return the value of `series`, as it stands on the metrics page at `address`."""
    async with httpx.AsyncClient(base_url=address, timeout=30) as http:
        page = (await http.get("/metrics")).text
    for line in page.splitlines():
        if line.startswith(f"{series} "):
            return float(line.rpartition(" ")[2])
    return float("nan")
