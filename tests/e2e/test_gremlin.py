"""The gremlin, from the command line: which orders it will pick is known before they are placed."""

import asyncio
import os
import re
import sys
from pathlib import Path
from uuid import UUID

import pytest

from chaos.injection.rules import GREMLIN, predict
from order_api.contracts import order_id_for
from tests.support.system_under_test import SystemUnderTest, latencies

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _valerix(system: SystemUnderTest, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("valerix")),
        *arguments,
        env={**os.environ, "VALERIX_HOME": str(system.stack.settings.home), "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    return said


async def test_the_gremlin_meets_exactly_the_orders_that_were_predicted(
    system: SystemUnderTest,
) -> None:
    lines = {await system.shelf(): 1}
    customer = system.customer()
    await _valerix(system, "gremlin", "on")
    try:
        said = await _valerix(system, "gremlin", "predict", "--count", "40", "--customer", customer)
        predicted = dict(re.findall(r"^(cli-\d+) +order-(\S+)", said, re.MULTILINE))
        answers = await system.stream(10.0, 40, lines, customer, key="cli-{}")
        ended = await system.settled([answer.order_id for answer in answers], within_s=60)
    finally:
        await _valerix(system, "gremlin", "off")
    fired = await system.fired(GREMLIN.name)
    met = {str(row["order_id"]) for row in fired}
    system.figures.append(f"gremlin: {latencies(answers)}")

    assert f"{len(predicted)} of the next 40 orders" in said
    assert 2 <= len(predicted) <= 16, "about a fifth"
    assert met == set(predicted.values())
    assert met == {answer.order_id for answer in answers if answer.key in predicted}
    assert set(ended.values()) == {"shipped"}
    await system.assert_in_time(answers)
    # The second attempt comes in time for all of them: late, and still within the budget.
    assert {answer.status for answer in answers} <= {201, 202}
    for answer in answers:
        assert answer.took_s > 0.5 or answer.order_id not in met
        assert ("waiting" in await system.events(answer.order_id)) == (answer.order_id in met)
    await system.assert_moved_once(ended, lines)
    await system.assert_stock_balances()


async def test_who_is_late_twice_is_answered_202_and_ships_later_and_nobody_else_is(
    system: SystemUnderTest,
) -> None:
    lines = {await system.shelf(): 1}
    customer = system.customer()
    twice = GREMLIN.model_copy(update={"name": "stubborn", "attempts": (1, 2), "delay_s": 3.0})
    ids = {str(order_id_for(customer, str(number))): number for number in range(1, 31)}
    hits = predict([twice], [UUID(order) for order in ids], ("reserve",))
    first, second = (
        {str(order) for order, _, attempt, _ in hits if attempt == each} for each in (1, 2)
    )
    assert first & second, "this seed has nobody who is late twice"
    async with system.rule(**twice.model_dump()) as rule:
        answers = await system.stream(10.0, 30, lines, customer)
        ended = await system.settled([answer.order_id for answer in answers], within_s=60)
    assert {answer.status for answer in answers} == {201, 202}
    # Others may be answered 202 as well, by a busy machine; whom the gremlin met, `fired` tells.
    assert first & second <= {answer.order_id for answer in answers if answer.status == 202}
    assert set(ended.values()) == {"shipped"}
    await system.assert_in_time(answers)
    fired = {(str(row["order_id"]), row["attempt"]) for row in await system.fired(rule)}
    # A second attempt takes place only where the first was late.
    assert fired == {(order, 1) for order in first} | {(order, 2) for order in first & second}
    await system.assert_moved_once(ended, lines)
