"""A caller of the legacy service that kills itself with SIGKILL at a chosen moment of its call.

python -m tests.support.trail.killed_caller MOMENT URL DSN FOLDER FOLDER_OF_THE_SERVICE
"""

import asyncio
import os
import signal
import sys
from datetime import date
from pathlib import Path

from backup.capsule.manifest import SealedCapsule
from backup.legacy.call import LegacyCall
from backup.legacy.calls import LegacyCalls
from backup.legacy.claim_folder import ClaimFolder
from backup.legacy.claims import Claim
from backup.legacy.client import Answer, Gate, LegacyClient
from backup.legacy.settings import LegacySettings
from tests.support.trail.claims_site import open_pool
from tests.support.trail.legacy import DAY, calls_in, legacy_settings, sealed

MOMENTS = ("connected", "between the places", "claimed", "waiting", "answered")


def die_if(moment: str) -> None:
    if sys.argv[1] == moment:
        os.kill(os.getpid(), signal.SIGKILL)


class Calls(LegacyCalls):
    async def claim(self, claim: Claim) -> bool:
        die_if("connected")
        passed = await super().claim(claim)
        die_if("between the places")
        return passed


class Client(LegacyClient):
    def __init__(self, settings: LegacySettings, service: Path) -> None:
        super().__init__(settings)
        self._service = service

    async def put(self, capsule: SealedCapsule, day: date, gate: Gate) -> Answer:
        async def then_die() -> None:
            await gate()
            die_if("claimed")

        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(self._die_once_counted())
            answer = await super().put(capsule, day, then_die)
            waiting.cancel()
        die_if("answered")
        return answer

    async def _die_once_counted(self) -> None:
        while not calls_in(self._service):  # noqa: ASYNC110  the service tells nobody
            await asyncio.sleep(0.02)
        die_if("waiting")


async def main(url: str, dsn: str, folder: Path, service: Path) -> None:
    calls = Calls(await open_pool(dsn), deadline_s=60.0)
    claims = folder / "claims"
    client = Client(legacy_settings(url, claims), service)
    call = LegacyCall(client, calls, ClaimFolder(claims))
    await call.make(sealed(folder / "capsules"), DAY)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[2], sys.argv[3], Path(sys.argv[4]), Path(sys.argv[5])))
