"""Who keeps a transaction open for long is named, for rows cannot be cleaned away meanwhile."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from service_kit.observability.health import CheckResult
from service_kit.postgres import pool
from service_kit.postgres.long_transactions import LongTransactions
from tests.support.both_apis import BothApis
from tests.support.databases import Databases
from tests.support.order_stack import eventually
from tests.support.own_cluster import check_of, metric, passes
from tests.support.serving import Served


@pytest.fixture
async def connections(own_database: str) -> AsyncIterator[pool.Pool]:
    made = await pool.create(
        own_database, name="order_api", size=2, lock_timeout_s=5, statement_timeout_s=5
    )
    yield made
    made.terminate()


async def probed(watch: LongTransactions) -> CheckResult | None:
    """Return what it finds; None if the database stood still for as long as a probe may take."""
    try:
        return await watch.probe()
    except TimeoutError:
        return None


async def warned(watch: LongTransactions) -> str:
    """Wait until `watch` warns, and return whom it names."""

    async def warning() -> CheckResult | None:
        finding = await probed(watch)
        return finding if finding is not None and finding.status == "warn" else None

    finding = await eventually(warning)
    assert finding is not None
    return finding.output


async def content(watch: LongTransactions) -> None:
    async def passing() -> bool:
        finding = await probed(watch)
        return finding is not None and finding.status == "pass"

    await eventually(passing)


@pytest.mark.parametrize("statement", ["SELECT count(*) FROM orders", "CREATE TABLE open ()"])
@pytest.mark.parametrize("role", ["orders", "postgres"])
async def test_a_session_with_a_long_snapshot_or_change_is_named(
    connections: pool.Pool, own_cluster: Databases, own_database: str, role: str, statement: str
) -> None:
    """Also one of another role, whose times are hidden from ours."""
    name = urlsplit(own_database).path[1:]
    person = await asyncpg.connect(
        own_cluster.postgres.dsn(name, role), server_settings={"application_name": "report tool"}
    )
    watch = LongTransactions(connections, limit_s=0.0)
    async with person.transaction(isolation="repeatable_read"):
        await person.execute(statement)
        said = await warned(watch)
    assert said.startswith(f"process {person.get_server_pid()} (report tool, role {role}) ")
    await content(watch)
    await person.close()


async def test_a_prepared_transaction_left_behind_is_named(
    connections: pool.Pool, own_database: str
) -> None:
    person = await asyncpg.connect(own_database)
    await person.execute("BEGIN; CREATE TABLE left_behind (); PREPARE TRANSACTION 'left'")
    try:
        watch = LongTransactions(connections, limit_s=0.0)
        said = await warned(watch)
        assert said.startswith("the prepared transaction 'left' of role orders ")
    finally:
        await person.execute("ROLLBACK PREPARED 'left'")
    await content(watch)
    await person.close()


async def test_transactions_of_other_databases_do_not_count(
    connections: pool.Pool, own_cluster: Databases
) -> None:
    with own_cluster.fresh("inventory") as elsewhere:
        person = await asyncpg.connect(elsewhere)
        async with person.transaction(isolation="repeatable_read"):
            await person.execute("CREATE TABLE left_open ()")
            watch = LongTransactions(connections, limit_s=0.0)
            for _ in range(3):
                finding = await eventually(lambda: probed(watch))
                assert finding is not None
                assert f"process {person.get_server_pid()} " not in finding.output
        await person.close()


@pytest.mark.parametrize("service", ["orders", "inventory"])
async def test_both_services_report_the_oldest_transaction(apis: BothApis, service: str) -> None:
    served: Served = getattr(apis, service)
    await passes(served.url, "postgres:oldest_transaction")

    async def measured() -> dict[str, Any]:
        check = await check_of(served.url, "postgres:oldest_transaction")
        return check if "observedUnit" in check else {}

    assert (await eventually(measured))["observedUnit"] == "s"
    assert await metric(served.url, "postgres_oldest_transaction_seconds") >= 0


@pytest.mark.parametrize("database", ["orders", "inventory"])
async def test_a_session_of_ours_that_idles_in_a_transaction_is_ended(
    databases: Databases, database: str
) -> None:
    """Whoever works as a service's role by hand gets a limit, too; a tool may set its own."""
    person = await asyncpg.connect(databases.postgres.dsn(database))
    limit = await person.fetchval("SHOW idle_in_transaction_session_timeout")
    await person.close()
    assert limit == "1min"
