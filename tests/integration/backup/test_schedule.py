"""The Schedule on a real Temporal: each date's backup begins once, by whoever comes first."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.client import Client, ScheduleOverlapPolicy, WorkflowExecutionStatus
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from backup.daily import schedule, worker
from backup.daily.activities import BackupActivities, LegacyActivities
from backup.daily.contracts import TASK_QUEUE, BackupPlan, BackupReport, workflow_id
from backup.daily.workflow import DailyBackup
from backup.legacy.call import LegacyCall
from backup.legacy.claim_folder import ClaimFolder
from backup.nightly import schedule as nightly_schedule
from backup.nightly.kept import KeptComparison
from tests.support.order_stack import eventually
from tests.support.trail.claims_site import ClaimsSite
from tests.support.trail.comparisons import Comparisons, found, nightly_work
from tests.support.trail.parts import DigestProver, FolderSealer, FolderStore
from tests.support.trail.time_of_day import day_with, no_minute_of_the_schedule


async def test_a_schedule_is_made_once_and_brought_up_to_date(temporal_client: Client) -> None:
    for stores in ((), ("near",), ("near", "far")):
        await schedule.ensure(temporal_client, stores)
    handle = temporal_client.get_schedule_handle(schedule.SCHEDULE_ID)
    await handle.pause(note="a person")
    await schedule.ensure(temporal_client, ("far",))
    found = (await handle.describe()).schedule
    assert found.policy.overlap == ScheduleOverlapPolicy.SKIP
    assert found.policy.catchup_window == schedule.CATCH_UP
    assert found.state.paused
    next_times = (await handle.describe()).info.next_action_times
    assert all(each.minute == 30 and 1 <= each.hour <= 22 for each in next_times), next_times
    await handle.delete()


async def test_the_nightly_comparison_has_a_schedule_of_its_own(
    temporal_client: Client, site: ClaimsSite, tmp_path: Path
) -> None:
    """The process makes both, and keeps them; one that is triggered compares and keeps that."""
    await no_minute_of_the_schedule()
    kept = KeptComparison(tmp_path / "trail" / "last-comparison.json")
    agrees = found()
    work = nightly_work(Comparisons(agrees), tmp_path / "trail" / "last-comparison.json")
    steps = BackupActivities(FolderSealer(tmp_path / "sealed"), DigestProver(), {})
    call = LegacyCall(site.legacy.client(site.claims), site.calls, ClaimFolder(site.claims))
    runs = worker.BackupWorker(steps, LegacyActivities(call, site.calls), (), further=work)
    working = [asyncio.create_task(each()) for each in (runs.run, runs.keep_schedule)]
    handle = temporal_client.get_schedule_handle(nightly_schedule.SCHEDULE_ID)

    async def there() -> bool:
        ids = {each.id async for each in await temporal_client.list_schedules()}
        return ids >= {schedule.SCHEDULE_ID, nightly_schedule.SCHEDULE_ID}

    await eventually(there, 60.0)
    await handle.pause(note="a person")
    await schedule.ensure_one(
        temporal_client, nightly_schedule.SCHEDULE_ID, nightly_schedule.nightly()
    )
    described = await handle.describe()
    assert described.schedule.state.paused
    assert described.schedule.policy.overlap == ScheduleOverlapPolicy.SKIP
    assert described.schedule.policy.catchup_window == nightly_schedule.CATCH_UP
    times = {each.time() for each in described.info.next_action_times}
    assert times == {nightly_schedule.AT}

    await handle.unpause()
    await handle.trigger()

    async def compared() -> bool:
        return kept.read().last == agrees

    await eventually(compared, 60.0)
    for task in working:
        task.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    for schedule_id in (schedule.SCHEDULE_ID, nightly_schedule.SCHEDULE_ID):
        await temporal_client.get_schedule_handle(schedule_id).delete()


async def test_triggers_and_starts_of_one_date_are_one_backup(
    temporal_client: Client, site: ClaimsSite, tmp_path: Path
) -> None:
    steps = BackupActivities(
        FolderSealer(tmp_path / "sealed"), DigestProver(), {"near": FolderStore(tmp_path / "near")}
    )
    call = LegacyCall(site.legacy.client(site.claims), site.calls, ClaimFolder(site.claims))
    await day_with(timedelta(minutes=2))
    now = datetime.now(UTC)
    site.legacy.clock.now = now.replace(hour=12)  # in its last hour, no call of a date is begun
    await schedule.ensure(temporal_client, ("near",))
    handle = temporal_client.get_schedule_handle(schedule.SCHEDULE_ID)
    async with worker.build(temporal_client, steps, LegacyActivities(call, site.calls)):
        for _ in range(3):
            await handle.trigger(overlap=ScheduleOverlapPolicy.ALLOW_ALL)
        backup = temporal_client.get_workflow_handle(
            workflow_id(now.date()), result_type=BackupReport
        )
        while True:  # until the first trigger has begun it
            try:
                report: BackupReport = await backup.result()
                break
            except Exception as error:
                if "not found" not in str(error):
                    raise
                await asyncio.sleep(0.1)
        with pytest.raises(WorkflowAlreadyStartedError):
            await temporal_client.start_workflow(
                DailyBackup.run,
                BackupPlan(day=now.date()),
                id=workflow_id(now.date()),
                task_queue=TASK_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            )
    assert report.call is not None
    assert (report.call.state, report.copies) == ("done", ("near",))
    assert site.legacy.calls(now.date()) == 1
    assert await site.state(now.date()) == "done"
    assert (await backup.describe()).status is WorkflowExecutionStatus.COMPLETED
    assert report.ended_at - now < timedelta(minutes=30)
    await handle.delete()
