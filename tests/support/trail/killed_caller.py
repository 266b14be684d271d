"""A caller of the legacy service that kills itself with SIGKILL at a chosen moment of its call.

python -m tests.support.trail.killed_caller MOMENT URL DSN FOLDER
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
from tests.support.trail.claims_site import open_pool
from tests.support.trail.legacy import DAY, legacy_settings, sealed

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
    async def put(self, capsule: SealedCapsule, day: date, gate: Gate) -> Answer:
        async def then_die() -> None:
            await gate()
            die_if("claimed")
            asyncio.get_running_loop().call_later(2.0, die_if, "waiting")

        answer = await super().put(capsule, day, then_die)
        die_if("answered")
        return answer


async def main(url: str, dsn: str, folder: Path) -> None:
    calls = Calls(await open_pool(dsn))
    claims = folder / "claims"
    call = LegacyCall(Client(legacy_settings(url, claims)), calls, ClaimFolder(claims))
    await call.make(sealed(folder / "capsules"), DAY)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[2], sys.argv[3], Path(sys.argv[4])))
