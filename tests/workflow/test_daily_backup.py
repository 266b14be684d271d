"""A date's backup: what is sealed again when it was not proven, and what is said of the call."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.testing import WorkflowEnvironment

from backup.capsule.manifest import SealedCapsule
from backup.daily import worker
from backup.daily.activities import BackupActivities, LegacyActivities
from backup.daily.contracts import NOT_PROVEN, TASK_QUEUE, BackupPlan, BackupReport
from backup.daily.parts import NotProven
from backup.daily.workflow import FURTHER_CAPSULES, DailyBackup
from backup.errors import CapsuleDamaged, DiskFull, ProgramFailed, WrongCapsule
from backup.legacy.call import LegacyCall
from backup.legacy.calls import LegacyCalls
from backup.legacy.outcomes import CallReport, NotCalled, TooLate
from backup.legacy.settings import LegacySettings
from tests.support.saga_environment import start_temporal
from tests.support.trail.legacy import sealed
from tests.support.trail.parts import FolderStore
from worker.temporal_worker import runner

CALL_ACTIVITY = "call_legacy_service"
Backup = WorkflowHandle[DailyBackup, BackupReport]


@dataclass
class Capsules:
    """Seals, and proves as it was told to: one failure for each attempt, then none."""

    folder: Path
    failures: list[Exception] = field(default_factory=list)
    asked_instead_of: list[str | None] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)

    async def seal(
        self, day: date, not_before: object = None, instead_of: str | None = None
    ) -> SealedCapsule:
        self.asked_instead_of.append(instead_of)
        return sealed(self.folder, day, f"capsule {len(self.asked_instead_of)}".encode())

    async def prove(self, capsule: SealedCapsule) -> None:
        self.tried.append(capsule.sha256)
        if self.failures:
            raise self.failures.pop(0)


class Call(LegacyCall):
    """The date's call, which ends as it was told to."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.attempts: list[str] = []

    async def make(self, capsule: SealedCapsule, day: date) -> CallReport:
        self.attempts.append(capsule.sha256)
        if self.failures:
            raise self.failures.pop(0) if len(self.failures) > 1 else self.failures[0]
        return CallReport(day=day, claim_id=uuid4(), state="done", by_us=True)


class Calls(LegacyCalls):
    """Where it would be written down."""

    def __init__(self) -> None:
        self.confirmed: list[CallReport] = []

    async def confirm(self, report: CallReport, at: object) -> None:
        self.confirmed.append(report)


@dataclass
class World:
    """A Temporal whose time is skipped, and the parts of a backup."""

    env: WorkflowEnvironment
    sandboxed: bool
    folder: Path
    capsules: Capsules
    call: Call = field(default_factory=Call)
    calls: Calls = field(default_factory=Calls)

    @asynccontextmanager
    async def backup(self) -> AsyncIterator[Backup]:
        """Begin the backup of the coming date: a whole day is left of it."""
        steps = BackupActivities(
            self.capsules, self.capsules, {"near": FolderStore(self.folder / "near")}
        )
        async with worker.build(
            self.env.client,
            steps,
            LegacyActivities(self.call, self.calls),
            workflow_runner=runner(sandbox=self.sandboxed),
        ):
            now = (await self.env.get_current_time()).astimezone(UTC)
            yield await self.env.client.start_workflow(
                DailyBackup.run,
                BackupPlan(day=now.date() + timedelta(days=1), stores=("near",)),
                id=f"backup-{uuid4()}",
                task_queue=TASK_QUEUE,
            )


@pytest.fixture
async def world(sandboxed: bool, tmp_path: Path) -> AsyncIterator[World]:
    async with await start_temporal() as env:
        yield World(env, sandboxed, tmp_path, Capsules(tmp_path / "sealed"))


