"""A part of the system is away for a while under load: every order is taken and later settled."""

import pytest

from tests.support.load import OrderAnswer
from tests.support.system_under_test import READY_WITHIN_S, SystemUnderTest, latencies

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Words of ours that mean nothing to somebody who wants a mug.
JARGON = ("temporal", "workflow", "timeout", "activity", "worker", "null", "none", "error", "http")


@pytest.mark.parametrize(
    ("away_s", "per_second"),
    [
        pytest.param(15, 10.0, id="short"),
        pytest.param(60, 20.0, id="full", marks=[pytest.mark.full, pytest.mark.timeout(600)]),
    ],
)
@pytest.mark.parametrize(
    "part", ["inventory_api", "temporal", pytest.param("worker", marks=pytest.mark.full)]
)
async def test_while_a_part_is_away_every_order_is_taken_in_time_and_settled_after(
    system: SystemUnderTest, part: str, away_s: int, per_second: float
) -> None:
    lines = {await system.shelf(100_000): 2}
    count = round(away_s * per_second)
    await system.stack.stop(part)
    try:
        answers = await system.stream(per_second, count, lines, system.customer())
    finally:
        await system.stack.start(part)
    await system.stack.wait_ready(part, READY_WITHIN_S)
    await system.assert_in_time(answers)
    assert {answer.status for answer in answers} <= {202, 503}, latencies(answers)
    kept = await system.kept(answers, lines)
    ended = await system.settled([answer.order_id for answer in kept], within_s=60)
    system.figures.append(
        f"{part} away {away_s} s: {latencies(answers)}; "
        f"settled {system.settled_after_s:.1f} s after its return"
    )
    assert (len(ended), set(ended.values())) == (count, {"shipped"})
    taken = [answer for answer in answers if answer.status == 202]
    assert taken
    for answer in taken:
        _is_understandable(answer)
    await system.assert_moved_once(ended, lines)
    await system.assert_stock_balances()


@pytest.mark.full
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(("count", "per_second"), [(3_000, 40.0), (10_000, 40.0)])
async def test_thousands_that_wait_for_the_warehouse_are_settled_when_it_is_back(
    system: SystemUnderTest, count: int, per_second: float
) -> None:
    lines = {await system.shelf(100_000): 2}
    await system.stack.stop("inventory_api")
    try:
        answers = await system.stream(per_second, count, lines, system.customer())
    finally:
        await system.stack.start("inventory_api")
    await system.stack.wait_ready("inventory_api", READY_WITHIN_S)
    await system.assert_in_time(answers)
    assert {answer.status for answer in answers} <= {202, 503}, latencies(answers)
    kept = await system.kept(answers, lines)
    # How long it takes is a figure, not a promise: all of them want the same engine at once.
    ended = await system.settled([answer.order_id for answer in kept], within_s=900)
    system.figures.append(
        f"{count} orders waiting for inventory_api: {latencies(answers)}; "
        f"settled {system.settled_after_s:.1f} s after its return"
    )
    assert (len(ended), set(ended.values())) == (count, {"shipped"})
    await system.assert_moved_once(ended, lines)
    await system.assert_stock_balances()


def _is_understandable(answer: OrderAnswer) -> None:
    message = answer.body["message"]
    assert message.startswith("We have your order")
    assert not [word for word in JARGON if word in message.lower()]
    assert answer.headers["Retry-After"].isdigit()
    assert answer.headers["Location"] == f"/v1/orders/{answer.order_id}"
