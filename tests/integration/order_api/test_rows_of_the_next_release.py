"""This release beside the next one: rows, events and columns that it does not know."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest

from activities.contracts import StatusUpdate, StoredStatus, TimelineEntry
from order_api.db import order_lists
from order_api.db.notifier import Notifier
from order_api.db.store import Store
from service_kit.postgres import pool
from tests.support import next_release
from tests.support.next_release import EXPIRED, WAITS
from tests.support.order_stack import OrderStack, Shopper, eventually
from tests.support.serving import bearer

CANCELS = "SELECT cancel_requested_at, relay_at < now() + interval '5 s' AS soon FROM orders"


@pytest.fixture(scope="module")
def order_stack(order_stack: OrderStack) -> OrderStack:
    next_release.migrate_all(order_stack)
    return order_stack


@pytest.fixture
async def staff(order_stack: OrderStack) -> AsyncIterator[Shopper]:
    async with Shopper(order_stack.orders, "staff") as found:
        yield found


@pytest.fixture
async def waits(order_stack: OrderStack, shopper: Shopper) -> str:
    return await next_release.order(
        order_stack.orders_dsn,
        shopper.name,
        "waits",
        WAITS,
        reason="later",
        waiting_for="stock",
    )


async def test_an_order_in_an_unknown_status_is_passed_on_and_said_so_neutrally(
    shopper: Shopper, waits: str
) -> None:
    order = await shopper.order(waits)
    assert (order["status"], order["reason"]) == (WAITS, "later")
    assert "slow" not in order["message"]
    assert "We have your order" in order["message"]


async def test_one_unknown_order_does_not_hide_the_others_of_a_list(
    order_stack: OrderStack, shopper: Shopper, staff: Shopper, waits: str
) -> None:
    known = (await shopper.place()).json()["order_id"]
    for reader, scope in ((shopper, "own"), (staff, "all")):
        answer = await reader.http.get("/v1/orders", params={"scope": scope, "limit": 100})
        assert answer.status_code == 200, answer.text
        found = {order["order_id"]: order["status"] for order in answer.json()["items"]}
        assert found[waits] == WAITS
        assert known in found


async def all_pages(reader: Shopper, **params: str) -> list[dict[str, Any]]:
    """Return all orders of a list, two by two."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await reader.http.get("/v1/orders", params={"limit": 2, **params, **cursor})
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if answer.json()["next_cursor"] is None:
            return found
        cursor = {"cursor": answer.json()["next_cursor"]}


@pytest.mark.parametrize(
    "most_looked_at", [order_lists.MAX_MATCHES, 0], ids=["few fit", "many fit"]
)
@pytest.mark.parametrize("search", ["", "its number", "MUG-BLUE", "mug"])
@pytest.mark.parametrize("scope", ["own", "all"])
async def test_the_pages_of_every_list_and_search_have_each_order_once_whatever_its_status(
    order_stack: OrderStack,
    shopper: Shopper,
    staff: Shopper,
    waits: str,
    monkeypatch: pytest.MonkeyPatch,
    scope: str,
    search: str,
    most_looked_at: int,
) -> None:
    monkeypatch.setattr(order_lists, "MAX_MATCHES", most_looked_at)
    for status in ("received", EXPIRED, "shipped", WAITS):
        await next_release.order(order_stack.orders_dsn, shopper.name, status, status)
    params = {"scope": scope}
    if search:
        params["search"] = waits[:13] if search == "its number" else search
    found = await all_pages(staff if scope == "all" else shopper, **params)
    rows = await order_stack.rows(
        "SELECT order_id, status FROM orders WHERE $1 OR customer = $2"
        " ORDER BY created_at DESC, order_id DESC",
        scope == "all",
        shopper.name,
    )
    assert [(order["order_id"], order["status"]) for order in found] == [
        (str(row["order_id"]), row["status"])
        for row in rows
        if search != "its number" or str(row["order_id"]) == waits
    ]


