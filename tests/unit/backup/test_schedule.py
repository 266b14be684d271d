"""The hours of the Schedule, beside the hours in which a date's call may be begun."""

from datetime import UTC, date, datetime, time

from temporalio.client import ScheduleActionStartWorkflow

from backup.daily import schedule
from backup.legacy.call import call_until
from backup.nightly import schedule as nightly_schedule
from backup.nightly.contracts import NIGHTLY_RECONCILE

DAY = date(2026, 3, 1)


def test_a_backup_begins_as_long_as_its_call_can_be_in_time() -> None:
    planned = schedule.daily(("near",))
    [calendar] = planned.spec.calendars
    [hours], [minutes] = calendar.hour, calendar.minute
    begins = [
        datetime.combine(DAY, time(hour, minutes.start), UTC)
        for hour in range(hours.start, hours.end + 1)
    ]
    assert planned.spec.time_zone_name == "UTC"
    assert begins[-1] == datetime(2026, 3, 1, 22, 30, tzinfo=UTC) < call_until(DAY)
    assert begins[-1].replace(hour=23) > call_until(DAY)
    assert isinstance(planned.action, ScheduleActionStartWorkflow)
    assert list(planned.action.args) == [["near"]]


def test_the_nightly_comparison_is_at_one_time_of_the_day_in_utc() -> None:
    planned = nightly_schedule.nightly()
    assert isinstance(planned.action, ScheduleActionStartWorkflow)
    assert (planned.action.workflow, planned.action.id) == (NIGHTLY_RECONCILE, "reconcile")
    [calendar] = planned.spec.calendars
    assert [(each.start, each.end) for each in calendar.hour] == [(2, 2)]
    assert [(each.start, each.end) for each in calendar.minute] == [(40, 40)]
    assert planned.spec.time_zone_name == "UTC"
