"""The order calls as the contract has them, with every part present and well."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid5

import pytest
from temporalio.client import Client, WorkflowExecution

from deploy.local.temporal.server import EmbeddedTemporal
from order_api.contracts import ORDER_NAMESPACE
from tests.support.order_stack import OrderStack, Shopper, eventually

# What an order that is answered 201 may be: only held so far if the warehouse was slow to ship it.
SOLD = {"reserved", "shipped"}


def story(events: list[dict[str, Any]]) -> list[str]:
    """Return the types of events, but for waits: on a busy machine the warehouse may be slow."""
    return [event["type"] for event in events if event["type"] != "waiting"]


@pytest.fixture(scope="module")
def order_settings() -> dict[str, float]:
    """Answers wait long for the end of an order: the machine may be busy."""
    return {"patient": True, "answer_budget_s": 15.0, "relay_after_s": 20.0}


@pytest.fixture(scope="module")
def order_stack(order_stack: OrderStack) -> Iterator[OrderStack]:
    with order_stack.working():
        yield order_stack


async def test_an_order_that_can_be_filled_is_answered_201_with_its_address(
    shopper: Shopper,
) -> None:
    placed = await shopper.place(quantity=2, key="mine")
    assert placed.status_code == 201
    order = placed.json()
    assert UUID(order["order_id"]) == uuid5(ORDER_NAMESPACE, f"{shopper.name}\x1fmine")
    assert placed.headers["Location"] == f"/v1/orders/{order['order_id']}"
    assert order["workflow_id"] == f"order-{order['order_id']}"
    assert order["status"] in SOLD
    assert (order["total_minor"], order["currency"]) == (2980, "EUR")
    assert order["lines"] == [{"sku": "MUG-BLUE", "quantity": 2, "unit_price_minor": 1490}]
    seen = await shopper.until_settled(order["order_id"])
    assert seen["status"] == "shipped"
    assert seen["message"] == "Your order is on its way."


async def test_an_order_that_cannot_be_filled_is_answered_409_and_stays_on_record(
    shopper: Shopper,
) -> None:
    placed = await shopper.place("LAST-ONE", 5_000, key="too-much")
    assert placed.status_code == 409
    assert placed.headers["content-type"] == "application/problem+json"
    problem = placed.json()
    assert problem["type"].endswith("/out-of-stock")
    order = await shopper.order(problem["order_id"])
    assert (order["status"], order["reason"]) == ("rejected", "out-of-stock")
    again = await shopper.place("LAST-ONE", 5_000, key="too-much")
    assert again.status_code == 409
    assert again.json()["order_id"] == problem["order_id"]
    assert (await shopper.cancel(problem["order_id"])).status_code == 409


async def test_fifty_identical_requests_at_once_make_one_order_and_one_workflow(
    shopper: Shopper, order_stack: OrderStack, temporal: EmbeddedTemporal
) -> None:
    answers = await asyncio.gather(*(shopper.place(key="double-click") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {201}
    stages = {answer.json()["status"] for answer in answers}
    assert stages <= SOLD
    assert len({answer.content for answer in answers}) == len(stages), "fifty equal bodies"
    [row] = await order_stack.rows("SELECT order_id FROM orders WHERE customer = $1", shopper.name)
    assert (await shopper.until_settled(str(row["order_id"])))["status"] == "shipped"
    moved = await order_stack.in_warehouse(
        "SELECT operation FROM movements WHERE order_id = $1 ORDER BY 1", row["order_id"]
    )
    assert [movement["operation"] for movement in moved] == ["commit", "reserve"]
    client = await Client.connect(temporal.address)
    query = f"WorkflowId = 'order-{row['order_id']}'"

    async def listed() -> list[WorkflowExecution]:
        return [run async for run in client.list_workflows(query)]

    runs = await eventually(listed)
    assert len(runs) == 1


async def test_the_same_key_with_another_body_is_refused(shopper: Shopper) -> None:
    first = await shopper.place(key="reused")
    other = await shopper.place(quantity=2, key="reused")
    assert other.status_code == 422
    assert other.json()["order_id"] == first.json()["order_id"]


async def test_orders_of_others_are_not_there_for_a_shopper_and_are_for_staff(
    shopper: Shopper, order_stack: OrderStack
) -> None:
    order_id = await shopper.shipped()
    async with Shopper(order_stack.orders) as other, Shopper(order_stack.orders, "staff") as staff:
        for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
            answer = await other.http.request(method, f"/v1/orders/{order_id}{path}")
            assert answer.status_code == 404
        assert (await staff.order(order_id))["order_id"] == order_id
        assert (await other.http.get("/v1/orders")).json() == {"items": [], "next_cursor": None}
        assert (await other.http.get("/v1/orders?scope=all")).status_code == 403


async def test_the_list_can_be_narrowed_to_a_status(shopper: Shopper) -> None:
    await shopper.shipped()
    sold_out = await shopper.place("LAST-ONE", 5_000)
    await shopper.until_settled(sold_out.json()["order_id"])
    for status in ("shipped", "rejected"):
        page = (await shopper.http.get("/v1/orders", params={"status": status})).json()
        assert [order["status"] for order in page["items"]] == [status]
    assert (await shopper.http.get("/v1/orders?status=lost")).status_code == 422
    assert (await shopper.http.get("/v1/orders?cursor=not-one-of-ours")).status_code == 422
    for limit in ("0", "-1", "1000000000"):
        assert (await shopper.http.get(f"/v1/orders?limit={limit}")).status_code == 422


async def test_the_timeline_tells_the_story_in_order(shopper: Shopper) -> None:
    order_id = await shopper.shipped()
    answer = await shopper.http.get(f"/v1/orders/{order_id}/events")
    events = answer.json()["items"]
    assert story(events) == ["received", "reserved", "ready_to_ship", "shipped"]
    numbers = [event["seq"] for event in events]
    assert numbers == sorted(numbers)
    assert all(event["detail"]["message"] for event in events)
    times = [event["at"] for event in events]
    assert times == sorted(times)


async def test_a_live_timeline_shows_events_as_they_come_and_ends_with_the_last(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    with order_stack.shut(order_stack.to_inventory):
        order_id = (await shopper.place()).json()["order_id"]
        stream = shopper.events(order_id)
        seen = [await anext(stream), await anext(stream)]
        assert [event["type"] for event in seen] == ["received", "waiting"]
    seen += [event async for event in stream]
    assert story(seen[2:]) == ["reserved", "ready_to_ship", "shipped"]
    stored = await shopper.http.get(f"/v1/orders/{order_id}/events")
    assert stored.json()["items"] == seen


async def test_a_live_timeline_goes_on_after_the_last_event_that_was_seen(
    shopper: Shopper,
) -> None:
    order_id = await shopper.shipped()
    everything = [event async for event in shopper.events(order_id)]
    for at, event in enumerate(everything[:-1], 1):
        rest = [later async for later in shopper.events(order_id, after=event["seq"])]
        assert rest == everything[at:]


async def test_a_browser_that_has_seen_the_end_is_told_not_to_come_back(shopper: Shopper) -> None:
    order_id = await shopper.shipped()
    last = [event async for event in shopper.events(order_id)][-1]
    answer = await shopper.http.get(
        f"/v1/orders/{order_id}/events",
        headers={"Accept": "text/event-stream", "Last-Event-ID": str(last["seq"])},
    )
    assert answer.status_code == 204, "what stops an EventSource"


async def test_cancelling_a_shipped_order_is_refused_however_often(shopper: Shopper) -> None:
    order_id = await shopper.shipped()
    for _ in range(2):
        answer = await shopper.cancel(order_id)
        assert answer.status_code == 409
        assert answer.json()["type"].endswith("/already-shipped")
    assert (await shopper.order(order_id))["status"] == "shipped"


async def test_cancelling_a_waiting_order_is_granted_and_nothing_leaves(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    with order_stack.shut(order_stack.to_inventory):
        order_id = (await shopper.place("SOCKS-WOOL")).json()["order_id"]
        answer = await shopper.cancel(order_id)
        assert answer.status_code == 202
        assert answer.json()["status"] in ("received", "reserved")
        assert "cancelling" in answer.json()["message"]
        assert (await shopper.cancel(order_id)).status_code == 202, "twice is once"
    order = await shopper.until_settled(order_id)
    assert order["status"] == "cancelled"
    again = await shopper.cancel(order_id)
    assert again.status_code == 202
    assert again.json()["status"] == "cancelled"
    moved = await order_stack.in_warehouse(
        "SELECT operation FROM movements WHERE order_id = $1", UUID(order_id)
    )
    assert "commit" not in {movement["operation"] for movement in moved}


async def test_walking_the_pages_misses_nothing_and_repeats_nothing_while_orders_come_in(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    with order_stack.another_order_api(patient=True, answer_budget_s=0) as quick:
        async with Shopper(quick) as many:
            for _ in range(5):
                await asyncio.gather(*(many.place() for _ in range(10)))
            before = {
                str(row["order_id"])
                for row in await order_stack.rows(
                    "SELECT order_id FROM orders WHERE customer = $1", many.name
                )
            }
            assert len(before) == 50
            walked: list[dict[str, str]] = []
            cursor: str | None = None
            while True:
                parameters = {"limit": "4"} | ({"cursor": cursor} if cursor else {})
                page = (await many.http.get("/v1/orders", params=parameters)).json()
                walked += page["items"]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
                await many.place()
    ids = [order["order_id"] for order in walked]
    assert len(ids) == len(set(ids)), "none twice"
    assert set(ids) == before, "none missing, and none that is newer than the first page"
    times = [order["created_at"] for order in walked]
    assert times == sorted(times, reverse=True)


async def test_afterwards_the_warehouse_has_shipped_what_the_orders_say(
    order_stack: OrderStack,
) -> None:
    waiting = "SELECT count(*) = 0 FROM orders WHERE status IN ('received', 'reserved')"

    async def all_settled() -> bool:
        return bool((await order_stack.rows(waiting))[0][0])

    await eventually(all_settled, 120.0)
    await order_stack.assert_ledger_agrees()
