"""Timelines in which the next release has written what this one would not."""

import json
from uuid import UUID

import pytest

from tests.support import next_release
from tests.support.next_release import WAITS
from tests.support.order_stack import OrderStack, Shopper


@pytest.fixture(scope="module")
def order_stack(order_stack: OrderStack) -> OrderStack:
    next_release.migrate_all(order_stack)
    return order_stack


@pytest.mark.parametrize("detail", ["[1, 2]", '"x"', "null", "7", "false"])
async def test_a_detail_that_is_no_object_is_passed_on_as_the_value_in_one(
    order_stack: OrderStack, shopper: Shopper, detail: str
) -> None:
    order_id = await next_release.order(
        order_stack.orders_dsn, shopper.name, "odd", WAITS, told=("received",)
    )
    live = shopper.events(order_id)
    await anext(live)
    await next_release.tell_oddly(order_stack.orders_dsn, order_id, "weighed", detail)
    expected = ("weighed", {"value": json.loads(detail)})
    event = await anext(live)
    assert (event["type"], event["detail"]) == expected
    await next_release.tell(order_stack.orders_dsn, order_id, "shipped")
    assert [event["type"] async for event in live] == ["shipped"]
    answer = await shopper.http.get(f"/v1/orders/{order_id}/events")
    assert answer.status_code == 200, answer.text
    event = answer.json()["items"][1]
    assert (event["type"], event["detail"]) == expected


async def test_a_stream_brings_what_is_told_after_the_end_before_it_ends(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    order_id = await next_release.order(
        order_stack.orders_dsn, shopper.name, "sent", WAITS, told=("received",)
    )
    live = shopper.events(order_id)
    await anext(live)
    await order_stack.rows(
        "UPDATE orders SET status = 'shipped' WHERE order_id = $1", UUID(order_id)
    )
    await next_release.tell(order_stack.orders_dsn, order_id, "shipped", "in_transit")
    assert [event["type"] async for event in live] == ["shipped", "in_transit"]

    await next_release.tell(order_stack.orders_dsn, order_id, "delivered")
    seen = [event async for event in shopper.events(order_id)]
    assert [event["type"] for event in seen] == ["received", "shipped", "in_transit", "delivered"]
    later = [event async for event in shopper.events(order_id, after=seen[1]["seq"])]
    assert later == seen[2:]
    answer = await shopper.http.get(
        f"/v1/orders/{order_id}/events",
        headers={"Accept": "text/event-stream", "Last-Event-ID": str(seen[-1]["seq"])},
    )
    assert answer.status_code == 204
