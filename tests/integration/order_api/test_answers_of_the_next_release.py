"""Workflows that answer in words of a later release, or in none that can be read."""

import signal
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from temporalio import workflow

import worker.temporal_worker
from tests.support import next_release
from tests.support.next_release import WAITS
from tests.support.order_stack import OrderStack, Shopper, eventually
from workflows.contracts import FIRST_ANSWER, WORKFLOW, OrderInput
from workflows.order import OrderWorkflow

WAITING, UNREADABLE, UNREADABLE_END = 2, 3, 4
DUE_NOW = "UPDATE orders SET relay_at = now() WHERE status IN ('received', 'reserved')"


@workflow.defn(name=WORKFLOW)
class NextRelease(OrderWorkflow):
    """Sells one piece as this release does; more than one is answered as a later one might."""

    @workflow.init
    def __init__(self, order: OrderInput) -> None:
        super().__init__(order)
        self._pieces = sum(line.quantity for line in order.lines)

    @workflow.run
    async def run(self, order: OrderInput) -> Any:
        if self._pieces == UNREADABLE_END:
            return ["shipped", "in", "another", "shape"]
        if self._pieces > 1:
            await workflow.wait_condition(lambda: self._cancel.made)
        return await super().run(order)

    @workflow.update(name=FIRST_ANSWER)
    async def first_answer(self) -> Any:  # type: ignore[override]  # on purpose
        if self._pieces == WAITING:
            outcome = self._timeline.outcome.model_dump(mode="json")
            return {**outcome, "status": WAITS, "waiting_for": "stock", "place": 3}
        if self._pieces in (UNREADABLE, UNREADABLE_END):
            return {"state": 7}
        await workflow.wait_condition(lambda: self._timeline.has_first_answer)
        return self._timeline.outcome


@pytest.fixture(autouse=True)
def nothing_ends_its_process() -> Iterator[list[int]]:
    """Fail a test in which background work wanted the process to be started anew."""
    wishes: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: wishes.append(number))
    yield wishes
    signal.signal(signal.SIGTERM, before)
    assert not wishes, "background work has ended"


@pytest.fixture(scope="module")
def order_stack(order_stack: OrderStack) -> Iterator[OrderStack]:
    with pytest.MonkeyPatch.context() as patch:
        order_stack.loop_thread.run(next_release.migrate(order_stack.orders_dsn, "orders"))
        patch.setattr(worker.temporal_worker, "OrderWorkflow", NextRelease)
        with order_stack.working():
            yield order_stack


async def check(served_url: str, name: str) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=served_url, timeout=30) as http:
        found: dict[str, Any] = (await http.get("/health")).json()["checks"][name][0]
        return found


async def is_later(order_stack: OrderStack, order_ids: list[str]) -> bool:
    """Return whether the relay has let go of all for more than its lease of 15 seconds."""
    rows = await order_stack.rows(
        "SELECT relay_at - now() > interval '20 s' AS later FROM orders WHERE order_id = ANY ($1)",
        [UUID(order_id) for order_id in order_ids],
    )
    return all(row["later"] for row in rows)


async def has_put_aside(order_stack: OrderStack, order_ids: list[str]) -> bool:
    """Return whether the relay says so of all, and has written it down.

    It says so first, and what it then writes undoes any due time that was set in between.
    """
    found = await check(order_stack.orders.url, "relay:set_aside")
    said = found["status"] == "warn" and all(each in found["output"] for each in order_ids)
    return said and await is_later(order_stack, order_ids)


async def test_an_order_that_is_answered_with_an_unknown_status_is_accepted(
    shopper: Shopper,
) -> None:
    answer = await shopper.place(quantity=WAITING)
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] in (WAITS, "received")  # the latter if it came after the budget
    assert "We have your order" in answer.json()["message"]


async def test_an_order_whose_answer_cannot_be_read_is_accepted(shopper: Shopper) -> None:
    answer = await shopper.place(quantity=UNREADABLE)
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] == "received"


async def test_orders_that_cannot_be_driven_are_put_aside_and_keep_up_no_other(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    bad = [
        (await shopper.place(quantity=pieces)).json()["order_id"]
        for pieces in (WAITING, UNREADABLE, UNREADABLE_END)
    ]
    good = [
        await next_release.order(order_stack.orders_dsn, shopper.name, f"good-{n}", "received")
        for n in range(5)
    ]
    await order_stack.rows(DUE_NOW)
    for order_id in good:
        assert (await shopper.until_settled(order_id))["status"] == "shipped"

    await eventually(lambda: has_put_aside(order_stack, bad[1:]))
    await eventually(lambda: is_later(order_stack, bad))  # and not again at once
    async with httpx.AsyncClient(base_url=order_stack.orders.url, timeout=30) as http:
        assert "orders_set_aside_total" in (await http.get("/metrics")).text

        async def well() -> bool:
            return (await http.get("/health")).status_code == 200

        await eventually(well)  # each part has half a second to say so


async def test_an_order_that_was_put_aside_is_driven_once_it_can_be(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    """Of more pieces than this release sells at once, say; it is mended, and goes its way."""
    order_id = await next_release.order(order_stack.orders_dsn, shopper.name, "many", "received")
    resized = "UPDATE order_lines SET quantity = $1 WHERE order_id = $2"
    await order_stack.rows(resized, 1_000_000, UUID(order_id))
    assert (await shopper.order(order_id))["lines"][0]["quantity"] == 1_000_000
    await order_stack.rows(DUE_NOW)

    await eventually(lambda: has_put_aside(order_stack, [order_id]))
    await order_stack.rows(resized, 1, UUID(order_id))
    await order_stack.rows(DUE_NOW)
    assert (await shopper.until_settled(order_id))["status"] == "shipped"


async def test_a_row_without_lines_is_shown_and_driven_like_any_other(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    order_id = await next_release.order(order_stack.orders_dsn, shopper.name, "empty", "received")
    await order_stack.rows("DELETE FROM order_lines WHERE order_id = $1", UUID(order_id))
    assert (await shopper.order(order_id))["lines"] == []
    await order_stack.rows(DUE_NOW)
    assert (await shopper.until_settled(order_id))["status"] == "failed"
