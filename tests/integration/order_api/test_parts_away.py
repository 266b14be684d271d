"""Placing orders while a part is slow, frozen or gone: answered in time, lost never."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.local.temporal.server import EmbeddedTemporal
from tests.support.event_loop_thread import EventLoopThread
from tests.support.order_stack import (
    ANSWER_BUDGET_S,
    GRACE_S,
    OrderStack,
    Shopper,
    answered_within,
    eventually,
)


@pytest.fixture(scope="module")
def order_settings() -> dict[str, float]:
    return {"relay_after_s": 2.5}


@pytest.fixture(scope="module")
def working_stack(order_stack: OrderStack) -> Iterator[OrderStack]:
    with order_stack.working():
        yield order_stack


async def placed_in_time(
    shopper: Shopper, count: int = 5, limit_s: float = ANSWER_BUDGET_S + GRACE_S
) -> list[str]:
    """Place orders at once, check each answer to be a timely 202, and return the orders' ids.

    A database that stands still with its machine is answered for by a timely 503: then again.
    """
    orders: list[str] = []
    async with asyncio.timeout(60):
        while missing := count - len(orders):
            async with answered_within(limit_s, shopper.served):
                answers = await asyncio.gather(*(shopper.place() for _ in range(missing)))
            for answer in answers:
                if answer.status_code == 503:
                    assert answer.elapsed.total_seconds() > 0.3, "it was not waited for"
                    continue
                assert answer.status_code == 202, answer.text
                assert answer.headers["Retry-After"].isdigit()
                assert answer.headers["Location"].startswith("/v1/orders/")
                assert "We have your order" in answer.json()["message"]
                orders.append(answer.json()["order_id"])
    return orders


async def assert_all_ship(shopper: Shopper, orders: list[str]) -> None:
    settled = await asyncio.gather(*(shopper.until_settled(order_id) for order_id in orders))
    assert {order["status"] for order in settled} == {"shipped"}


@contextmanager
def stopped(loop_thread: EventLoopThread, temporal: EmbeddedTemporal) -> Iterator[None]:
    """Have no Temporal meanwhile."""
    loop_thread.run(temporal.process.stop())
    try:
        yield
    finally:
        loop_thread.run(temporal.process.start())
        loop_thread.run(temporal.process.wait_ready())


async def test_without_a_worker_orders_are_accepted_in_time_and_ship_later(
    order_stack: OrderStack, shopper: Shopper
) -> None:
    orders = await placed_in_time(shopper)
    assert {(await shopper.order(order_id))["status"] for order_id in orders} == {"received"}
    with order_stack.working():
        await assert_all_ship(shopper, orders)


async def test_without_temporal_orders_are_accepted_in_time_and_ship_later(
    order_stack: OrderStack, shopper: Shopper, temporal: EmbeddedTemporal
) -> None:
    with stopped(order_stack.loop_thread, temporal):
        orders = await placed_in_time(shopper)
    with order_stack.working():
        await assert_all_ship(shopper, orders)


async def test_a_black_hole_of_a_warehouse_costs_the_shopper_no_more_than_the_budget(
    working_stack: OrderStack, shopper: Shopper
) -> None:
    with working_stack.shut(working_stack.to_inventory):
        orders = await placed_in_time(shopper)
        # what the saga has written down meanwhile is what the shopper reads
        stream = shopper.events(orders[0])
        while (await anext(stream))["type"] != "waiting":
            pass
        order = await shopper.order(orders[0])
        assert (order["status"], "slow to answer" in order["message"]) == ("received", True)
        await stream.aclose()
    await assert_all_ship(shopper, orders)
    await working_stack.assert_ledger_agrees()


async def test_with_the_wait_switched_off_every_order_is_answered_202_at_once(
    working_stack: OrderStack,
) -> None:
    with working_stack.another_order_api(answer_budget_s=0) as quick:
        async with Shopper(quick) as shopper:
            orders = await placed_in_time(shopper)
            await assert_all_ship(shopper, orders)


async def test_when_all_places_to_wait_are_taken_others_are_answered_202_at_once(
    working_stack: OrderStack,
) -> None:
    limits = {"answer_budget_s": 8.0, "relay_after_s": 10.0}
    with working_stack.another_order_api(patient=True, wait_slots=1, **limits) as narrow:

        async def taken() -> bool:
            return bool(narrow.app.state.service.placement._free_slots == 0)

        async with Shopper(narrow) as shopper:
            with working_stack.shut(working_stack.to_inventory):
                first = asyncio.create_task(shopper.place())
                await eventually(taken)
                assert not first.done(), "it waits for the warehouse"
                others = await asyncio.gather(*(shopper.place() for _ in range(5)))
                assert not first.done(), "the others were answered while it waited"
                answers = [await first, *others]
                assert {answer.status_code for answer in answers} == {202}
            await assert_all_ship(shopper, [answer.json()["order_id"] for answer in answers])


async def test_a_frozen_database_is_answered_503_in_time_and_nothing_is_kept(
    working_stack: OrderStack, shopper: Shopper
) -> None:
    with working_stack.shut(working_stack.to_database):
        async with answered_within(ANSWER_BUDGET_S + GRACE_S, shopper.served):
            answers = await asyncio.gather(*(shopper.place(key=f"frozen-{n}") for n in range(5)))
        for answer in answers:
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["Retry-After"].isdigit()
            problem = answer.json()
            assert problem["request_id"]
            assert problem["advice"]
        for path in ("/v1/orders", f"/v1/orders/{answers[0].headers['x-request-id']}"):
            assert (await shopper.http.get(path)).status_code in (404, 503)
        assert (await shopper.http.get("/readyz")).status_code == 503
        assert (await shopper.http.get("/livez")).status_code == 200
    # the same keys again, until the connections have recovered
    for number in range(5):
        answer = await shopper.place(key=f"frozen-{number}")
        while answer.status_code == 503:
            answer = await shopper.place(key=f"frozen-{number}")
        assert answer.status_code in (201, 202)
        order = await shopper.until_settled(answer.json()["order_id"])
        assert order["status"] == "shipped"
    await working_stack.assert_ledger_agrees()