async def test_another_capsule_is_sealed_for_one_that_is_no_good(world: World) -> None:
    world.capsules.failures = [NotProven("a table is missing"), CapsuleDamaged("a bit")]
    async with world.backup() as backup:
        report = await backup.result()
    first, second, third = world.capsules.tried
    assert world.capsules.asked_instead_of == [None, first, second]
    assert report.capsule_sha256 == third
    assert world.call.attempts == [third]
    assert report.copies == ("near",)


async def test_no_call_is_spent_when_no_capsule_is_any_good(world: World) -> None:
    world.capsules.failures = [WrongCapsule("of another day")] * 10
    async with world.backup() as backup:
        with pytest.raises(WorkflowFailureError) as failed:
            await backup.result()
    assert isinstance(failed.value.cause, ActivityError)
    assert isinstance(failed.value.cause.cause, ApplicationError)
    assert failed.value.cause.cause.type == NOT_PROVEN
    assert len(set(world.capsules.tried)) == len(world.capsules.tried) == 1 + FURTHER_CAPSULES
    assert world.call.attempts == []


async def test_a_proof_that_could_not_be_made_says_nothing_of_the_capsule(world: World) -> None:
    world.capsules.failures = [DiskFull("no room to restore it"), OSError("no server")]
    async with world.backup() as backup:
        report = await backup.result()
    assert world.capsules.asked_instead_of == [None]
    assert world.capsules.tried == [report.capsule_sha256] * 3


async def test_a_capsule_that_no_server_comes_up_on_is_no_good_at_the_third_attempt(
    world: World,
) -> None:
    world.capsules.failures = [ProgramFailed("the restored database did not start")] * 3
    async with world.backup() as backup:
        report = await backup.result()
    first, *again, last = world.capsules.tried
    assert again == [first, first]
    assert world.capsules.asked_instead_of == [None, first]
    assert report.capsule_sha256 == last != first


async def test_the_last_capsule_of_a_date_is_tried_until_the_machine_can_run_a_server(
    world: World,
) -> None:
    attempts = 3 * FURTHER_CAPSULES + 5
    world.capsules.failures = [ProgramFailed("there is no memory for a server")] * attempts
    async with world.backup() as backup:
        report = await backup.result()
    assert len(world.capsules.tried) == attempts + 1
    assert len(set(world.capsules.tried)) == 1 + FURTHER_CAPSULES
    assert world.call.attempts == [report.capsule_sha256]


async def test_a_call_that_is_too_late_is_over_at_once(world: World) -> None:
    world.call.failures = [NotCalled("the service is away"), TooLate("it is 23:00")]
    async with world.backup() as backup:
        report = await backup.result()
    assert len(world.call.attempts) == 2
    assert (report.call, report.call_in_doubt) == (None, False)


async def test_of_a_call_that_could_never_be_looked_for_nobody_says_that_there_was_none(
    world: World,
) -> None:
    world.call.failures = [NotCalled("a claim cannot be written")]
    async with world.backup() as backup:
        report = await backup.result()
    assert (report.call, report.call_in_doubt) == (None, True)
    assert report.copies == ("near",)


async def test_midnight_cuts_no_call_that_is_under_way(world: World) -> None:
    async with world.backup() as backup:
        report = await backup.result()
        [call] = [
            event
            async for event in backup.fetch_history_events()
            if event.activity_task_scheduled_event_attributes.activity_type.name == CALL_ACTIVITY
        ]
    assert (report.call is not None, report.call_in_doubt) == (True, False)
    assert [each.day for each in world.calls.confirmed] == [report.day]
    asked = call.activity_task_scheduled_event_attributes
    ends = call.event_time.ToDatetime(UTC) + asked.schedule_to_close_timeout.ToTimedelta()
    midnight = datetime.combine(report.day + timedelta(days=1), time(), UTC)
    longest = LegacySettings.model_fields["call_within_s"].default
    assert ends >= midnight + timedelta(seconds=longest)
    assert asked.start_to_close_timeout.ToTimedelta() >= timedelta(seconds=longest)
