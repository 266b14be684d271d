"""kill -9 of every process in the middle of a stream of orders, then `valerix up` once more."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.conftest import FIGURES
from tests.support.command_line import CommandLine, looking_at
from tests.support.database_checks import until
from tests.support.processes import wait_until_gone
from tests.support.system_under_test import SystemUnderTest, latencies

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def valerix(tmp_path: Path) -> AsyncIterator[CommandLine]:
    line = CommandLine(tmp_path / "home")
    yield line
    for process in line.running:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), 60)


async def test_after_kill_9_of_everything_each_acknowledged_order_is_there_and_settles(
    valerix: CommandLine, pytestconfig: pytest.Config
) -> None:
    await valerix.up()
    async with aiohttp.ClientSession() as session:
        system = SystemUnderTest(looking_at(valerix), session)
        lines = {"MUG-BLUE": 1, "SOCKS-WOOL": 2}
        customer = system.customer()
        ordering = asyncio.create_task(system.stream(20.0, 60, lines, customer))

        async def some_are_in() -> bool:
            return len(system.answers) >= 20

        await until(some_are_in, 20, "the first orders are answered")
        pids = valerix.pids()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # a death may take others along
                os.kill(pid, signal.SIGKILL)
        await valerix.running[0].wait()
        answers = await ordering
        await wait_until_gone(pids)
        kept = {answer.key: answer.order_id for answer in answers if answer.status in (201, 202)}
        # The database may have been gone for a moment before the order service was.
        broken = [answer for answer in answers if answer.status in (0, 503)]
        assert kept
        assert broken
        assert len(kept) + len(broken) == 60, latencies(answers)

        await valerix.up()
        assert set(kept.values()) <= set(await system.statuses(kept.values()))
        # Whoever has no answer asks again, and gets the one order of that key.
        again = {
            answer.key: (await system.place_stubbornly(lines, customer, answer.key)).order_id
            for answer in broken
        }
        orders = [*kept.values(), *again.values()]
        ended = await system.settled(orders, within_s=60)
        assert (len(ended), set(ended.values())) == (60, {"shipped"})
        await system.assert_moved_once(orders, lines)
        await system.assert_stock_balances()
        assert [await system.stock(sku) for sku in lines] == [(99_940, 0), (99_880, 0)]
    pytestconfig.stash[FIGURES].append(
        f"kill -9 of everything: {len(kept)} acknowledged; {latencies(answers)}"
    )
