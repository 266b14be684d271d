"""The orders database by itself: many orders in one statement, each with its own verdict."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from activities.contracts import StoredStatus
from order_api.contracts import order_id_for
from order_api.db.notifier import Notifier
from order_api.db.store import Store
from order_api.db.stored_order import Accepted
from service_kit.postgres import pool
from tests.support.new_orders import new_order, progress
from tests.support.serving import patient_store


@pytest.fixture
async def connections(orders_database: str) -> AsyncIterator[pool.Pool]:
    found = await pool.create(
        orders_database, name="store", size=8, lock_timeout_s=10, statement_timeout_s=10
    )
    yield found
    found.terminate()


@pytest.fixture
async def store(connections: pool.Pool) -> AsyncIterator[Store]:
    with patient_store():
        async with Notifier(connections) as notifier:
            yield Store(connections, notifier)


async def test_orders_that_arrive_together_are_stored_together_and_a_known_one_is_found_again(
    store: Store, connections: pool.Pool
) -> None:
    known = await store.accept(new_order("known", b"first"))
    assert known.created
    # the first goes alone; the others wait for it and go together, the known one among them
    keys = [*(f"new-{n}" for n in range(20)), "known", *(f"more-{n}" for n in range(20))]
    accepted = await asyncio.gather(
        *(store.accept(new_order(key, skus=("MUG-BLUE", "TEE-BASIC"))) for key in keys)
    )
    for key, answer in zip(keys, accepted, strict=True):
        assert answer.order.order_id == order_id_for("alice", key)
        assert answer.created == (key != "known")
    again = accepted[keys.index("known")]
    assert again.order.digest == b"first", "what was stored, not what was asked for now"
    assert [line.sku for line in again.order.lines] == ["MUG-BLUE"]
    transactions = await connections.fetchval("SELECT count(DISTINCT tx) FROM order_events")
    assert transactions < 10, "41 orders"
    assert await connections.fetchval("SELECT count(*) FROM order_lines") == 81
    assert await connections.fetchval("SELECT count(*) FROM order_events") == 41


async def test_the_same_order_from_many_sides_is_made_once(
    store: Store, connections: pool.Pool
) -> None:
    async with Notifier(connections) as notifier:
        replica = Store(connections, notifier)
        answers = await asyncio.gather(
            *((store, replica)[n % 2].accept(new_order("one")) for n in range(40))
        )
    assert sum(answer.created for answer in answers) == 1
    assert len({answer.order.created_at for answer in answers}) == 1


async def test_news_that_come_twice_late_or_after_the_end_change_nothing(store: Store) -> None:
    order_id = (await store.accept(new_order("told"))).order.order_id
    held = progress(order_id, "reserved", "reserved")
    assert await store.record(held) == StoredStatus(status="reserved")
    await store.record(held)
    shipped = progress(order_id, "shipped", "shipped")
    for _ in range(2):
        assert (await store.record(shipped)).status == "shipped"
    assert (await store.record(held)).status == "shipped", "older news"
    other_end = progress(order_id, "cancelled", "cancel_requested", "cancelled")
    assert (await store.record(other_end)).status == "shipped", "the end stands"
    assert [e.type for e in await store.events(order_id)] == ["received", "reserved", "shipped"]


async def test_progress_of_many_orders_shares_a_statement_and_each_hears_of_its_own(
    store: Store,
) -> None:
    orders = [
        answer.order.order_id
        for answer in await asyncio.gather(*(store.accept(new_order(f"o-{n}")) for n in range(30)))
    ]
    ended = orders[7]
    await store.record(progress(ended, "rejected", "rejected"))
    heard = await asyncio.gather(
        *(store.record(progress(order_id, "shipped", "shipped")) for order_id in orders)
    )
    for order_id, recorded in zip(orders, heard, strict=True):
        assert recorded.status == ("rejected" if order_id == ended else "shipped")


async def test_news_of_an_order_that_is_not_there_are_not_swallowed(store: Store) -> None:
    with pytest.raises(LookupError):
        await store.record(progress(uuid.uuid4(), "shipped", "shipped"))


async def test_an_order_with_a_line_that_the_database_refuses_takes_no_other_with_it(
    store: Store,
) -> None:
    bad = new_order("bad", skus=("MUG-BLUE", "MUG-BLUE"))
    answers = await asyncio.gather(
        store.accept(new_order("first")),
        store.accept(bad),
        store.accept(new_order("good")),
        return_exceptions=True,
    )
    assert isinstance(answers[1], asyncpg.UniqueViolationError)
    assert await store.order(bad.order_id) is None
    assert await store.order(order_id_for("alice", "good")) is not None


async def test_an_order_that_costs_more_than_a_bigint_takes_no_other_with_it(store: Store) -> None:
    """An error that is raised before the database has seen the batch."""
    dear = replace(new_order("dear"), total_minor=2**63)
    neighbours = [new_order(f"beside-{n}") for n in range(20)]
    first, bad, *others = await asyncio.gather(
        store.accept(new_order("ahead")),
        store.accept(dear),
        *(store.accept(order) for order in neighbours),
        return_exceptions=True,
    )
    assert isinstance(bad, asyncpg.DataError)
    assert isinstance(first, Accepted)
    assert all(isinstance(answer, Accepted) for answer in others), others
