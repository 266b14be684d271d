"""The order service dies after it has made an order durable: nobody loses it, nobody doubles it."""

import pytest

from tests.support.system_under_test import READY_WITHIN_S, Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("point", ["order.after_commit", "order.after_start"])
async def test_the_same_key_finds_the_order_of_a_killed_service(shop: Shop, point: str) -> None:
    lines = {await shop.shelf(): 2}
    customer = shop.customer()
    async with shop.rule(point, point, "crash", operations=("accept",)) as rule:
        before = shop.pids("order_api")
        broken = await shop.place(lines, customer)
        answer = await shop.place_stubbornly(lines, customer)
    assert broken.status == 0
    assert answer.status in (201, 202)
    [fired] = await shop.fired(rule)
    assert (str(fired["order_id"]), fired["pid"]) == (answer.order_id, before[-1])
    assert shop.pids("order_api")[-1] != before[-1]
    assert await shop.settled([answer.order_id], 30) == {answer.order_id: "shipped"}
    await shop.assert_moved_once([answer.order_id], lines)
    again = await shop.place(lines, customer)
    assert (again.status, again.order_id, again.body["status"]) == (201, answer.order_id, "shipped")
    [row] = await shop.sql("orders", "SELECT count(*) FROM orders WHERE customer = $1", customer)
    assert row["count"] == 1


async def test_the_relay_settles_an_order_whose_shopper_never_came_back(shop: Shop) -> None:
    lines = {await shop.shelf(): 2}
    customer = shop.customer()
    point = "order.after_commit"
    async with shop.rule("never-back", point, "crash", operations=("accept",)) as rule:
        assert (await shop.place(lines, customer)).status == 0
    [fired] = await shop.fired(rule)
    order_id = str(fired["order_id"])
    assert await shop.settled([order_id], within_s=30) == {order_id: "shipped"}
    await shop.assert_moved_once([order_id], lines)


async def test_an_order_whose_transaction_was_cut_off_was_never_taken(shop: Shop) -> None:
    sku = await shop.shelf(10)
    customer = shop.customer()
    point = "order.before_commit"
    async with shop.rule("no-commit", point, "crash", operations=("accept",)):
        assert (await shop.place({sku: 2}, customer)).status == 0
        await shop.stack.wait_ready("order_api", READY_WITHIN_S)
        [row] = await shop.sql("orders", "SELECT count(*) FROM orders WHERE customer=$1", customer)
        assert row["count"] == 0
        answer = await shop.place_stubbornly({sku: 2}, customer)
    assert await shop.settled([answer.order_id], 30) == {answer.order_id: "shipped"}
    assert await shop.stock(sku) == (8, 0)
