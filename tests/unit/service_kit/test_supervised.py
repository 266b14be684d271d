"""Background work goes on after a mistake of its own, and says that there was one."""

import asyncio

import pytest

from service_kit.process.background import Background
from service_kit.process.supervised import FAILURES, Supervised, probes


async def test_work_that_fails_begins_anew_and_health_says_so() -> None:
    begun: list[int] = []
    goes_well = asyncio.Event()

    async def work() -> None:
        begun.append(1)
        if len(begun) < 3:
            raise ValueError("a row that nobody can read")
        goes_well.set()
        await asyncio.Event().wait()

    task = Supervised("reading", work, first_pause_s=0.001)
    assert (await task.well()).status == "pass"
    before = FAILURES.labels("reading")._value.get()
    async with Background(task.run()):
        await goes_well.wait()
        [probe] = probes(task).values()
        found = await probe()
    assert (found.status, "ValueError" in found.output) == ("warn", True)
    assert FAILURES.labels("reading")._value.get() == before + 2
    assert "nobody can read" not in found.output, "an error's text may hold addresses and names"


async def test_work_that_ends_by_itself_is_not_begun_anew() -> None:
    async def work() -> None:
        return

    await Supervised("ends", work).run()


async def test_a_cancel_ends_it() -> None:
    async def work() -> None:
        await asyncio.Event().wait()

    running = asyncio.create_task(Supervised("ends", work).run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
