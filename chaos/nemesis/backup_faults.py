"""Backup faults: the backups of one date after another, each of which meets something bad.

A date has one legacy call, so each fault gets a date of its own: the legacy service's stand-in is
told that it is tomorrow, and the backup of that date is asked for. Nothing inside the product knows
of it: when to strike is seen from outside, by the files that each step makes.
"""

import asyncio
import contextlib
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import cast

from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDReusePolicy
from temporalio.service import RPCError

from backup.daily.contracts import (
    DAILY_BACKUP,
    TASK_QUEUE,
    BackupPlan,
    BackupReport,
    workflow_id,
)
from backup.errors import CopyDamaged
from backup.stores.folder import FolderStore
from backup.stores.settings import COPIES
from backup.trail_folder import TrailFolder
from chaos.nemesis.full_disk import full
from chaos.nemesis.kill_on_sight import kill_on_sight
from chaos.nemesis.legacy_stand_in import LegacyStandIn
from chaos.nemesis.patched_process import turned
from chaos.nemesis.processes import restart
from chaos.nemesis.system import System
from chaos.nemesis.trail_files import flip_a_bit, is_empty, lose_bases, replaced_by_a_file, sight_of
from chaos.scenarios.backup import KillMoment
from deploy.local.services import BACKUP
from legacy_service.contracts import Misdeed
from service_kit.temporal import DATA_CONVERTER

FAR = "far"
STORES = (COPIES, FAR)
RACERS = 3
TRIES = 3
ENDED_WITHIN_S = 180.0
REFUSED_WITHIN_S = 60.0
POLL_INTERVAL_S = 0.1
# Less than any capsule has.
FULL_CAPSULE_BYTES = 256 * 1024
A_DAY_BACK, NOW = "-86400", "0"

Backup = WorkflowHandle[object, BackupReport]


@dataclass(frozen=True, slots=True)
class AskedBackup:
    """A backup that was asked for, and what it met."""

    day: date
    meets: str
    workflow_id: str


@dataclass(frozen=True, slots=True)
class FlippedCopy:
    """A copy with a bit turned over; `found` if whoever fetched it was told, and got nothing."""

    name: str
    found: bool


