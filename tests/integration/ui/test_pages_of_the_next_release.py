"""Pages, command line and subscribers of this release, in front of the next one's rows."""

import threading
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from deploy.cli import order
from tests.support import next_release, third_party_subscribers
from tests.support.next_release import EXPIRED, WAITS
from tests.support.order_stack import OrderStack, eventually
from tests.support.serving import bearer
from tests.support.ui_client import UiClient, ui_client, ui_settings

AS_STAFF = "You are a shopper. Act as staff, on this local stack"


@pytest.fixture(scope="module")
def order_stack(order_stack: OrderStack) -> OrderStack:
    next_release.migrate_all(order_stack)
    return order_stack


@pytest.fixture
async def alice(order_stack: OrderStack, tmp_path: Path) -> AsyncIterator[UiClient]:
    settings = ui_settings(order_stack.orders, order_stack.inventory, tmp_path)
    async with ui_client(settings) as visitor:
        yield visitor


async def order_of(
    visitor: UiClient, order_stack: OrderStack, status: str, reason: str | None = None
) -> str:
    """Write an order of the one who looks at the pages; return its id."""
    from nicegui import core

    await visitor.open("/")
    [browser] = core.app.storage._users.values()
    return await next_release.order(
        order_stack.orders_dsn,
        str(browser["customer"]),
        status,
        status,
        reason=reason,
        waiting_for="stock" if status == WAITS else None,
    )


async def test_the_page_of_an_order_shows_what_it_does_not_know_and_claims_nothing(
    alice: UiClient, order_stack: OrderStack
) -> None:
    order_id = await order_of(alice, order_stack, WAITS)
    await alice.open(f"/orders/{order_id}")
    await alice.sees("Waiting for stock", "We have your order", f"Told: {WAITS}.", "Live")
    await alice.should_see(marker="cancel")
    await alice.should_not_see("will not happen")
    await next_release.tell(order_stack.orders_dsn, order_id, "payment_authorised")
    await alice.sees("Payment authorised", "attempt 2 of 5")


async def test_the_page_of_an_order_that_ended_in_an_unknown_way_is_complete(
    alice: UiClient, order_stack: OrderStack
) -> None:
    order_id = await order_of(alice, order_stack, EXPIRED)
    await alice.open(f"/orders/{order_id}")
    await alice.sees("Expired", "Complete")


async def test_the_page_of_an_order_shows_what_came_after_it_had_shipped(
    alice: UiClient, order_stack: OrderStack
) -> None:
    order_id = await order_of(alice, order_stack, "shipped")
    await next_release.tell_oddly(order_stack.orders_dsn, order_id, "weighed", "[1, 2]")
    await next_release.tell(order_stack.orders_dsn, order_id, "shipped", "in_transit", "delivered")
    await alice.open(f"/orders/{order_id}")
    await alice.sees("Weighed", "Told: shipped.", "In transit", "Told: delivered.", "Complete")


async def test_my_orders_lists_those_in_an_unknown_status_with_the_others(
    alice: UiClient, order_stack: OrderStack
) -> None:
    await order_of(alice, order_stack, WAITS)
    await order_of(alice, order_stack, "shipped")
    await order_of(alice, order_stack, "rejected", "payment-declined")
    await alice.open("/orders")
    await alice.sees("Waiting for stock", "On its way", "Not taken")
    await alice.open("/orders?status=rejected")
    await alice.sees("Not taken")


async def test_staff_see_unknown_statuses_counted_and_unknown_movements_listed(
    alice: UiClient, order_stack: OrderStack
) -> None:
    order_id = await order_of(alice, order_stack, WAITS)
    await next_release.take_back(order_stack.inventory_dsn, order_id)
    await alice.open("/ops")
    alice.presses(AS_STAFF)
    await alice.sees("Average response time", "Waiting for stock")
    await alice.open("/warehouse")
    await alice.sees("First delivery", ">Return<")


