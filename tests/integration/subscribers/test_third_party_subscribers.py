"""Subscribers from outside: they follow orders, and whatever they do, orders do not notice."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from deploy.local.postgres.connection import connected
from tests.support import third_party_subscribers
from tests.support.order_stack import OrderStack, Shopper, eventually


@pytest.fixture(scope="module")
def order_stack(order_stack: OrderStack) -> Iterator[OrderStack]:
    with order_stack.working():
        yield order_stack


async def told(stack: OrderStack) -> list[tuple[Any, ...]]:
    """Return every event, in the order in which they were committed."""
    rows = await stack.rows("SELECT seq, order_id, type FROM order_events ORDER BY tx, seq")
    return [tuple(row) for row in rows]


async def taken(stack: OrderStack, name: str) -> list[tuple[Any, ...]]:
    """Return what the subscriber's own table says, in the order in which it was written."""
    query = f"SELECT event_seq, order_id, type FROM {name}_events ORDER BY n"  # noqa: S608  our names
    try:
        rows = await stack.rows(query)
    except asyncpg.UndefinedTableError:
        return []
    return [tuple(row) for row in rows]


async def caught_up(stack: OrderStack, name: str, within_s: float = 60.0) -> None:
    """Wait until the subscriber has taken every event; each once, in order, or this fails."""

    async def all_taken() -> bool:
        return await taken(stack, name) == await told(stack)

    await eventually(all_taken, within_s)


async def goes_on(stack: OrderStack, shopper: Shopper, name: str) -> None:
    """Have orders shipped, which the subscriber takes before one that hangs is given up.

    That would be after ten seconds. A machine that stands still meanwhile costs it one try; if it
    waited for the other, it would need that long each time.
    """
    for tries_left in (2, 1, 0):
        for _ in range(3):
            await shopper.shipped()
        try:
            return await caught_up(stack, name, within_s=8.0)
        except AssertionError:
            if not tries_left:
                raise
    return None


async def appears(file: Path) -> None:
    async def there() -> bool:
        return await asyncio.to_thread(file.exists)

    await eventually(there)


async def test_notifications_are_written_for_what_a_shopper_wants_to_know(
    order_stack: OrderStack, shopper: Shopper, tmp_path: Path
) -> None:
    async with third_party_subscribers.running(order_stack.orders_dsn, tmp_path):
        await shopper.shipped()
        too_many = (await shopper.place("LAST-ONE", 5_000)).json()["order_id"]
        await shopper.until_settled(too_many)
        mine = "SELECT subject, body FROM notifications WHERE customer = $1 ORDER BY event_seq"

        async def written() -> list[asyncpg.Record]:
            try:
                rows = await order_stack.rows(mine, shopper.name)
            except asyncpg.UndefinedTableError:
                return []
            return rows if len(rows) >= 4 else []

        rows = await eventually(written)
    assert [row["subject"] for row in rows] == [
        "We have your order",
        "Your order is on its way",
        "We have your order",
        "We could not take your order",
    ]


@pytest.mark.parametrize("trouble", ["fail", "exit", "hang", "block"])
async def test_a_subscriber_from_outside_may_misbehave_and_nobody_notices(
    order_stack: OrderStack, shopper: Shopper, tmp_path: Path, trouble: str
) -> None:
    done = {"fail": "failed", "exit": "exited", "hang": "hung", "block": "blocked"}[trouble]
    bad, good = f"bad{trouble}", f"good{trouble}"
    package = third_party_subscribers.install(tmp_path, bad)
    third_party_subscribers.install(tmp_path, good)
    async with third_party_subscribers.running(order_stack.orders_dsn, tmp_path) as address:
        await shopper.shipped()
        await caught_up(order_stack, bad)
        (package / trouble).touch()
        await shopper.shipped()
        await appears(package / f"has-{done}")
        await goes_on(order_stack, shopper, good)  # now that the other hangs
        assert len(await taken(order_stack, bad)) < len(await told(order_stack))
        async with httpx.AsyncClient(base_url=address, timeout=30) as http:
            assert (await http.get("/livez")).status_code == 200
            if trouble in ("fail", "exit"):

                async def reported() -> bool:
                    check = (await http.get("/health")).json()["checks"][f"subscriber:{bad}"]
                    return bool(check[0]["status"] == "warn")

                await eventually(reported)
        (package / trouble).unlink()
        await caught_up(order_stack, bad)
    assert len(await taken(order_stack, bad)) == len(await told(order_stack))


async def test_a_subscriber_goes_on_where_it_stopped_when_its_process_was_away(
    order_stack: OrderStack, shopper: Shopper, tmp_path: Path
) -> None:
    third_party_subscribers.install(tmp_path, "pauses")
    async with third_party_subscribers.running(order_stack.orders_dsn, tmp_path):
        await shopper.shipped()
        await caught_up(order_stack, "pauses")
    await shopper.shipped()
    async with third_party_subscribers.running(order_stack.orders_dsn, tmp_path):
        await shopper.shipped()
        await caught_up(order_stack, "pauses")


async def test_a_subscriber_that_cannot_be_loaded_is_left_out(
    order_stack: OrderStack, shopper: Shopper, tmp_path: Path
) -> None:
    package = third_party_subscribers.install(tmp_path, "broken")
    (package / "__init__.py").write_text("raise ImportError('half installed')\n")
    third_party_subscribers.install(tmp_path, "whole")
    async with third_party_subscribers.running(
        order_stack.orders_dsn, tmp_path, complains="half installed"
    ):
        await shopper.shipped()
        await caught_up(order_stack, "whole")


async def test_an_event_that_is_committed_late_is_not_stepped_over(
    order_stack: OrderStack, shopper: Shopper, tmp_path: Path
) -> None:
    """Its number was given out before those of events that were there first."""
    third_party_subscribers.install(tmp_path, "careful")
    order_id = await shopper.shipped()
    async with (
        connected(order_stack.orders_dsn) as late,
        third_party_subscribers.running(order_stack.orders_dsn, tmp_path),
    ):
        await caught_up(order_stack, "careful")
        transaction = late.transaction()
        await transaction.start()
        number = await late.fetchval(LATE, order_id)
        await shopper.shipped()
        before = await taken(order_stack, "careful")
        await transaction.commit()
        await caught_up(order_stack, "careful")
        after = [seq for seq, _, _ in await taken(order_stack, "careful")]
        assert number not in [seq for seq, _, _ in before]
        assert number in after
        assert after.index(number) < len(after) - 1, "a smaller number, committed later"


LATE = """
INSERT INTO order_events (order_id, key, type, at, detail)
VALUES ($1::text::uuid, 'late', 'waiting', now(), '{}') RETURNING seq
"""
