"""What keeps subscribers from order events, what does not, and that it is said while it does."""

import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.local.postgres.connection import connected
from subscribers.statements import NEXT
from tests.support import third_party_subscribers
from tests.support.databases import Databases, name_in
from tests.support.own_cluster import metric, passes, says, shows, tell, written

CHECK = "subscriber:notifications"
BEHIND = 'subscriber_behind_seconds{subscriber="notifications"}'
STUCK_BEHIND = 'subscriber_behind_seconds{subscriber="stuck"}'


def is_an_hour(seconds: float) -> bool:
    return seconds > 3500


def is_nothing(seconds: float) -> bool:
    return seconds == 0.0


@pytest.fixture
async def orders(own_database: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    async with connected(own_database) as connection:
        yield connection


@pytest.fixture
def elsewhere(own_cluster: Databases) -> Iterator[str]:
    with own_cluster.fresh("inventory") as found:
        yield found


async def test_a_transaction_of_another_database_holds_no_subscriber_up(
    orders: "asyncpg.Connection[Any]", own_database: str, elsewhere: str, tmp_path: Path
) -> None:
    stranger = await asyncpg.connect(elsewhere)
    async with (
        third_party_subscribers.running(own_database, tmp_path) as address,
        stranger.transaction(),
    ):
        await stranger.execute("CREATE TABLE left_open ()")
        async with stranger.transaction():  # a subtransaction has a number of its own
            await stranger.execute("CREATE TABLE left_open_too ()")
        await written(orders, await tell(orders, "received", "shipped"))
        await passes(address, CHECK)
    await stranger.close()


async def test_a_prepared_transaction_of_another_database_holds_no_subscriber_up(
    orders: "asyncpg.Connection[Any]", own_database: str, elsewhere: str, tmp_path: Path
) -> None:
    stranger = await asyncpg.connect(elsewhere)
    await stranger.execute("BEGIN; CREATE TABLE left_behind (); PREPARE TRANSACTION 'far'")
    try:
        async with third_party_subscribers.running(own_database, tmp_path) as address:
            await written(orders, await tell(orders, "received", "shipped"))
            await passes(address, CHECK)
    finally:
        await stranger.execute("ROLLBACK PREPARED 'far'")
        await stranger.close()


async def test_prepared_transactions_are_looked_at_twice(
    orders: "asyncpg.Connection[Any]",
) -> None:
    """One look may put two of them into one; the planner must not make one of two."""
    query = NEXT.replace("$1", "'any'").replace("$2", "1")
    plan = [row[0] for row in await orders.fetch(f"EXPLAIN {query}")]
    assert len([line for line in plan if "Function Scan on pg_prepared_xact" in line]) == 2


async def test_lag_is_measured_on_what_is_committed_and_its_cause_is_named(
    orders: "asyncpg.Connection[Any]", own_database: str, own_cluster: Databases, tmp_path: Path
) -> None:
    """The one who is in the way is another role's: most of its session is hidden from ours."""
    name = name_in(own_database)
    person = await asyncpg.connect(
        own_cluster.postgres.admin_dsn(name), server_settings={"application_name": "report tool"}
    )
    pid = person.get_server_pid()
    try:
        async with third_party_subscribers.running(own_database, tmp_path) as address:
            async with person.transaction():
                await person.execute("CREATE TABLE left_open ()")
                numbers = await tell(orders, "received", "shipped")
                named = rf"process {pid} \(report tool, role postgres\)"
                check = await says(address, CHECK, named)
                assert check["observedUnit"] == "s"
                assert check["observedValue"] > 3500
                await shows(address, BEHIND, is_an_hour)
            await written(orders, numbers)
            await passes(address, CHECK)
            await shows(address, BEHIND, is_nothing)
    finally:
        await person.close()


async def test_a_prepared_transaction_left_behind_is_named(
    orders: "asyncpg.Connection[Any]", own_database: str, tmp_path: Path
) -> None:
    other = await asyncpg.connect(own_database)
    await other.execute("BEGIN; CREATE TABLE left_behind (); PREPARE TRANSACTION 'it''s near'")
    try:
        numbers = await tell(orders, "received")
        async with third_party_subscribers.running(own_database, tmp_path) as address:
            await says(address, CHECK, r"prepared transaction 'it''s near' of role orders")
            await other.execute("COMMIT PREPARED 'it''s near'")
            await written(orders, numbers)
            await passes(address, CHECK)
    finally:
        if await other.fetchval("SELECT gid FROM pg_prepared_xacts WHERE gid LIKE '%near'"):
            await other.execute("ROLLBACK PREPARED 'it''s near'")
        await other.close()


async def test_a_subscriber_that_is_stuck_at_an_event_says_at_which_and_for_how_long(
    orders: "asyncpg.Connection[Any]", own_database: str, tmp_path: Path
) -> None:
    package = third_party_subscribers.install(tmp_path, "stuck")
    (package / "fail").touch()
    first, second = await tell(orders, "received", "shipped")
    async with third_party_subscribers.running(own_database, tmp_path) as address:
        await says(address, "subscriber:stuck", rf"fails at event {first}: \d+ times in a row")
        await shows(address, STUCK_BEHIND, is_an_hour)
        assert await metric(address, 'subscriber_failures_total{subscriber="stuck"}') >= 1
        await written(orders, [first, second])
        (package / "fail").unlink()
        await passes(address, "subscriber:stuck")
        await shows(address, STUCK_BEHIND, is_nothing)


UNPREPARED = '''
    """Cannot make its table."""

    class Unprepared:
        async def prepare(self, connection):
            await connection.execute("CREATE TABLE pg_catalog.mine ()")

        async def handle(self, event, connection):
            raise AssertionError("never gets here")
'''


async def test_a_subscriber_that_cannot_make_its_tables_says_so(
    orders: "asyncpg.Connection[Any]", own_database: str, tmp_path: Path
) -> None:
    package = third_party_subscribers.install(tmp_path, "unprepared")
    (package / "__init__.py").write_text(textwrap.dedent(UNPREPARED))
    numbers = await tell(orders, "received")
    async with third_party_subscribers.running(own_database, tmp_path) as address:
        await says(address, "subscriber:unprepared", r"fails at event \d+: \d+ times in a row")
        await written(orders, numbers)
        assert await metric(address, 'subscriber_behind_seconds{subscriber="unprepared"}') > 0
