"""The database's clock is put back: what was accepted is settled, and figures stay sensible."""

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from deploy.local.postgres.connection import connected
from deploy.local.temporal.server import EmbeddedTemporal
from tests.support import third_party_subscribers
from tests.support.databases import Databases, name_in
from tests.support.order_stack import OrderStack, Shopper, eventually
from tests.support.serving import bearer

# Our own now() is found before the server's: statements and defaults get another time from it.
TURNABLE = """
CREATE SCHEMA turned;
CREATE TABLE turned.clock (off interval);
INSERT INTO turned.clock VALUES ('0');
CREATE FUNCTION turned.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT pg_catalog.now() + off FROM turned.clock';
GRANT ALL ON SCHEMA turned TO orders;
GRANT ALL ON turned.clock TO orders;
ALTER TABLE orders ALTER created_at SET DEFAULT turned.now(),
                   ALTER updated_at SET DEFAULT turned.now();
"""
SEARCH = "ALTER DATABASE {name} SET search_path = turned, public, pg_catalog"
CONNECT_ANEW = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = $1 AND pid <> pg_backend_pid()
"""
ACCEPTED = """
INSERT INTO orders (order_id, customer, idempotency_key, request_digest, total_minor, currency,
                    relay_at)
VALUES ($1::uuid, $2, $1::text, '', 1490, 'EUR', now() + interval '15 seconds')
"""
LINE = "INSERT INTO order_lines VALUES ($1, 1, 'MUG-BLUE', 1, 1490)"
NEAR = "SELECT FROM orders WHERE relay_at < now() + $1::interval"
TURN = "UPDATE turned.clock SET off = $1"


@pytest.fixture
def order_stack(databases: Databases, fresh_order_stack: OrderStack) -> OrderStack:
    name = name_in(fresh_order_stack.orders_dsn)
    admin_dsn = databases.postgres.admin_dsn(name)
    fresh_order_stack.loop_thread.run(_make_turnable(admin_dsn, name))
    return fresh_order_stack


async def _make_turnable(dsn: str, name: str) -> None:
    async with connected(dsn) as connection:
        await connection.execute(TURNABLE)
        await connection.execute(SEARCH.format(name=name))
        await connection.execute(CONNECT_ANEW, name)


async def summary(stack: OrderStack) -> dict[str, Any]:
    async with httpx.AsyncClient(headers=bearer("staff"), timeout=30) as staff:
        answer = await staff.get(f"{stack.orders.url}/v1/ops/summary")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def has_read_the_clock(stack: OrderStack, order_id: uuid.UUID) -> None:
    """Wait until the relay has, which it does before it takes the order: else it sees no jump."""
    await stack.rows("UPDATE orders SET relay_at = now() WHERE order_id = $1", order_id)
    taken = "SELECT FROM orders WHERE order_id = $1 AND relay_at > now()"
    await eventually(lambda: stack.rows(taken, order_id))


@pytest.mark.parametrize("back", [timedelta(seconds=100), timedelta(hours=1)], ids=str)
async def test_orders_accepted_before_the_clock_was_put_back_are_settled(
    order_stack: OrderStack, shopper: Shopper, temporal: EmbeddedTemporal, back: timedelta
) -> None:
    """By an order_api that died before it started them; their time has yet to come."""
    stack = order_stack
    stack.loop_thread.run(temporal.process.stop())  # or its lists would show that they are missing
    orders = [uuid.uuid4() for _ in range(3)]
    for order_id in orders:
        await stack.rows(ACCEPTED, order_id, shopper.name)
        await stack.rows(LINE, order_id)
    await has_read_the_clock(stack, orders[0])
    await stack.rows(TURN, -back)

    async def all_near() -> bool:
        return len(await stack.rows(NEAR, timedelta(seconds=20))) == len(orders)

    try:
        await eventually(all_near)
    finally:
        stack.loop_thread.run(temporal.process.start())
        stack.loop_thread.run(temporal.process.wait_ready())
    with stack.working():
        for order_id in orders:
            assert (await shopper.until_settled(str(order_id)))["status"] == "shipped"
    await stack.assert_ledger_agrees()


async def test_a_due_time_that_nobody_can_have_set_is_due(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    """What a relay finds that has not seen the clock jump: it was started afterwards."""
    order_id = (await shopper.place()).json()["order_id"]  # nobody works on it
    await order_stack.rows("UPDATE orders SET relay_at = now() + interval '1 hour'")

    async def brought_near() -> list[asyncpg.Record]:
        return await order_stack.rows(NEAR, timedelta(minutes=3))

    await eventually(brought_near)
    with order_stack.working():
        assert (await shopper.until_settled(order_id))["status"] == "shipped"


async def test_ages_of_orders_from_before_the_jump_grow_from_zero_and_are_never_negative(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    await shopper.place()  # nobody works on it
    await order_stack.rows(TURN, timedelta(hours=-1))
    await shopper.place()

    async def seen() -> dict[str, Any]:
        found = await summary(order_stack)
        assert found["relay_oldest_s"] >= 0
        assert found["oldest_unfinished_s"] >= 0
        return found if found["ahead_of_clock"] == 1 else {}

    found = await eventually(seen)
    assert found["unfinished"] == 2
    assert found["by_status"] == {"received": 1}, "of the last minutes, by the clock as it is"
    await order_stack.rows("UPDATE orders SET created_at = now() + interval '1 hour'")

    async def grown() -> bool:
        return bool((await summary(order_stack))["oldest_unfinished_s"] > 6)

    await eventually(grown)


async def test_a_subscriber_that_fails_at_an_event_from_before_the_jump_is_seen_to_be_behind(
    order_stack: OrderStack, shopper: Shopper, tmp_path: Path
) -> None:
    package = third_party_subscribers.install(tmp_path, "late")
    (package / "fail").touch()
    await order_stack.rows(TURN, timedelta(hours=1))
    await shopper.place()
    await order_stack.rows(TURN, timedelta(0))
    async with (
        third_party_subscribers.running(order_stack.orders_dsn, tmp_path) as address,
        httpx.AsyncClient(timeout=30) as client,
    ):

        async def behind() -> bool:
            try:
                page = (await client.get(f"{address}/metrics")).text
            except httpx.TransportError:
                return False
            [*lines] = [x for x in page.splitlines() if x.startswith("subscriber_behind_seconds{")]
            values = {line.split('"')[1]: float(line.split()[-1]) for line in lines}
            assert all(value >= 0 for value in values.values()), values
            return values.get("late", 0.0) > 1

        await eventually(behind)
