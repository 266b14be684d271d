"""Who asks at the same time gets the same result, and one failure is not everybody's for long."""

import asyncio

import pytest

from service_kit.single_flight import SingleFlight


class Work:
    """Counts how often it is done; fails as long as it is told to."""

    def __init__(self) -> None:
        self.times = 0
        self.fails = False

    async def __call__(self) -> int:
        self.times += 1
        times = self.times
        await asyncio.sleep(0.01)
        if self.fails:
            raise TimeoutError
        return times


async def test_a_crowd_causes_one_flight_and_shares_its_result() -> None:
    work = Work()
    flight = SingleFlight(work, shared_for_s=60.0)
    assert set(await asyncio.gather(*(flight.get() for _ in range(100)))) == {1}
    assert await flight.get() == 1


async def test_a_result_is_shared_no_longer_than_that() -> None:
    flight = SingleFlight(Work(), shared_for_s=0.0)
    assert [await flight.get(), await flight.get()] == [1, 2]


async def test_a_failure_is_for_those_who_wait_and_for_nobody_later() -> None:
    work = Work()
    work.fails = True
    flight = SingleFlight(work, shared_for_s=60.0)
    failed = await asyncio.gather(*(flight.get() for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in failed] == [TimeoutError] * 3
    assert work.times == 1
    work.fails = False
    assert await flight.get() == 2


async def test_one_who_goes_away_does_not_end_it_for_the_others() -> None:
    flight = SingleFlight(Work(), shared_for_s=60.0)
    leaves, stays = (asyncio.create_task(flight.get()) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    assert await stays == 1
    with pytest.raises(asyncio.CancelledError):
        await leaves


async def test_a_failure_that_nobody_waited_for_is_no_complaint(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work = Work()
    work.fails = True
    only = asyncio.create_task(SingleFlight(work, shared_for_s=60.0).get())
    await asyncio.sleep(0)
    only.cancel()
    await asyncio.sleep(0.05)
    assert not caplog.records
