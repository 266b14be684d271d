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
from tests.support.system_under_test import READY_WITHIN_S, Shop

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
    shop: Shop, point: str, operation: str
) -> None:
    lines = {await shop.shelf(): 1, await shop.shelf(): 5}
    async with shop.rule(point, point, "crash", operations=(operation,)) as rule:
        before = shop.pids("worker")
        answer = await shop.place(lines, shop.customer())
        ended = await shop.settled([answer.order_id], within_s=60)
    assert ended == {answer.order_id: "shipped"}
    assert answer.status in (201, 202)
    await shop.assert_in_time([answer])
    await shop.assert_moved_once(ended, lines)
    await shop.assert_books_balance()
    fired = await shop.fired(rule)
    assert before[-1] in {row["pid"] for row in fired}
    assert len(shop.pids("worker")) > len(before)


async def test_a_worker_killed_in_a_durable_step_leaves_one_effect(shop: Shop) -> None:
    lines = {await shop.shelf(): 2}
    async with (
        shop.rule("no-answer", "inventory.before_response", "drop", operations=("commit",)),
        shop.rule(
            "die-later", "worker.after_answer", "crash", operations=("commit",), attempts=(2,)
        ) as rule,
    ):
        answer = await shop.place(lines, shop.customer())
        assert (answer.status, answer.body["status"]) == (201, "reserved")
        ended = await shop.settled([answer.order_id], within_s=60)
    assert ended == {answer.order_id: "shipped"}
    assert answer.order_id in {str(row["order_id"]) for row in await shop.fired(rule)}
    assert await shop.events(answer.order_id) == [
        "received", "reserved", "ready_to_ship", "waiting", "shipped",
    ]  # fmt: skip
    await shop.assert_moved_once(ended, lines)


async def test_a_worker_frozen_for_ten_seconds_makes_a_second_live_attempt_harmless(
    shop: Shop,
) -> None:
    lines = {await shop.shelf(): 2}
    frozen = shop.stack.processes["worker"]
    clock = asyncio.get_running_loop().time
    # Long enough to be caught in; short enough to end within the attempt's own limit.
    async with shop.rule(
        "linger", "worker.after_answer", "delay", delay_s=0.5, operations=("reserve",)
    ) as rule:
        placing = [asyncio.create_task(shop.place(lines, shop.customer())) for _ in range(12)]

        async def some_linger() -> bool:
            return len(await shop.fired(rule)) >= 6

        # The holds are in the warehouse's books, and the worker that made them cannot say so.
        await until(some_linger, 5, "the worker has its answers", every_s=0.01)
        frozen.kill(signal.SIGSTOP)
        since = clock()
        try:
            async with _second_worker(shop):
                answers = await asyncio.gather(*placing)
                orders = [answer.order_id for answer in answers]

                async def some_have_shipped() -> bool:
                    return "shipped" in (await shop.statuses(orders)).values()

                # Temporal gives up on the frozen one after five seconds. Its polls are still open
                # and swallow some of the orders again; the others move to the second worker.
                await until(some_have_shipped, 9, "the second worker ships what the first began")
                await asyncio.sleep(since + 10 - clock())
                frozen.kill(signal.SIGCONT)
                # The thawed one believes that it still has them, and may say what it likes.
                ended = await shop.settled(orders, within_s=60)
        finally:
            frozen.kill(signal.SIGCONT)
    assert set(ended.values()) == {"shipped"}
    assert {answer.status for answer in answers} <= {201, 202}
    await shop.assert_moved_once(orders, lines)
    await shop.assert_books_balance()
    for order in orders:
        events = await shop.events(order)
        assert len(events) == len(set(events)), events


@asynccontextmanager
async def _second_worker(shop: Shop) -> AsyncIterator[SupervisedProcess]:
    spec = shop.stack.services.spec("worker")
    port = free_port()

    async def ready() -> bool:
        return await answers_ok(port)

    env = {**spec.env, "WORKER_PORT": str(port)}
    logs = shop.stack.state_dir.logs
    process = SupervisedProcess(replace(spec, name="worker-second", env=env, ready=ready), logs)
    await process.start()
    try:
        await process.wait_ready(READY_WITHIN_S)
        yield process
    finally:
        await process.stop()
