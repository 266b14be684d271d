"""A date's call in steps: each part waits for a test's word before anything others could notice."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

from backup.capsule.manifest import SealedCapsule
from backup.legacy.calls import LegacyCalls
from backup.legacy.claim_folder import ClaimFolder, PreparedClaim
from backup.legacy.claims import Claim
from backup.legacy.client import Answer, Gate
from backup.legacy.outcomes import CallReport, NotCalled
from service_kit.postgres.pool import Connection, Pool
from tests.support.trail.legacy import NOON
from tests.support.trail.steps import Walker

HEAD_WITHIN = timedelta(seconds=10)  # then a server closes a connection that says nothing


@dataclass
class World:
    """The time, which only moves when a test says so, and what the service counts by it."""

    now: datetime = NOON
    up: bool = True
    tells: bool = True
    mood: str = "done"
    timeline: int = 1
    counted: Counter[date] = field(default_factory=Counter)

    def elapsed(self) -> float:
        return (self.now - NOON).total_seconds()


class CountingService:
    """The service as one scheduler reaches it."""

    def __init__(self, world: World, walker: Walker) -> None:
        self._world = world
        self._walker = walker

    async def now(self) -> datetime:
        await self._reach()
        return self._world.now

    async def calls_on(self, day: date) -> int | None:
        await self._reach()
        return self._world.counted[day] if self._world.tells else None

    async def put(self, capsule: SealedCapsule, day: date, gate: Gate) -> Answer:
        await self._reach()
        connected_at = self._world.now
        await gate()
        await self._walker.pause()
        if not self._world.up or self._world.now - connected_at > HEAD_WITHIN:
            return Answer("unknown", "the connection had been closed")
        today = self._world.now.date()
        self._world.counted[today] += 1
        mood = self._world.mood if self._world.counted[today] == 1 else "refused"
        await self._walker.pause()
        return Answer("done" if mood == "done" else "unknown", mood)

    async def _reach(self) -> None:
        await self._walker.pause()
        if not self._world.up:
            raise NotCalled("away")


class SteppedCalls(LegacyCalls):
    """The real claims in the database, one step at a time."""

    def __init__(self, pool: Pool, world: World, walker: Walker) -> None:
        super().__init__(pool, deadline_s=60.0)
        self._world = world
        self._walker = walker

    async def lineage(self, connection: Connection) -> str:
        return f"1/{self._world.timeline:08X}"

    async def known(self) -> tuple[dict[date, Claim], str]:
        await self._walker.pause()
        return await super().known()

    async def claim(self, claim: Claim) -> bool:
        await self._walker.pause()
        return await super().claim(claim)

    async def confirm(self, report: CallReport, at: datetime) -> None:
        await self._walker.pause()
        await super().confirm(report, at)


class SteppedFolder(ClaimFolder):
    """The real claims in the folder, one step at a time."""

    def __init__(self, folder: Path, walker: Walker) -> None:
        super().__init__(folder)
        self._walker = walker

    async def known(self) -> dict[date, Claim | None]:
        await self._walker.pause()
        return await super().known()

    @asynccontextmanager
    async def prepared(self, claim: Claim) -> AsyncIterator[PreparedClaim]:
        async with super().prepared(claim) as real:
            yield SteppedClaim(real, self._walker)


class SteppedClaim(PreparedClaim):
    """A prepared claim that waits before it gets its name."""

    def __init__(self, real: PreparedClaim, walker: Walker) -> None:
        self._real = real
        self._walker = walker

    async def publish(self) -> bool:
        await self._walker.pause()
        return await self._real.publish()
