"""The stand-in of the legacy service, in the hands of a run: its clock, misdeeds and count."""

from datetime import UTC, date, datetime, time
from pathlib import Path

import aiohttp

from chaos.nemesis.patched_process import turned
from chaos.nemesis.processes import restart
from chaos.nemesis.system import System
from deploy.local.services import LEGACY
from legacy_service.contracts import Misbehaviour, Misdeed

MISBEHAVIOUR = "/v1/admin/misbehaviour"
ANSWERED_WITHIN_S = 10.0
# Of a date, enough is left to make its call at any time of a run.
MORNING = time(6, tzinfo=UTC)


class LegacyStandIn:
    """The stand-in that keeps its things in `folder` and obeys whoever has the staff's `token`."""

    def __init__(self, folder: Path, token: str) -> None:
        self._folder = folder
        self.headers = {"Authorization": f"Bearer {token}"}

    async def go_to(self, day: date, system: System) -> None:
        """Have it be the morning of `day` there, and nowhere else."""
        ahead = datetime.combine(day, MORNING) - datetime.now(UTC)
        await restart(system, LEGACY, **turned(f"{ahead.total_seconds():.0f}"))

    async def misbehave(self, misdeed: Misdeed, system: System) -> None:
        """Have it do something wrong at the next call that it accepts."""
        told = Misbehaviour(misdeed=misdeed).model_dump()
        async with self._session() as session:
            await session.put(f"{system.url(LEGACY)}{MISBEHAVIOUR}", json=told)

    async def has_misbehaved(self, system: System) -> bool:
        """Tell whether it has done everything wrong that it was told to."""
        async with (
            self._session() as session,
            session.get(f"{system.url(LEGACY)}{MISBEHAVIOUR}") as answer,
        ):
            return await answer.json() is None

    def calls(self) -> dict[date, int]:
        """Return how many calls it has counted of each date, from its own files."""
        files = (self._folder / "calls").glob("????-??-??")
        return {date.fromisoformat(f.name): len(f.read_bytes().splitlines()) for f in files}

    def keeps(self, day: date) -> bool:
        """Tell whether it has anything of that date."""
        return (self._folder / "capsules" / f"{day.isoformat()}.json").exists()

    def _session(self) -> aiohttp.ClientSession:
        limit = aiohttp.ClientTimeout(total=ANSWERED_WITHIN_S)
        return aiohttp.ClientSession(headers=self.headers, timeout=limit, raise_for_status=True)
