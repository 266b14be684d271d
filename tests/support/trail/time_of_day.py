"""Times of day at which a test can begin: a few minutes of the 24 hours are none."""

import asyncio
from datetime import UTC, date, datetime, time, timedelta

from backup.daily import schedule


async def day_with(left: timedelta) -> date:
    """Return today, of which so much is left; wait for the next day if it is nearer."""
    while (midnight := _next_midnight()) - datetime.now(UTC) < left:  # noqa: ASYNC110  a clock
        await asyncio.sleep(max(0.0, (midnight - datetime.now(UTC)).total_seconds()))
    return datetime.now(UTC).date()


async def no_minute_of_the_schedule() -> None:
    """Wait while the Schedule of a stack would begin a backup before a test can pause it."""
    while datetime.now(UTC).minute == schedule.MINUTE - 1:  # noqa: ASYNC110  a clock
        await asyncio.sleep(1)


def _next_midnight() -> datetime:
    return datetime.combine(datetime.now(UTC).date() + timedelta(days=1), time(), UTC)
