"""The legacy call of the date on which a restore is made: spent, whoever may have made it.

The claim of today's call may be among what was lost, so nobody can say that none was made. What
is today, only a clock of ours says: about the other dates this claim shows nothing.
"""

from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

from backup.capsule.manifest import SealedCapsule
from backup.legacy.call import LegacyCall
from backup.legacy.calls import LegacyCalls
from backup.legacy.claim_folder import ClaimFolder
from backup.legacy.claims import UNWITNESSED, Claim
from backup.legacy.client import Answer, Gate
from backup.legacy.outcomes import NotCalled
from service_kit.postgres import pool
from service_kit.postgres.connection import connect

REASON = "spent by a restore: a call of this date may be among what was lost"
_WITHIN_S = 10.0
_HAS_CALLS = "SELECT to_regclass('legacy_calls') IS NOT NULL"


async def spend_call(backup_dsn: str, claims: Path, day: date) -> None:
    """Forbid the call of `day` in the restored database and in the folder of claims.

    A database that was restored to a moment before it had any claims leaves it to the folder.
    """
    folder = ClaimFolder(claims)
    if await _has_calls(backup_dsn):
        making = pool.create(
            backup_dsn,
            name="restore",
            size=2,
            lock_timeout_s=_WITHIN_S,
            statement_timeout_s=_WITHIN_S,
        )
        async with pool.opened(making) as connections:
            calls = LegacyCalls(connections, deadline_s=_WITHIN_S)
            await LegacyCall(_NobodyToAsk(), calls, folder).spend(day, REASON)
    else:
        nameless = Claim(
            day=day,
            claim_id=uuid4(),
            capsule_sha256=None,
            claimed_at=datetime.now(UTC),
            lineage=UNWITNESSED,
        )
        await folder.adopt([nameless])


async def _has_calls(backup_dsn: str) -> bool:
    connection = await connect(backup_dsn, _WITHIN_S)
    try:
        return bool(await connection.fetchval(_HAS_CALLS))
    finally:
        await connection.close()


class _NobodyToAsk:
    """The service, for who must not call it."""

    async def now(self) -> datetime:
        raise NotCalled("a restore asks nobody")

    async def calls_on(self, day: date) -> int | None:
        raise NotCalled("a restore asks nobody")

    async def put(self, capsule: SealedCapsule, day: date, gate: Gate) -> Answer:
        raise NotCalled("a restore calls nobody")