class BackupFaults:
    """Asks for backups, of dates from tomorrow on, and remembers them.

    `far` is the folder of the store that is not in the folder of the trail. `broken` says what a
    fault did that it may not.
    """

    def __init__(self, temporal: str, trail: TrailFolder, far: Path, token: str) -> None:
        self.trail = trail
        self.far = far
        self.legacy = LegacyStandIn(trail.legacy_service, token)
        self.asked: list[AskedBackup] = []
        self.flipped: list[FlippedCopy] = []
        self.broken: list[str] = []
        self._temporal = temporal
        self._day = datetime.now(UTC).date()

    async def back_up(self, meets: str, system: System) -> bool:
        """Have the backup of the next date meet something; return whether it did."""
        kind, _, what = meets.partition(" ")
        match kind:
            case "killed":
                return await self._killed(cast("KillMoment", what), system)
            case "legacy":
                return await self._misled(cast("Misdeed", what), system)
            case "disk":
                return await self._full(system)
            case "store":
                return await self._store_away(system)
            case "copy":
                return await self._flipped(system)
            case "clock":
                return await self._clock_back(system)
            case "raced":
                return await self._raced(system)
            case _:
                return await self._ask(await self._next_date(system), meets)

    async def _killed(self, moment: KillMoment, system: System) -> bool:
        """Kill the process in the middle of a step, some of which are over in a moment."""
        for _ in range(TRIES):
            day = await self._next_date(system)
            if moment == "base":  # one is taken on a day of the database's, unless it is lost
                lose_bases(self.trail)
            if moment == "calling":
                await self.legacy.misbehave("silence", system)
            backup = await self._begin(day, f"killed {moment}")
            ending, sight = _ending(backup), sight_of(moment, day, self.trail, self.legacy)
            killed = await kill_on_sight(system, BACKUP, sight, ending)
            await _ended(ending)
            if killed:
                return True
        return False

    async def _misled(self, misdeed: Misdeed, system: System) -> bool:
        day = await self._next_date(system)
        await self.legacy.misbehave(misdeed, system)
        await self._ask(day, f"legacy {misdeed}")
        return await self.legacy.has_misbehaved(system)

    async def _full(self, system: System) -> bool:
        """Fill the disk until sealing was refused; that may neither spend nor cost anything."""
        day = await self._next_date(system)
        before = set(self.trail.capsules.glob("*.capsule"))
        async with full(lambda: system.pids([BACKUP]), FULL_CAPSULE_BYTES):
            ending = _ending(backup := await self._begin(day, "disk full"))
            refused = await _tried_again(backup, "seal_capsule", ending)
            if self.legacy.calls().get(day, 0):
                self.broken.append(f"{day}: a call was made while the disk was full")
            if gone := before - set(self.trail.capsules.glob("*.capsule")):
                self.broken.append(f"{day}: the full disk cost {len(gone)} capsules")
        await _ended(ending)
        return refused

    async def _store_away(self, system: System) -> bool:
        """Have a file where the store's folder was, until a copy was refused."""
        day = await self._next_date(system)
        with replaced_by_a_file(self.far):
            ending = _ending(backup := await self._begin(day, "store away"))
            refused = await _tried_again(backup, "copy_capsule", ending)
        await _ended(ending)
        return refused

    async def _flipped(self, system: System) -> bool:
        """Turn a bit over in a copy, and fetch that copy as a restore does."""
        await self._ask(await self._next_date(system), "copy flipped")
        store = FolderStore(FAR, self.far)
        copies = await store.list_copies()
        if not copies:
            return False
        newest = max(copies, key=lambda copy: copy.covers_to)
        flip_a_bit(self.far / newest.name)
        with tempfile.TemporaryDirectory(prefix="valerix-fetched-") as folder:
            try:
                await store.get(newest, Path(folder))
                found = False
            except CopyDamaged:
                found = is_empty(Path(folder))
        self.flipped.append(FlippedCopy(newest.name, found))
        return True

    async def _clock_back(self, system: System) -> bool:
        """Put the clock of the backup process back across midnight."""
        day = await self._next_date(system)
        try:
            await restart(system, BACKUP, **turned(A_DAY_BACK))
            return await self._ask(day, "clock back")
        finally:
            await restart(system, BACKUP, **turned(NOW))

    async def _raced(self, system: System) -> bool:
        day = await self._next_date(system)
        backups = [await self._begin(day, "raced", f"-{n}" * (n > 0)) for n in range(RACERS)]
        await asyncio.gather(*(_ended(_ending(backup)) for backup in backups))
        return True

    async def _ask(self, day: date, meets: str) -> bool:
        await _ended(_ending(await self._begin(day, meets)))
        return True

    async def _next_date(self, system: System) -> date:
        self._day += timedelta(days=1)
        await self.legacy.go_to(self._day, system)
        return self._day

    async def _begin(self, day: date, meets: str, suffix: str = "") -> Backup:
        """Begin the backup of a date, as the Schedule does; a person may begin further ones."""
        client = await Client.connect(self._temporal, data_converter=DATA_CONVERTER)
        name = f"{workflow_id(day)}{suffix}"
        self.asked.append(AskedBackup(day, meets, name))
        backup: Backup = await client.start_workflow(
            DAILY_BACKUP,
            BackupPlan(day=day, stores=STORES),
            id=name,
            task_queue=TASK_QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            result_type=BackupReport,
        )
        return backup


def _ending(backup: Backup) -> "asyncio.Future[object]":
    return asyncio.ensure_future(backup.result())


async def _ended(ending: "asyncio.Future[object]") -> None:
    """Return when a backup has ended, however; how, its checker asks Temporal itself."""
    await asyncio.wait({ending}, timeout=ENDED_WITHIN_S)
    ending.cancel()
    await asyncio.gather(ending, return_exceptions=True)


async def _tried_again(backup: Backup, step: str, ending: "asyncio.Future[object]") -> bool:
    """Return True once a step was refused, False if the backup ends before that."""
    deadline = time.monotonic() + REFUSED_WITHIN_S
    while not ending.done() and time.monotonic() < deadline:
        with contextlib.suppress(RPCError):
            pending = (await backup.describe()).raw_description.pending_activities
            if any(each.activity_type.name == step and each.attempt > 1 for each in pending):
                return True
        await asyncio.sleep(POLL_INTERVAL_S)
    return False