async def test_staff_and_filters_claim_no_reason_for_orders_that_were_not_taken(
    alice: UiClient, order_stack: OrderStack
) -> None:
    await order_of(alice, order_stack, "rejected", "payment-declined")
    await alice.open("/ops")
    alice.presses(AS_STAFF)
    await alice.sees("Orders of the last 5 minutes", "Not taken")
    await alice.sees_no("Sold out")
    await alice.open("/orders?status=rejected")
    await alice.sees("Not taken")
    await alice.sees_no("Sold out")


async def test_the_command_line_follows_an_order_through_what_it_does_not_know(
    order_stack: OrderStack, capsys: pytest.CaptureFixture[str]
) -> None:
    order_id = await next_release.order(order_stack.orders_dsn, "cli", "cli-1", WAITS)
    ended: list[str] = []

    def follow() -> None:
        with httpx.Client(
            base_url=order_stack.orders.url, headers=bearer(subject="cli"), timeout=30
        ) as http:
            ended.append(order.follow(http, order_id))

    following = threading.Thread(target=follow)
    following.start()
    await next_release.tell(order_stack.orders_dsn, order_id, "payment_authorised")
    await order_stack.rows("UPDATE orders SET status = 'shipped' WHERE customer = 'cli'")
    await next_release.tell(order_stack.orders_dsn, order_id, "shipped")

    async def over() -> bool:
        return not following.is_alive()

    await eventually(over)
    assert ended == ["shipped"]
    printed = capsys.readouterr().out
    assert "payment_authorised" in printed
    assert "place: 3" in printed


async def test_the_command_line_ends_with_an_order_that_ended_in_an_unknown_way(
    order_stack: OrderStack, capsys: pytest.CaptureFixture[str]
) -> None:
    order_id = await next_release.order(order_stack.orders_dsn, "cli", "cli-2", EXPIRED)
    with httpx.Client(
        base_url=order_stack.orders.url, headers=bearer(subject="cli"), timeout=30
    ) as http:
        assert order.follow(http, order_id) == EXPIRED
    assert WAITS in capsys.readouterr().out


async def test_the_command_line_prints_what_came_after_an_order_had_shipped(
    order_stack: OrderStack, capsys: pytest.CaptureFixture[str]
) -> None:
    order_id = await next_release.order(
        order_stack.orders_dsn, "cli", "cli-3", "shipped", told=("received", "shipped", "delivered")
    )
    with httpx.Client(
        base_url=order_stack.orders.url, headers=bearer(subject="cli"), timeout=30
    ) as http:
        assert order.follow(http, order_id) == "shipped"
    assert "Told: delivered." in capsys.readouterr().out


async def test_subscribers_take_unknown_events_and_leave_them_out_of_what_they_do(
    order_stack: OrderStack, tmp_path: Path
) -> None:
    order_id = await next_release.order(
        order_stack.orders_dsn, "carol", "carol-1", WAITS, told=("received", WAITS, "rejected")
    )
    await next_release.tell_oddly(order_stack.orders_dsn, order_id, "shipped", "[1, 2]")
    async with third_party_subscribers.running(order_stack.orders_dsn, tmp_path) as url:

        async def all_read() -> bool:
            found = await order_stack.rows(
                "SELECT 1 FROM subscriber_cursors"
                " WHERE seq >= (SELECT max(seq) FROM order_events) AND failures = 0"
            )
            return bool(found)

        await eventually(all_read)
        async with httpx.AsyncClient(base_url=url) as http:
            checks = (await http.get("/health")).json()["checks"]
    assert checks["subscriber:notifications"][0]["status"] == "pass"
    written = await order_stack.rows(
        "SELECT subject FROM notifications WHERE order_id = $1::text::uuid ORDER BY event_seq",
        order_id,
    )
    assert [row["subject"] for row in written] == [
        "We have your order",
        "We could not take your order",
        "Your order is on its way",
    ]
