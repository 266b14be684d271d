"""Many at once: the same order fifty times, and two hundred buyers of the last fifty pieces."""

import asyncio
from collections import Counter

import pytest
from temporalio.client import Client

from tests.support.database_checks import until
from tests.support.system_under_test import BUDGET_S, SystemUnderTest, latencies

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Of the answer budget, all but what is left for the answer's way out.
ALL_BUT_USED_UP_S = BUDGET_S - 0.3


async def test_fifty_identical_requests_at_once_are_one_order(system: SystemUnderTest) -> None:
    sku = await system.shelf(10)
    customer = system.customer()
    answers = await asyncio.gather(*(system.place({sku: 1}, customer, "same") for _ in range(50)))
    system.figures.append(f"50 identical: {latencies(answers)}")
    await system.assert_in_time(answers)
    answers = await system.kept(answers, {sku: 1})
    # Who is told nothing yet has waited for it: the machine may have stood still meanwhile.
    early = [answer for answer in answers if answer.status != 201]
    assert all(answer.status == 202 and answer.took_s > ALL_BUT_USED_UP_S for answer in early)
    [order_id] = {answer.order_id for answer in answers}
    told = [answer for answer in answers if answer.body["status"] == "shipped"]
    assert len({answer.text for answer in told}) <= 1
    await system.settled([order_id], within_s=60)
    last = await system.place_stubbornly({sku: 1}, customer, "same")
    assert (last.status, last.order_id, last.body["status"]) == (201, order_id, "shipped")
    [row] = await system.sql("orders", "SELECT count(*) FROM orders WHERE customer = $1", customer)
    assert row["count"] == 1
    await system.assert_moved_once([order_id], {sku: 1})
    assert await system.stock(sku) == (9, 0)

    client = await Client.connect(f"127.0.0.1:{system.stack.settings.ports.temporal}")

    async def runs() -> list[str | None]:
        query = f"WorkflowId = 'order-{order_id}'"
        return [found.run_id async for found in client.list_workflows(query)]

    # the list follows the workflows by some moments
    assert len(await until(runs, 60, "the workflow is listed")) == 1


async def test_the_same_key_with_another_body_is_refused(system: SystemUnderTest) -> None:
    sku = await system.shelf(10)
    customer = system.customer()
    first = await system.place_stubbornly({sku: 1}, customer, "mine")
    other = await system.place_stubbornly({sku: 2}, customer, "mine")
    assert first.status in (201, 202)
    assert other.status == 422
    assert other.headers["Content-Type"] == "application/problem+json"
    assert other.body["order_id"] == first.order_id
    assert await system.settled([first.order_id], 60) == {first.order_id: "shipped"}
    assert await system.stock(sku) == (9, 0)


async def test_of_two_hundred_buyers_at_once_exactly_fifty_get_the_fifty_pieces(
    system: SystemUnderTest,
) -> None:
    sku = await system.shelf(50)
    buyers = [system.customer() for _ in range(200)]
    # Who is told that it is too much right now comes again, with the same key.
    answers = await asyncio.gather(*(system.place_stubbornly({sku: 1}, buyer) for buyer in buyers))
    system.figures.append(f"hot SKU: {latencies(answers)}")
    ids = [answer.order_id for answer in answers]
    ended = await system.settled(ids, within_s=60)
    assert len(set(ids)) == 200
    assert Counter(ended.values()) == {"shipped": 50, "rejected": 150}
    assert await system.stock(sku) == (0, 0)
    await system.assert_moved_once(
        [order for order, status in ended.items() if status == "shipped"], {sku: 1}
    )
    await system.assert_stock_balances()
    assert {answer.status for answer in answers} <= {201, 202, 409}
    # Two hundred in one instant: how long that takes is the machine's business, see the figures.
