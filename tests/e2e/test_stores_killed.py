"""Temporal and Postgres die, are frozen, and come back: what was acknowledged is still there."""

import asyncio
import signal

import pytest

from tests.support.database_checks import until
from tests.support.load import OrderAnswer
from tests.support.system_under_test import READY_WITHIN_S, SystemUnderTest, frozen, latencies

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    ("store", "how"),
    [
        ("temporal", signal.SIGKILL),
        ("postgres", signal.SIGQUIT),  # what `pg_ctl restart -m immediate` sends
        ("postgres", signal.SIGKILL),
    ],
)
async def test_a_store_killed_under_load_loses_nothing_that_was_acknowledged(
    system: SystemUnderTest, store: str, how: signal.Signals
) -> None:
    lines = {await system.shelf(): 1}
    customer = system.customer()
    before = system.pids(store)
    ordering = asyncio.create_task(system.stream(10.0, 40, lines, customer))

    async def some_are_in() -> bool:
        return sum(answer.customer == customer for answer in system.answers) >= 10

    await until(some_are_in, 30, "the first orders are answered")
    system.stack.kill(store, how)
    await system.stack.wait_ready(store, READY_WITHIN_S)
    answers = await ordering
    system.figures.append(f"{store} {how.name}: {latencies(answers)}")
    assert system.pids(store)[-1] != before[-1]
    assert {answer.status for answer in answers} <= {201, 202, 503}
    await system.assert_in_time(answers)
    # Who was told to come again does, with the same key.
    if store == "temporal":
        kept = await system.kept(answers, lines)
    else:
        kept = [
            await system.place_stubbornly(lines, customer, answer.key)
            if answer.status == 503
            else answer
            for answer in answers
        ]
    ended = await system.settled([answer.order_id for answer in kept], within_s=60)
    assert (len(ended), set(ended.values())) == (40, {"shipped"})
    await system.assert_moved_once(ended, lines)
    await system.assert_stock_balances()


async def test_while_the_database_is_frozen_nobody_waits_longer_than_promised(
    system: SystemUnderTest,
) -> None:
    lines = {await system.shelf(): 1}
    await system.place_stubbornly(lines, system.customer())  # to have sessions that are frozen
    pid = system.stack.processes["postgres"].pid
    assert pid is not None
    with frozen(pid):
        answers = await system.stream(5.0, 15, lines, customer := system.customer())
    system.figures.append(f"postgres frozen: {latencies(answers)}")
    assert {answer.status for answer in answers} == {503}
    await system.assert_in_time(answers)
    _are_helpful(answers)
    # None of them is in doubt for whoever asks again: each key has one order in the end.
    again = [await system.place_stubbornly(lines, customer, answer.key) for answer in answers]
    ended = await system.settled([answer.order_id for answer in again], within_s=60)
    assert (len(ended), set(ended.values())) == (15, {"shipped"})
    await system.assert_moved_once(ended, lines)


async def test_while_temporal_is_frozen_orders_are_accepted_in_time(
    system: SystemUnderTest,
) -> None:
    lines = {await system.shelf(): 1}
    pid = system.stack.processes["temporal"].pid
    assert pid is not None
    with frozen(pid):
        answers = await system.stream(5.0, 15, lines, system.customer())
    system.figures.append(f"temporal frozen: {latencies(answers)}")
    await system.assert_in_time(answers)
    assert {answer.status for answer in answers} <= {202, 503}
    kept = await system.kept(answers, lines)
    ended = await system.settled([answer.order_id for answer in kept], within_s=60)
    assert set(ended.values()) == {"shipped"}
    await system.assert_moved_once(ended, lines)


def _are_helpful(refusals: list[OrderAnswer]) -> None:
    for refusal in refusals:
        assert refusal.headers["Content-Type"] == "application/problem+json"
        assert refusal.headers["Retry-After"]
        assert {"type", "title", "status", "detail", "advice", "request_id"} <= set(refusal.body)
