"""A stack that is backed up, with many orders in it, and what its backups come to."""

import asyncio
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from backup.capsule.manifest import SealedCapsule
from backup.durable import write_whole
from backup.restore_points.base import FACTS, BaseBackup, BaseFolder
from backup.restore_points.programs import PostgresPrograms
from backup.steps import sealed_capsules
from backup.trail_folder import TrailFolder
from bench.harness.bulk_orders import fill
from bench.harness.stack import Harness, Plan
from deploy.local.postgres.archiving import system_identifier
from deploy.local.services import SUBSCRIBERS
from deploy.local.settings import PROJECT, Ports, StackSettings
from deploy.local.stack import POSTGRES, Stack

_FIRST_BASE_WITHIN_S = 900.0
_POLL_INTERVAL_S = 0.25
_LAST_LINES = 8
_DATABASES_SIZE = "SELECT sum(pg_database_size(oid))::bigint FROM pg_database"


def since_first_base(orders: int) -> int:
    """Return how many of the orders are in the log: a week's, of a shop that is ten weeks old."""
    return orders - orders * 9 // 10


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a cluster, and how large it is."""

    cluster_bytes: int
    bases: list[BaseBackup]
    log_files: int
    log_bytes: int
    capsule: SealedCapsule


class BackedUp(Harness):
    """A running stack with backups."""

    def __init__(self, stack: Stack, plan: Plan) -> None:
        super().__init__(stack, plan)
        assert stack.settings.backup_home is not None
        self.trail = TrailFolder(stack.settings.backup_home)
        cluster = system_identifier(stack.postgres.data)
        programs = PostgresPrograms(stack.postgres.binaries.folder)
        self._bases = BaseFolder(self.trail.bases(cluster), programs)
        self._wal = self.trail.wal(cluster)

    async def has_base(self) -> None:
        """Return when there is a base backup: the stack takes one as soon as it starts."""
        self._plan.say("waiting for the first base backup")
        async with asyncio.timeout(_FIRST_BASE_WITHIN_S):
            while not self._bases.all():  # noqa: ASYNC110  a file appears, and nobody tells
                await asyncio.sleep(_POLL_INTERVAL_S)

    async def back_up(self) -> float:
        """Do all of a day's backup by `valerix backup now`; return the seconds that it took."""
        self._make_bases_older()
        began, settings = time.perf_counter(), self.stack.settings
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "deploy.cli", "backup", "now"),
            cwd=PROJECT,
            env={
                **os.environ,
                "VALERIX_HOME": str(settings.home),
                "VALERIX_BACKUP_HOME": str(settings.backup_home),
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said: deque[str] = deque(maxlen=_LAST_LINES)
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                said.append(line.decode().strip())
                self._plan.say(f"backup now: {said[-1]}")
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if code != 0:
            raise RuntimeError(f"`valerix backup now` ended with code {code}: {'; '.join(said)}")
        return time.perf_counter() - began

    async def kept(self) -> Kept:
        """Return what backups have come to so far."""
        async with self.database("postgres") as connection:
            cluster_bytes = await connection.fetchval(_DATABASES_SIZE)
        log = [file.stat().st_size for file in self._wal.iterdir() if file.is_file()]
        capsules, _ = sealed_capsules(self.trail.capsules)
        return Kept(cluster_bytes, self._bases.all(), len(log), sum(log), capsules[-1])

    def _make_bases_older(self) -> None:
        """Date all base backups a day back: a date's second backup would do without one."""
        for base in self._bases.all():
            older = base.model_copy(update={"started_at": base.started_at - timedelta(days=1)})
            facts = self._bases.folder / base.name / FACTS
            write_whole(facts, older.model_dump_json(indent=1).encode())


@asynccontextmanager
async def backed_up(
    plan: Plan, home: Path, orders: int, only: frozenset[str] | None = None
) -> AsyncIterator[BackedUp]:
    """Run a stack in `home` with so many orders, most of them older than its first base backup."""
    before = orders - since_first_base(orders)
    if before:
        plan.say("starting a database without backups")
        filled = frozenset({POSTGRES, SUBSCRIBERS})
        async with Stack(StackSettings(home=home, ports=Ports.free(), only=filled)) as stack:
            await fill(Harness(stack, plan), plan, 1, before)
    plan.say("starting a stack with backups")
    settings = StackSettings(
        home=home, backup_home=home.with_name("backups"), ports=Ports.free(), only=only
    )
    async with Stack(settings) as stack:
        harness = BackedUp(stack, plan)
        await harness.has_base()
        if orders > before:
            await fill(harness, plan, before + 1, orders)
        yield harness
