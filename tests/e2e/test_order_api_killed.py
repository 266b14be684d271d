"""The order service dies after it has made an order durable: nobody loses it, nobody doubles it."""

import pytest

from tests.support.database_checks import until
from tests.support.load import Lines
from tests.support.system_under_test import READY_WITHIN_S, SystemUnderTest

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _placed_until_it_breaks(system: SystemUnderTest, lines: Lines, customer: str) -> None:
    """Place one order until the service dies of it, after a 503 that a busy machine may give."""

    async def broken() -> bool:
        answer = await system.place(lines, customer)
        assert answer.status in (0, 503), answer
        return answer.status == 0

    await until(broken, 30, "the service dies", every_s=0.2)


@pytest.mark.parametrize("point", ["order.after_commit", "order.after_start"])
async def test_the_same_key_finds_the_order_of_a_killed_service(
    system: SystemUnderTest, point: str
) -> None:
    lines = {await system.shelf(): 2}
    customer = system.customer()
    async with system.rule(point, point, "crash", operations=("accept",)) as rule:
        before = system.pids("order_api")
        await _placed_until_it_breaks(system, lines, customer)
        answer = await system.place_stubbornly(lines, customer)
    assert answer.status in (201, 202)
    [fired] = await system.fired(rule)
    assert (str(fired["order_id"]), fired["pid"]) == (answer.order_id, before[-1])
    assert system.pids("order_api")[-1] != before[-1]
    assert await system.settled([answer.order_id], 60) == {answer.order_id: "shipped"}
    await system.assert_moved_once([answer.order_id], lines)
    again = await system.place_stubbornly(lines, customer)
    assert (again.status, again.order_id, again.body["status"]) == (201, answer.order_id, "shipped")
    [row] = await system.sql("orders", "SELECT count(*) FROM orders WHERE customer = $1", customer)
    assert row["count"] == 1


async def test_the_relay_settles_an_order_whose_shopper_never_came_back(
    system: SystemUnderTest,
) -> None:
    lines = {await system.shelf(): 2}
    customer = system.customer()
    point = "order.after_commit"
    async with system.rule("never-back", point, "crash", operations=("accept",)) as rule:
        await _placed_until_it_breaks(system, lines, customer)
    [fired] = await system.fired(rule)
    order_id = str(fired["order_id"])
    assert await system.settled([order_id], within_s=60) == {order_id: "shipped"}
    await system.assert_moved_once([order_id], lines)


async def test_an_order_whose_transaction_was_cut_off_was_never_taken(
    system: SystemUnderTest,
) -> None:
    sku = await system.shelf(10)
    customer = system.customer()
    point = "order.before_commit"
    async with system.rule("no-commit", point, "crash", operations=("accept",)):
        await _placed_until_it_breaks(system, {sku: 2}, customer)
        await system.stack.wait_ready("order_api", READY_WITHIN_S)
        [row] = await system.sql(
            "orders", "SELECT count(*) FROM orders WHERE customer=$1", customer
        )
        assert row["count"] == 0
        answer = await system.place_stubbornly({sku: 2}, customer)
    assert await system.settled([answer.order_id], 60) == {answer.order_id: "shipped"}
    assert await system.stock(sku) == (8, 0)
