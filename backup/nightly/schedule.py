"""The Schedule of the nightly comparison.

Temporal appends the time to the ids of what a Schedule starts. That is no loss here: nothing is
spent by a night that is looked at twice.
"""

from datetime import time, timedelta

from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
)

from backup.daily.contracts import TASK_QUEUE
from backup.nightly.contracts import NIGHTLY_RECONCILE

SCHEDULE_ID = "nightly-reconcile"
AT = time(2, 40)  # UTC; between two hourly starts of the daily backup
# A machine that is off at night compares when it is on again.
CATCH_UP = timedelta(hours=12)
# Whatever happens, the next night is not left out for this one.
OVER_AFTER = timedelta(hours=23)


def nightly() -> Schedule:
    """Return the Schedule."""
    return Schedule(
        action=ScheduleActionStartWorkflow(
            NIGHTLY_RECONCILE,
            id="reconcile",
            task_queue=TASK_QUEUE,
            execution_timeout=OVER_AFTER,
        ),
        spec=ScheduleSpec(
            calendars=[
                ScheduleCalendarSpec(
                    hour=[ScheduleRange(AT.hour)], minute=[ScheduleRange(AT.minute)]
                )
            ],
            time_zone_name="UTC",
        ),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
    )
