"""The worker dies, or is frozen and comes back, around each of an order's steps."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from deploy.local.ports import free_port
from deploy.local.process.probes import answers_ok
from deploy.local.process.supervisor import SupervisedProcess
from tests.support.database_checks import until
from tests.support.system_under_test import BUDGET_S, READY_WITHIN_S, SystemUnderTest

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    ("point", "operation"),
    [
        ("worker.before_request", "reserve"),
        ("worker.after_answer", "commit"),
        ("worker.after_record", "record"),
    ],
)
async def test_a_worker_killed_in_the_middle_of_a_step_leaves_one_effect(
    system: SystemUnderTest, point: str, operation: str
) -> None:
    lines = {await system.shelf(): 1, await system.shelf(): 5}
    async with system.rule(point, point, "crash", operations=(operation,)) as rule:
        before = system.pids("worker")
        first = await system.place(lines, system.customer())
        await system.assert_in_time([first])
        [answer] = await system.kept([first], lines)
        ended = await system.settled([answer.order_id], within_s=60)
    assert ended == {answer.order_id: "shipped"}
    assert answer.status in (201, 202)
    await system.assert_moved_once(ended, lines)
    await system.assert_stock_balances()
    fired = await system.fired(rule)
    assert before[-1] in {row["pid"] for row in fired}
    assert len(system.pids("worker")) > len(before)


async def test_a_worker_killed_in_a_durable_step_leaves_one_effect(system: SystemUnderTest) -> None:
    lines = {await system.shelf(): 2}
    async with (
        system.rule("no-answer", "inventory.before_response", "drop", operations=("commit",)),
        system.rule(
            "die-later", "worker.after_answer", "crash", operations=("commit",), attempts=(2,)
        ) as rule,
    ):
        first = await system.place(lines, system.customer())
        # Within the budget it is reserved, unless the machine stands still for that long.
        if first.status != 503 and first.took_s < BUDGET_S - 0.3:
            assert (first.status, first.body["status"]) == (201, "reserved")
        [answer] = await system.kept([first], lines)
        ended = await system.settled([answer.order_id], within_s=60)
    assert ended == {answer.order_id: "shipped"}
    assert answer.order_id in {str(row["order_id"]) for row in await system.fired(rule)}
    events = await system.events(answer.order_id)
    assert events[-4:] == ["reserved", "ready_to_ship", "waiting", "shipped"]
    # Another wait before that, for the hold, is the machine's.
    assert events[:-4] in (["received"], ["received", "waiting"])
    await system.assert_moved_once(ended, lines)


async def test_a_worker_frozen_for_ten_seconds_makes_a_second_live_attempt_harmless(
    system: SystemUnderTest,
) -> None:
    lines = {await system.shelf(): 2}
    frozen = system.stack.processes["worker"]
    clock = asyncio.get_running_loop().time
    # Long enough to be caught in; short enough to end within the attempt's own limit.
    async with system.rule(
        "linger", "worker.after_answer", "delay", delay_s=0.5, operations=("reserve",)
    ) as rule:
        placing = [
            asyncio.create_task(system.place_stubbornly(lines, system.customer()))
            for _ in range(12)
        ]

        async def some_linger() -> bool:
            return len(await system.fired(rule)) >= 6

        # The holds are in inventory's database, and the worker that made them cannot say so.
        await until(some_linger, 30, "the worker has its answers", every_s=0.01)
        frozen.kill(signal.SIGSTOP)
        since = clock()
        try:
            async with _second_worker(system):
                answers = await asyncio.gather(*placing)
                orders = [answer.order_id for answer in answers]

                async def some_have_shipped() -> bool:
                    return "shipped" in (await system.statuses(orders)).values()

                # Temporal gives up on the frozen one after five seconds. Its polls are still open
                # and swallow some of the orders again; the others move to the second worker.
                await until(some_have_shipped, 60, "the second worker ships what the first began")
                await asyncio.sleep(max(since + 10 - clock(), 0.0))
                frozen.kill(signal.SIGCONT)
                # The thawed one believes that it still has them, and may say what it likes.
                ended = await system.settled(orders, within_s=60)
        finally:
            frozen.kill(signal.SIGCONT)
    assert set(ended.values()) == {"shipped"}
    assert {answer.status for answer in answers} <= {201, 202}
    await system.assert_moved_once(orders, lines)
    await system.assert_stock_balances()
    for order in orders:
        events = await system.events(order)
        assert len(events) == len(set(events)), events


@asynccontextmanager
async def _second_worker(system: SystemUnderTest) -> AsyncIterator[SupervisedProcess]:
    spec = system.stack.services.spec("worker")
    port = free_port()

    async def ready() -> bool:
        return await answers_ok(port)

    env = {**spec.env, "WORKER_PORT": str(port)}
    logs = system.stack.state_dir.logs
    process = SupervisedProcess(replace(spec, name="worker-second", env=env, ready=ready), logs)
    await process.start()
    try:
        await process.wait_ready(READY_WITHIN_S)
        yield process
    finally:
        await process.stop()
