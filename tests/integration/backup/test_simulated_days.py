"""B1 and B2: hundreds of simulated days with faults; the stand-in's own count is what is believed.

The days are skipped by Temporal's time-skipping server; the stand-in, the claims in Postgres and in
the folder, the client and the workflow are the real ones.
"""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from backup.daily import worker as backup_worker
from backup.daily.activities import BackupActivities, LegacyActivities
from backup.daily.contracts import TASK_QUEUE
from backup.legacy.call import LegacyCall
from backup.legacy.claim_folder import ClaimFolder
from service_kit.temporal import DATA_CONVERTER
from tests.conftest import FIGURES
from tests.support.databases import Databases, name_in
from tests.support.saga_environment import start_time_skipping
from tests.support.trail.claims_site import open_pool
from tests.support.trail.legacy import SetClock, serve_legacy
from tests.support.trail.parts import DigestProver, FolderSealer, FolderStore
from tests.support.trail.simulated_days import (
    ClockFollows,
    Days,
    FaultyDay,
    MortalCalls,
    WayToTheService,
    World,
    before_the_next_leap_day,
    days_from,
)

SEED = 11


@pytest.fixture(autouse=True)
def summer_time() -> Iterator[None]:
    """A machine in a zone with summer time: no date here may depend on it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


async def live_through(
    planned: list[FaultyDay], databases: Databases, dsn: str, folder: Path
) -> Days:
    """Return the world after these days."""
    clock = SetClock()
    world = World(clock, {each.day: each for each in planned})
    connections = await open_pool(dsn)
    env = await start_time_skipping(DATA_CONVERTER)
    with serve_legacy(folder / "legacy", clock) as legacy:
        async with env:
            claims = folder / "claims"
            calls = MortalCalls(connections, world)
            client = WayToTheService(
                legacy.client(claims), legacy.client(claims, call_within_s=8.0), world
            )
            call = LegacyCall(client, calls, ClaimFolder(claims))
            days = Days(
                env=env,
                world=world,
                legacy=legacy,
                calls=calls,
                claims=claims,
                admin_dsn=databases.postgres.admin_dsn(name_in(dsn)),
            )
            steps = BackupActivities(
                FolderSealer(folder / "sealed"),
                DigestProver(),
                {name: FolderStore(folder / name) for name in ("near", "far")},
            )
            async with _working(env, steps, LegacyActivities(call, calls), world):
                for each in planned:
                    await days.live(each)
    connections.terminate()
    return days


def _working(
    env: WorkflowEnvironment, steps: BackupActivities, legacy: LegacyActivities, world: World
) -> Worker:
    """Return the worker of production, whose activities set the clock."""
    return Worker(
        env.client,
        task_queue=TASK_QUEUE,
        workflows=backup_worker.WORKFLOWS,
        activities=[steps.seal, steps.prove, steps.copy, legacy.call, legacy.confirm],
        interceptors=[ClockFollows(env, world)],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    "number", [10, *(pytest.param(days, marks=pytest.mark.full) for days in (60, 400))]
)
async def test_every_date_has_one_call_and_none_has_two(
    number: int,
    databases: Databases,
    backup_database: str,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    start = before_the_next_leap_day(datetime.now(UTC), min(20, number // 2))
    planned = days_from(start, number, SEED)
    days = await live_through(planned, databases, backup_database, tmp_path)
    counted = {each.day: days.legacy.calls(each.day) for each in planned}
    twice = [day for day, calls in counted.items() if calls > 1]
    without = {day for day, calls in counted.items() if calls == 0}
    down = {each.day for each in planned if each.is_down}
    excused = {each.day for each in planned if each.may_go_without}
    pytestconfig.stash[FIGURES].append(
        f"{number} simulated days, {Counter(counted.values())[1]} with one legacy call, "
        f"{len(twice)} with two, {len(without)} without: {len(without & down)} of them with the "
        f"service away all day, {len(without - down)} with a death between claim and first byte"
    )
    assert twice == []
    assert without <= excused, sorted(without - excused)
    assert down <= without
    assert date(start.year, 2, 29) in counted
    _reports_agree(planned, days, counted)


def _reports_agree(planned: list[FaultyDay], days: Days, counted: dict[date, int]) -> None:
    for each in planned:
        report = days.reports[each.day]
        assert set(report.copies) == {"near", "far"}, report
        if each.is_down:
            assert report.call is None, report
        elif report.call is not None and report.call.state == "done":
            assert counted[each.day] == 1, report
            kept = days.legacy.kept(each.day)
            assert kept is not None or each.misdeed == "lost", report
