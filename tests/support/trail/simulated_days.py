"""Daily backups on a Temporal whose time is skipped, against the stand-in, with faults by seed."""

import asyncio
import contextlib
import random
import shutil
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from backup.capsule.manifest import SealedCapsule
from backup.daily.contracts import TASK_QUEUE, BackupPlan, BackupReport, workflow_id
from backup.daily.workflow import DailyBackup
from backup.legacy.claims import Claim
from backup.legacy.client import Answer, Gate, LegacyApi
from backup.legacy.outcomes import CallReport, NotCalled
from legacy_service.contracts import Misbehaviour, Misdeed
from service_kit.postgres.pool import Pool
from tests.support.trail.claims_site import RestorableCalls, put_back
from tests.support.trail.legacy import LegacyStandIn, SetClock

MISDEEDS: tuple[Misdeed, ...] = (
    *("error", "silence", "cut", "cut_early", "trickle", "lost", "truncated"),
)
UNANSWERED: frozenset[Misdeed] = frozenset({"silence", "trickle"})
Crash = Literal["connected", "between the places", "claimed", "answered", "confirmed"]
CRASHES: tuple[Crash, ...] = ("connected", "between the places", "claimed", "answered", "confirmed")
# In these no protocol can know whether the service has counted the call: the date may go without.
THE_ONE_INSTANT: frozenset[Crash] = frozenset({"between the places", "claimed"})
Restore = Literal["database", "disk of the database", "folder", "both"]
RESTORES: tuple[Restore, ...] = ("database", "disk of the database", "folder", "both")


SKIPPED_AT_ONCE = timedelta(minutes=5)


class Crashed(Exception):
    """Stands for the death of a worker: its attempt ends here, and Temporal begins another one."""


@dataclass(frozen=True)
class FaultyDay:
    """What goes wrong on one date."""

    day: date
    away: tuple[datetime, datetime] | None = None  # from … until, connections are refused
    misdeed: Misdeed | None = None
    crash: Crash | None = None
    restore_after: Restore | None = None
    schedulers: int = 1
    wrong_clock: bool = False  # one of them means tomorrow, another one yesterday

    @property
    def is_down(self) -> bool:
        """Tell whether the service was away for as long as a call may begin."""
        return self.away is not None and self.away[1] - self.away[0] >= timedelta(hours=24)

    @property
    def may_go_without(self) -> bool:
        return self.is_down or self.crash in THE_ONE_INSTANT


def faulty_day(day: date, seed: int) -> FaultyDay:
    """Return what goes wrong on `day`: something on two days of three."""
    choose = random.Random(f"{seed} {day}")
    midnight = datetime.combine(day, time(), UTC)
    away = None
    kind = choose.random()
    if kind < 0.04:
        away = (midnight, midnight + timedelta(hours=24))
    elif kind < 0.15:
        away = (midnight, midnight + timedelta(hours=choose.uniform(2, 22)))
    return FaultyDay(
        day=day,
        away=away,
        misdeed=choose.choice(MISDEEDS) if choose.random() < 0.3 else None,
        crash=choose.choice(CRASHES) if choose.random() < 0.25 else None,
        restore_after=choose.choice(RESTORES) if choose.random() < 0.15 else None,
        schedulers=choose.choice((1, 1, 3)),
        wrong_clock=choose.random() < 0.02,
    )


@dataclass
class World:
    """Today, its time, and its faults; shared by all that take part."""

    clock: SetClock
    plan: dict[date, FaultyDay]
    crashed: set[date] = field(default_factory=set)
    at_work: int = 0  # activities that are being executed

    @property
    def today(self) -> FaultyDay:
        """Return the plan of the simulated date, faultless outside of what was planned."""
        day = self.clock.now.date()
        return self.plan.get(day, FaultyDay(day))

    def crash_if(self, moment: Crash) -> None:
        """End this attempt, once, if today's plan says so."""
        if self.today.crash == moment and self.today.day not in self.crashed:
            self.crashed.add(self.today.day)
            raise Crashed(moment)

    @property
    def is_away(self) -> bool:
        away = self.today.away
        return away is not None and away[0] <= self.clock.now < away[1]


class ClockFollows(Interceptor):
    """Sets the world's clock to the simulated time before each activity; it stands still in it."""

    def __init__(self, env: WorkflowEnvironment, world: World) -> None:
        self.env = env
        self.world = world

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        follows = self

        class Inbound(ActivityInboundInterceptor):
            async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
                world = follows.world
                world.at_work += 1
                try:
                    world.clock.now = (await follows.env.get_current_time()).astimezone(UTC)
                    return await super().execute_activity(input)
                finally:
                    world.at_work -= 1

        return Inbound(next)


