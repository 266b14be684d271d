"""The Schedule that begins each day's backup, so that nobody has to remember it."""

from collections.abc import Sequence
from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from backup.daily.contracts import START_DAILY_BACKUP, TASK_QUEUE

SCHEDULE_ID = "daily-backup"
# Every hour and not once: only the first start of a date has an effect, and a Temporal that was
# away at one hour is there at a later one. The last one is half an hour before no call is begun any
# more: a small capsule is in time then, and one that is not costs nothing.
FIRST_HOUR, LAST_HOUR, MINUTE = 1, 22, 30
CATCH_UP = timedelta(minutes=10)  # who was away for longer has the next hour


def daily(stores: Sequence[str]) -> Schedule:
    """Return the Schedule; its hours are UTC, whatever the machine's zone and summer time."""
    return Schedule(
        action=ScheduleActionStartWorkflow(
            START_DAILY_BACKUP,
            args=[list(stores)],
            id="start-backup",
            task_queue=TASK_QUEUE,
            run_timeout=timedelta(minutes=30),
        ),
        spec=ScheduleSpec(
            calendars=[
                ScheduleCalendarSpec(
                    hour=[ScheduleRange(FIRST_HOUR, LAST_HOUR)], minute=[ScheduleRange(MINUTE)]
                )
            ],
            time_zone_name="UTC",
        ),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
    )


async def ensure(client: Client, stores: Sequence[str]) -> None:
    """Have exactly the Schedule of the daily backup."""
    await ensure_one(client, SCHEDULE_ID, daily(stores))


async def ensure_one(client: Client, schedule_id: str, wanted: Schedule) -> None:
    """Have exactly this Schedule; safe on every start, and by several at once."""
    try:
        await client.create_schedule(schedule_id, wanted)
        return
    except ScheduleAlreadyRunningError:
        pass

    def bring_up_to_date(there: ScheduleUpdateInput) -> ScheduleUpdate:
        # paused by a person stays paused
        wanted.state = there.description.schedule.state
        return ScheduleUpdate(wanted)

    await client.get_schedule_handle(schedule_id).update(bring_up_to_date)
