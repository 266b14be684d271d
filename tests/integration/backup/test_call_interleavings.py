"""Three schedulers, deaths, clocks, restores in any order: never two calls on one date.

The claims are real, in Postgres and in a folder. The service is a second implementation that does
nothing but count, and every scheduler stops before each thing that the others could notice.
"""

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Iterator
from contextlib import nullcontext
from datetime import date, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from backup.legacy.call import LegacyCall
from backup.legacy.calls import LegacyCalls
from backup.legacy.claim_folder import ClaimFolder, PreparedClaim
from backup.legacy.claims import Claim, Evidence
from backup.legacy.outcomes import NotCalled
from service_kit.postgres.pool import Pool
from tests.support.databases import Databases, name_in
from tests.support.event_loop_thread import EventLoopThread
from tests.support.trail.claims_site import open_pool, put_back
from tests.support.trail.legacy import DAY, sealed
from tests.support.trail.stepped_call import CountingService, SteppedCalls, SteppedFolder, World
from tests.support.trail.steps import Walker

SCHEDULERS = 3
MOST_STEPS = 20  # of one call


class CallMachine(RuleBasedStateMachine):
    """Everything that can happen, in any order."""

    loop_thread: ClassVar[EventLoopThread]
    pool: ClassVar[Pool]
    admin_dsn: ClassVar[str]
    folder: ClassVar[Path]

    database_is_short = False
    folder_is_lost = False

    @initialize(tells=st.booleans())
    def begin(self, tells: bool) -> None:
        self.world = World(tells=tells)
        self.claims = self.folder / "claims"
        shutil.rmtree(self.claims, ignore_errors=True)
        self.run(put_back(self.admin_dsn, date.min))
        self.walkers = [Walker() for _ in range(SCHEDULERS)]
        self.database_is_short = self.folder_is_lost = False
        self.spent: set[date] = set()

    @rule(who=st.integers(0, SCHEDULERS - 1), days_off=st.sampled_from([0, 0, 0, 1, -1]))
    def begin_or_go_on(self, who: int, days_off: int) -> None:
        """A scheduler whose clock is wrong means another date."""
        self._go_on(self.walkers[who], days_off)

    @rule(who=st.integers(0, SCHEDULERS - 1))
    def go_to_the_end(self, who: int) -> None:
        self._go_on(self.walkers[who])
        while self.walkers[who].is_walking:
            self._go_on(self.walkers[who])

    @rule(who=st.integers(0, SCHEDULERS - 1))
    def die(self, who: int) -> None:
        self.run(self.walkers[who].kill())

    @rule(seconds=st.sampled_from([1, 8, 50, 3600, 6 * 3600, 12 * 3600, 86_400]))
    def let_time_pass(self, seconds: int) -> None:
        self.world.now += timedelta(seconds=seconds)

    @rule(up=st.booleans(), mood=st.sampled_from(["done", "silent"]))
    def change_the_service(self, up: bool, mood: str) -> None:
        self.world.up, self.world.mood = up, mood

    @rule(days=st.integers(0, 3), same_lineage=st.booleans(), at_rest=st.booleans())
    def put_the_database_back(self, days: int, same_lineage: bool, at_rest: bool) -> None:
        """A restore or, with the same lineage, an older copy of its disk.

        Where the folder is lost, too, it is a restore, and nobody is left who could send.
        """
        if at_rest or self.folder_is_lost:
            self._everybody_dies()
        self.run(put_back(self.admin_dsn, self.world.now.date() - timedelta(days=days)))
        if self.folder_is_lost or not same_lineage:
            self.world.timeline += 1
        self.database_is_short = True

    @precondition(lambda self: not self.folder_is_lost)
    @rule()
    def lose_the_folder(self) -> None:
        """All of it; after a database was put back, with everything restored once more."""
        if self.database_is_short:
            self._everybody_dies()
            self.world.timeline += 1
        shutil.rmtree(self.claims, ignore_errors=True)
        self.folder_is_lost = True

    @rule(days=st.integers(0, 3), wrong_by=st.integers(-2, 2), folder_too=st.booleans())
    def restore(self, days: int, wrong_by: int, folder_too: bool) -> None:
        """By the command, on a host whose clock is wrong: it spends what it takes for today."""
        self.put_the_database_back(days, same_lineage=False, at_rest=True)
        if folder_too and not self.folder_is_lost:
            self.lose_the_folder()
        spent = self.world.now.date() + timedelta(days=wrong_by)
        calls = SteppedCalls(self.pool, self.world, self.walkers[0])
        call = LegacyCall(
            CountingService(self.world, self.walkers[0]), calls, ClaimFolder(self.claims)
        )
        self.run(call.spend(spent, "restored"))
        self.spent.add(spent)

    @rule()
    def let_a_day_go_by(self) -> None:
        """A day on which all goes well, and everything is in both places again."""
        self._everybody_dies()
        self.world.up, self.world.mood = True, "done"
        self.world.now = self.world.now.replace(hour=12) + timedelta(days=1)
        today = self.world.now.date()
        for who in range(SCHEDULERS):
            self.go_to_the_end(who)
        if today in self.spent:
            return  # nobody has asked what day it is, and nothing was mended
        self.database_is_short = self.folder_is_lost = False
        written_off = not self.world.tells and self.world.counted[today] == 0
        assert self.world.counted[today] == 1 or written_off

    @invariant()
    def no_date_has_two_calls(self) -> None:
        world = getattr(self, "world", None)
        assert world is None or max(world.counted.values(), default=0) <= 1, world.counted

    def teardown(self) -> None:
        if hasattr(self, "walkers"):
            self._everybody_dies()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop_thread.run(coroutine)

    def _go_on(self, walker: Walker, days_off: int = 0) -> None:
        if walker.is_walking:
            self.run(walker.step())
        else:
            day = self.world.now.date() + timedelta(days=days_off)
            self.run(walker.start(lambda: self._attempt(walker, day)))

    def _everybody_dies(self) -> None:
        for walker in self.walkers:
            self.run(walker.kill())

    async def _attempt(self, walker: Walker, day: date) -> None:
        calls = SteppedCalls(self.pool, self.world, walker)
        call = LegacyCall(
            CountingService(self.world, walker),
            calls,
            SteppedFolder(self.claims, walker),
            self.world.elapsed,
        )
        capsule = await asyncio.to_thread(sealed, self.folder / "capsules", day)
        try:
            report = await call.make(capsule, day)
        except NotCalled:
            return
        await calls.confirm(report, self.world.now)