async def test_an_order_is_not_missed_in_a_status_that_nobody_was_in_a_moment_ago(
    order_stack: OrderStack, shopper: Shopper, staff: Shopper, waits: str
) -> None:
    async def counted() -> bool:
        counts = (await staff.http.get("/v1/ops/summary")).json()["by_status"]
        return bool(counts.get("backordered") == 1)

    assert [order["status"] for order in await all_pages(shopper)] == [WAITS]
    await order_stack.rows("ALTER TABLE orders DROP CONSTRAINT IF EXISTS orders_status_check")
    await order_stack.rows(
        "UPDATE orders SET status = 'backordered' WHERE order_id = $1", UUID(waits)
    )
    for params in ({}, {"search": "MUG-BLUE"}, {"search": waits[:8]}):
        [order] = await all_pages(shopper, **params)
        assert order["status"] == "backordered"
        assert "We have your order" in order["message"]
    await eventually(counted)  # the figures are shared for a second


async def test_a_filter_by_a_status_that_is_not_known_is_refused(shopper: Shopper) -> None:
    """Rather a plain no than an empty list, which a slip of the pen would get as well."""
    answer = await shopper.http.get("/v1/orders", params={"status": WAITS})
    assert answer.status_code == 422


async def test_the_same_key_again_is_told_that_its_order_is_under_way(
    shopper: Shopper, waits: str
) -> None:
    answer = await shopper.place(key="waits")
    assert answer.status_code == 202, answer.text
    assert (answer.json()["order_id"], answer.json()["status"]) == (waits, WAITS)
    assert answer.headers["retry-after"]


async def test_the_wish_to_cancel_an_order_in_an_unknown_status_is_noted_down(
    order_stack: OrderStack, shopper: Shopper, waits: str
) -> None:
    answer = await shopper.cancel(waits)
    assert answer.status_code == 202, answer.text
    assert "cancelling" in answer.json()["message"]
    [row] = await order_stack.rows(f"{CANCELS} WHERE order_id = $1", UUID(waits))
    assert row["cancel_requested_at"]
    assert row["soon"], "for the relay of the next release"