class WayToTheService:
    """The real client, through a network that is cut while the service is away.

    On days on which no answer is to come, an `impatient` one calls; on all others its limit would
    cut off a call whose machine has stood still for a moment, and cost the date its call.
    """

    def __init__(self, patient: LegacyApi, impatient: LegacyApi, world: World) -> None:
        self._real = patient
        self._impatient = impatient
        self._world = world

    async def now(self) -> datetime:
        self._refuse()
        return await self._real.now()

    async def calls_on(self, day: date) -> int | None:
        self._refuse()
        return await self._real.calls_on(day)

    async def put(self, capsule: SealedCapsule, day: date, gate: Gate) -> Answer:
        self._refuse()

        async def gate_and_crash() -> None:
            self._world.crash_if("connected")
            await gate()
            self._world.crash_if("claimed")

        unanswered = self._world.today.misdeed in UNANSWERED
        caller = self._impatient if unanswered else self._real
        answer = await caller.put(capsule, day, gate_and_crash)
        self._world.crash_if("answered")
        return answer

    def _refuse(self) -> None:
        if self._world.is_away:
            raise NotCalled("connection refused")


class MortalCalls(RestorableCalls):
    """The real claims in the database, of a worker that may die."""

    def __init__(self, pool: Pool, world: World) -> None:
        super().__init__(pool, deadline_s=60.0)
        self._world = world

    async def claim(self, claim: Claim) -> bool:
        passed = await super().claim(claim)
        self._world.crash_if("between the places")
        return passed

    async def confirm(self, report: CallReport, at: datetime) -> None:
        await super().confirm(report, at)
        self._world.crash_if("confirmed")


@dataclass
class Days:
    """Lives through days; `reports` are how the backups ended."""

    env: WorkflowEnvironment
    world: World
    legacy: LegacyStandIn
    calls: MortalCalls
    claims: Path
    admin_dsn: str
    reports: dict[date, BackupReport] = field(default_factory=dict)
    handles: dict[date, WorkflowHandle[Any, BackupReport]] = field(default_factory=dict)

    async def live(self, planned: FaultyDay) -> None:
        """Let a day's schedulers, faults and people do what they do."""
        day = planned.day
        await self._skip_to(datetime.combine(day, time(), UTC))
        misdeeds = self.legacy.served.app.state.service.misdeeds
        misdeeds.plan(Misbehaviour(misdeed=planned.misdeed) if planned.misdeed else None)
        await self._skip_to(datetime.combine(day, time(1, 30), UTC))
        for _ in range(planned.schedulers):
            await self._start(day)
        if planned.wrong_clock:
            await self._start(day + timedelta(days=1))
            await self._start(day - timedelta(days=1))
        self.reports[day] = await self._end_of(self.handles[day])
        if planned.restore_after is not None:
            await self._restore(planned.restore_after, day)
        if planned.restore_after is not None or planned.schedulers > 1:
            await self._by_hand(day)

    async def _start(self, day: date) -> None:
        """Start a date's backup as each of several schedulers does; only the first one has."""
        with contextlib.suppress(WorkflowAlreadyStartedError):
            self.handles[day] = await self._run(day, workflow_id(day))

    async def _by_hand(self, day: date) -> None:
        """Run the date's backup again: by a person, or by a Temporal that has lost its history."""
        now = await self.env.get_current_time()
        if now.astimezone(UTC).date() == day:
            await self._end_of(await self._run(day, f"by-hand-{uuid4()}"))

    async def _run(self, day: date, name: str) -> WorkflowHandle[Any, BackupReport]:
        return await self.env.client.start_workflow(
            DailyBackup.run,
            BackupPlan(day=day, stores=("near", "far")),
            id=name,
            task_queue=TASK_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )

    async def _restore(self, what: Restore, day: date) -> None:
        if what != "folder":
            await put_back(self.admin_dsn, day)
            self.calls.timeline += what != "disk of the database"
        if what in ("folder", "both"):
            shutil.rmtree(self.claims, ignore_errors=True)

    async def _end_of(self, handle: WorkflowHandle[Any, BackupReport]) -> BackupReport:
        """Skip from one retry to the next until a backup has ended, and return its report.

        Waiting for the result would have the server skip by itself, and that goes on for years if
        the end comes in the same moment.
        """
        with self.env.auto_time_skipping_disabled():
            while True:
                found = await handle.describe()
                if found.status is not WorkflowExecutionStatus.RUNNING:
                    return await handle.result()
                pending = found.raw_description.pending_activities
                if self.world.at_work == 0 and any(each.attempt > 1 for each in pending):
                    # a retry is to come; when it is due, this server does not tell
                    await self.env.sleep(SKIPPED_AT_ONCE)
                else:
                    await asyncio.sleep(0.02)  # it is at work, and nothing announces its end

    async def _skip_to(self, moment: datetime) -> None:
        """Skip by the hour: what falls due meanwhile is done before the server answers."""
        while moment > (now := (await self.env.get_current_time()).astimezone(UTC)):
            left = moment - now
            await self.env.sleep(min(left, timedelta(hours=1 if left.days < 2 else 24)))


def days_from(start: date, number: int, seed: int) -> list[FaultyDay]:
    """Return the plan."""
    return [faulty_day(start + timedelta(days=n), seed) for n in range(number)]


def before_the_next_leap_day(now: datetime, days: int) -> date:
    """Return a day within the next years, so that a leap day comes soon after it."""
    year = now.year + 1
    while not (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)):
        year += 1
    return date(year, 2, 29) - timedelta(days=days)