@pytest.fixture
def machine(
    loop_thread: EventLoopThread, databases: Databases, backup_database: str, tmp_path: Path
) -> Iterator[type[CallMachine]]:
    connections = loop_thread.run(open_pool(backup_database))
    admin_dsn = databases.postgres.admin_dsn(name_in(backup_database))
    yield type(
        "CallMachineOnSite",
        (CallMachine,),
        {
            "loop_thread": loop_thread,
            "pool": connections,
            "admin_dsn": admin_dsn,
            "folder": tmp_path,
        },
    )
    loop_thread.run(_terminated(connections))


async def _terminated(connections: Pool) -> None:
    connections.terminate()


def test_no_interleaving_makes_two_calls_on_one_date(machine: type[CallMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=40,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )


def two_side_by_side(machine: CallMachine) -> None:
    """Two schedulers, step by step, so that neither sees what the other is about to do."""
    for _ in range(MOST_STEPS):
        for who in range(2):
            if machine.walkers[who].is_walking or not machine.world.counted[DAY]:
                machine.begin_or_go_on(who, 0)


def after_a_loss_of_both(machine: CallMachine) -> None:
    """One has called; then nobody knows of it, neither the database nor the folder."""
    machine.go_to_the_end(0)
    machine.put_the_database_back(0, same_lineage=True, at_rest=False)
    machine.lose_the_folder()
    machine.go_to_the_end(1)


def after_a_restore_on_the_day_before(machine: CallMachine) -> None:
    """One has called; then all is restored elsewhere, by a host that takes it to be yesterday."""
    machine.go_to_the_end(0)
    machine.restore(0, wrong_by=-1, folder_too=True)
    machine.go_to_the_end(1)


@pytest.mark.parametrize("blinded", [True, False])
@pytest.mark.parametrize(
    "schedule", [two_side_by_side, after_a_loss_of_both, after_a_restore_on_the_day_before]
)
def test_the_machine_would_notice(
    machine: type[CallMachine],
    monkeypatch: pytest.MonkeyPatch,
    schedule: Callable[[CallMachine], None],
    blinded: bool,
) -> None:
    """The test's own test: two calls are found where a rule is left out, and only there."""
    rule_of_two = Evidence.verdict

    def verdict(self: Evidence, day: date) -> str:
        said = rule_of_two(self, day)
        return "claim" if said == "nobody_knows" else said

    async def publish(self: PreparedClaim) -> bool:
        await asyncio.to_thread(self._publish)
        return True

    async def claim(self: LegacyCalls, claim: Claim) -> bool:
        return True

    if blinded and schedule is two_side_by_side:
        monkeypatch.setattr(LegacyCalls, "claim", claim)
        monkeypatch.setattr(PreparedClaim, "publish", publish)
    elif blinded:
        monkeypatch.setattr(Evidence, "verdict", verdict)
    played = machine()
    played.begin(tells=True)
    try:
        played.world.now -= timedelta(days=2)
        played.let_a_day_go_by()  # both places are known to have been there before
        played.world.now += timedelta(days=1)
        played.world.tells = False
        schedule(played)
        assert played.world.counted[DAY] == (2 if blinded else 1)
        with pytest.raises(AssertionError) if blinded else nullcontext():
            played.no_date_has_two_calls()
    finally:
        played.teardown()