async def test_an_order_that_ended_in_an_unknown_way_cannot_be_cancelled(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    ended = await next_release.order(order_stack.orders_dsn, shopper.name, "ended", EXPIRED)
    answer = await shopper.cancel(ended)
    assert answer.status_code == 409, answer.text
    assert answer.json()["type"].endswith("already-expired")
    assert (await shopper.place(key="ended")).status_code == 202


async def test_unknown_events_are_in_the_timeline_and_in_the_live_stream(
    order_stack: OrderStack, shopper: Shopper, waits: str
) -> None:
    answer = await shopper.http.get(f"/v1/orders/{waits}/events")
    assert [event["type"] for event in answer.json()["items"]] == ["received", WAITS]
    live = shopper.events(waits)
    assert [(await anext(live))["type"] for _ in range(2)] == ["received", WAITS]
    await next_release.tell(order_stack.orders_dsn, waits, "payment_authorised", "shipped")
    assert [event["type"] async for event in live] == ["payment_authorised", "shipped"]


async def test_a_stream_of_an_order_that_ended_in_an_unknown_way_has_an_end(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    ended = await next_release.order(
        order_stack.orders_dsn, shopper.name, "over", EXPIRED, told=("received", EXPIRED)
    )
    seen = (await shopper.http.get(f"/v1/orders/{ended}/events")).json()["items"][-1]["seq"]
    answer = await shopper.http.get(
        f"/v1/orders/{ended}/events",
        headers={"Accept": "text/event-stream", "Last-Event-ID": str(seen)},
    )
    assert answer.status_code == 204
    assert [event["type"] async for event in shopper.events(ended)] == ["received", EXPIRED]


async def test_figures_count_orders_in_an_unknown_status_and_not_as_settled(
    order_stack: OrderStack, staff: Shopper, waits: str
) -> None:
    async def counted() -> bool:
        answer = await staff.http.get("/v1/ops/summary")
        return bool(answer.json()["by_status"].get(WAITS, 0) >= 1)

    async def warned_of_the_schema() -> bool:
        health = (await http.get("/health")).json()
        return bool(health["checks"]["postgres:schema"][0]["status"] == "warn")

    await eventually(counted)  # the figures are shared for a second
    async with httpx.AsyncClient(base_url=order_stack.orders.url, timeout=30) as http:
        assert f'orders_recent{{status="{WAITS}"}}' in (await http.get("/metrics")).text
        await eventually(warned_of_the_schema)  # each part has half a second to say so


async def test_orders_are_placed_and_shipped_on_the_schema_of_the_next_release(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    with order_stack.working():
        order_id = await shopper.shipped()
        with order_stack.shut(order_stack.to_inventory):
            slow = (await shopper.place()).json()["order_id"]
        assert (await shopper.until_settled(slow))["status"] == "shipped"
    for each in (order_id, slow):
        answer = await shopper.http.get(f"/v1/orders/{each}/events")
        assert [event["type"] for event in answer.json()["items"]][-1] == "shipped"


@pytest.fixture
async def store(order_stack: OrderStack) -> AsyncIterator[Store]:
    connections = await pool.create(
        order_stack.orders_dsn, name="store", size=4, lock_timeout_s=10, statement_timeout_s=10
    )
    async with Notifier(connections) as notifier:
        yield Store(connections, notifier)
    connections.terminate()


def progress(order_id: str, status: str, *kinds: str) -> StatusUpdate:
    now = datetime.now(UTC)
    told = tuple(TimelineEntry(key=kind, type=kind, at=now) for kind in kinds)
    return StatusUpdate(order_id=UUID(order_id), status=status, at=now, entries=told)


async def test_news_that_an_unknown_status_is_ahead_of_are_answered_with_it_and_hurt_no_neighbour(
    order_stack: OrderStack, store: Store, shopper: Shopper, waits: str
) -> None:
    others = [
        await next_release.order(order_stack.orders_dsn, shopper.name, f"n-{n}", "received")
        for n in range(5)
    ]
    heard = await asyncio.gather(
        *(store.record(progress(order_id, "received", "waiting")) for order_id in [*others, waits])
    )
    assert heard == [
        *[StoredStatus(status="received")] * 5,
        StoredStatus(status=WAITS, reason="later"),
    ]


async def test_news_in_words_of_the_next_release_are_written_down(
    order_stack: OrderStack, store: Store, shopper: Shopper
) -> None:
    order_id = await next_release.order(order_stack.orders_dsn, shopper.name, "new", "received")
    sent = progress(order_id, WAITS, "place_in_queue").model_dump(mode="json")
    sent |= {"place": 3, "happenings": [{**sent["happenings"][0], "who": "queue"}]}
    assert await store.record(StatusUpdate.model_validate(sent)) == StoredStatus(status=WAITS)
    assert (await store.events(UUID(order_id)))[-1].type == "place_in_queue"


async def test_what_happens_to_a_held_order_is_told_whatever_its_rank_is_there(
    order_stack: OrderStack, store: Store, shopper: Shopper
) -> None:
    order_id = await next_release.order(order_stack.orders_dsn, shopper.name, "held", "reserved")
    await store.record(progress(order_id, "reserved", "waiting:commit"))
    assert (await store.events(UUID(order_id)))[-1].type == "waiting:commit"


async def test_the_warehouse_shows_movements_and_reservations_of_unknown_kinds(
    order_stack: OrderStack, waits: str
) -> None:
    await next_release.take_back(order_stack.inventory_dsn, waits)
    async with httpx.AsyncClient(
        base_url=order_stack.inventory.url, headers=bearer("staff"), timeout=30
    ) as warehouse:

        async def seen(address: str) -> dict[str, Any]:
            answer = await warehouse.get(address)
            found: dict[str, Any] = answer.json()
            return found if answer.status_code == 200 else {}  # 503 from a busy machine

        for wanted in ("sku=MUG-BLUE", "limit=1"):
            ledger = await eventually(partial(seen, f"/v1/movements?{wanted}"))
            newest = ledger["items"][0]
            assert (newest["operation"], newest["order_id"]) == ("return", waits)
        reservation = await eventually(partial(seen, f"/v1/reservations/{waits}"))
    assert (reservation["state"], reservation["lines"]) == ("queued", [])
    assert [each["operation"] for each in reservation["movements"]] == ["return"]
