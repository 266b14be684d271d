"""Schrödinger's warehouse: inventory dies, lies or falls silent around its commit."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest

from tests.support.database_checks import until
from tests.support.system_under_test import SystemUnderTest, frozen, latencies

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Until the answer to an order, a second attempt and a cancel are over, also where a machine stands
# still for five seconds.
LATE_S = 14.0


@pytest.mark.parametrize(
    ("orders", "kills"),
    [
        pytest.param(120, 5, id="short"),
        pytest.param(500, 30, id="full", marks=[pytest.mark.full, pytest.mark.timeout(600)]),
    ],
)
async def test_killed_after_commit_again_and_again_it_ships_each_order_exactly_once(
    system: SystemUnderTest, orders: int, kills: int
) -> None:
    lines = {await system.shelf(): 2, await system.shelf(): 1}
    before = system.pids("inventory_api")
    async with system.rule(
        "p7",
        "inventory.after_commit",
        "crash",
        share=0.2,
        operations=("reserve", "commit"),
        seed=orders,
    ) as rule:
        answers = await system.stream(10.0, orders, lines, system.customer())

        async def killed() -> set[int]:
            pids = {row["pid"] for row in await system.fired(rule)}
            return pids if len(pids) >= kills else set()

        # First attempts to commit go on after the last order is in, and kill it again.
        await until(killed, 120, f"inventory is killed {kills} times")
    await system.assert_in_time(answers)
    ids = [answer.order_id for answer in await system.kept(answers, lines)]
    ended = await system.settled(ids, within_s=60)
    victims = {row["pid"] for row in await system.fired(rule)}
    started = system.pids("inventory_api")[len(before) :]
    system.figures.append(
        f"P7: inventory killed {len(victims)} times, {latencies(answers)}; "
        f"settled {system.settled_after_s:.1f} s after the last"
    )

    assert len(set(ids)) == orders
    assert set(ended.values()) == {"shipped"}
    await system.assert_moved_once(ids, lines)
    await system.assert_stock_balances()
    assert [await system.stock(sku) for sku in lines] == [(10_000 - n * orders, 0) for n in (2, 1)]
    assert {answer.status for answer in answers} <= {201, 202, 503}
    # The evidence names the killed, and the supervisor's log has one successor for each.
    assert len(victims) >= kills
    assert victims <= {before[-1], *started}
    assert len(started) == len(victims)


@pytest.mark.parametrize(
    ("point", "fault"),
    [
        ("inventory.before_commit", "crash"),
        ("inventory.after_commit", "error"),
        ("inventory.before_response", "drop"),
        ("inventory.before_response", "corrupt"),
        ("inventory.on_request", "error"),
    ],
)
async def test_an_answer_that_cannot_be_believed_is_asked_for_again(
    system: SystemUnderTest, point: str, fault: str
) -> None:
    lines = {await system.shelf(): 3}
    name = f"{point}.{fault}"
    async with system.rule(name, point, fault, operations=("reserve", "commit")) as rule:
        answers = await system.stream(5.0, 3, lines, system.customer())
        await system.assert_in_time(answers)
        answers = await system.kept(answers, lines)
        ids = [answer.order_id for answer in answers]
        ended = await system.settled(ids, within_s=60)

        async def every_first_attempt_met_it() -> bool:
            """Look whether one order's did; else place another, for the machine may lose one."""
            seen = Counter(str(row["order_id"]) for row in await system.fired(rule))
            if max(seen.values(), default=0) == 2:
                return True
            more = await system.place_stubbornly(lines, system.customer())
            ids.append(more.order_id)
            ended.update(await system.settled([more.order_id], within_s=60))
            return False

        # Where something is killed, it may be so before the fault of another order.
        if fault != "crash":
            await until(every_first_attempt_met_it, 120, "both steps of an order met the fault")
    assert set(ended.values()) == {"shipped"}
    assert {answer.status for answer in answers} <= {201, 202}
    await system.assert_moved_once(ids, lines)
    await system.assert_stock_balances()
    fired = await system.fired(rule)
    assert {str(row["order_id"]) for row in fired} <= set(ids)
    assert len(fired) >= 2


async def test_a_hold_that_arrives_after_the_release_holds_nothing(system: SystemUnderTest) -> None:
    sku = await system.shelf(10)
    customer = system.customer()
    # The fast attempt and the first durable one are both still on their way when we cancel.
    async with system.rule(
        "zombie",
        "inventory.on_request",
        "delay",
        delay_s=LATE_S,
        operations=("reserve",),
        attempts=(1, 2, 3, 4, 5),
    ) as rule:
        before = await _late_reserves(system)
        answer = await system.place_stubbornly({sku: 4}, customer)
        assert answer.status == 202

        async def both_are_under_way() -> bool:
            return len(await system.fired(rule)) >= 2

        await until(both_are_under_way, LATE_S, "the second attempt has set out")
        assert (await system.cancel(customer, answer.order_id))[0] == 202
        ended = await system.settled([answer.order_id], 60)
        assert ended == {answer.order_id: "cancelled"}
        assert await _late_reserves(system) == before, "the holds came before the release"

        async def all_have_landed() -> bool:
            return await _late_reserves(system) == before + len(await system.fired(rule))

        await until(all_have_landed, 60, "the late holds arrive and find the tombstone")
    assert await system.stock(sku) == (10, 0)
    assert await system.movements(answer.order_id) == []
    [row] = await system.sql(
        "inventory", "SELECT state FROM reservations WHERE order_id = $1", UUID(answer.order_id)
    )
    assert row["state"] == "released"
    await system.assert_stock_balances()


async def test_while_the_warehouse_is_frozen_orders_are_taken_and_some_cancelled(
    system: SystemUnderTest,
) -> None:
    sku = await system.shelf(100)
    customer = system.customer()
    pid = system.stack.processes["inventory_api"].pid
    assert pid is not None
    with frozen(pid):
        answers = await system.stream(5.0, 20, {sku: 1}, customer)
        orders = [answer.order_id for answer in await system.kept(answers, {sku: 1})]
        regretted, wanted = orders[:5], orders[5:]
        cancels = await asyncio.gather(*(system.cancel(customer, order) for order in regretted))
    system.figures.append(f"inventory frozen: {latencies(answers)}")
    assert {answer.status for answer in answers} <= {202, 503}
    await system.assert_in_time(answers)
    assert set(cancels) == {(202, "received")}
    # All that was sent to the frozen warehouse now arrives there, in whatever order.
    ended = await system.settled(orders, within_s=60)
    assert {ended[order] for order in regretted} == {"cancelled"}
    assert {ended[order] for order in wanted} == {"shipped"}
    await system.assert_moved_once(wanted, {sku: 1})
    for order in regretted:
        assert await system.movements(order) in ([], ["reserve", "release"])
    assert await system.stock(sku) == (85, 0)
    await system.assert_stock_balances()


async def _late_reserves(system: SystemUnderTest) -> int:
    """Reserves that found an earlier verdict: how a test sees a request land that nobody awaits."""
    async with system.session.get(f"{system.stack.url('inventory_api')}/metrics") as answer:
        text = await answer.text()
    found = [
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if 'operation="reserve"' in line and 'replayed="true"' in line and "_total" in line
    ]
    return int(sum(found))
