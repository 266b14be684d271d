"""Background work that should never end: a process without it is ended, to be started anew."""

import asyncio
import signal
from collections.abc import Iterator

import pytest

from service_kit.process.background import Background


@pytest.fixture
def wishes() -> Iterator[list[int]]:
    """The signals by which this process was told to end meanwhile."""
    found: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: found.append(number))
    yield found
    signal.signal(signal.SIGTERM, before)


async def returns() -> None:
    return


async def fails() -> None:
    raise ValueError("nobody saw this coming")


@pytest.mark.parametrize("work", [returns, fails])
async def test_work_that_ends_ends_the_process(wishes: list[int], work: object) -> None:
    assert callable(work)
    goes_on = asyncio.Event()
    async with Background(work(), _until_cancelled(goes_on)):
        for _ in range(5):
            await asyncio.sleep(0)
        assert wishes == [signal.SIGTERM]
        assert not goes_on.is_set(), "the rest goes on until the process has served its requests"
    assert goes_on.is_set()


async def test_work_that_is_cancelled_with_its_process_asks_for_no_other_end(
    wishes: list[int],
) -> None:
    ended = asyncio.Event()
    async with Background(_until_cancelled(ended)):
        await asyncio.sleep(0)
    assert ended.is_set()
    assert wishes == []


async def _until_cancelled(ended: asyncio.Event) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.set()
