"""Claims in the database: every statement on `legacy_calls`."""

from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from uuid import UUID

import asyncpg

from backup.legacy.claims import Claim
from backup.legacy.outcomes import CallReport, CallState
from service_kit.postgres.pool import Connection, Pool, leaves_doubt, within

MIGRATIONS = Path(__file__).parent.parent / "migrations"
TABLES = ("legacy_calls",)

ALL = "SELECT day, claim_id, capsule_sha256, claimed_at, lineage FROM legacy_calls ORDER BY day"
# A restore to a point in time and a failover begin a new timeline; another cluster is another one.
LINEAGE = """
SELECT (pg_control_system()).system_identifier
       || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
"""
CLAIM = """
INSERT INTO legacy_calls (day, claim_id, state, capsule_sha256, lineage, claimed_at)
VALUES ($1, $2, 'claimed', $3, $4, $5) ON CONFLICT DO NOTHING
"""
HOLDER = "SELECT claim_id FROM legacy_calls WHERE day = $1"
ADOPT = """
INSERT INTO legacy_calls
       (day, claim_id, state, capsule_sha256, lineage, claimed_at, ended_at, detail)
VALUES ($1, $2, 'unknown', $3, $4, $5, $5, $6) ON CONFLICT DO NOTHING
"""
CONFIRM = """
UPDATE legacy_calls SET state = $2, detail = $3, ended_at = $4
WHERE claim_id = $1 AND (state = 'claimed' OR state = 'unknown' AND $2 <> 'unknown')
"""
STATE = "SELECT claim_id, state, detail FROM legacy_calls WHERE day = $1"
STATES = "SELECT day, state, detail FROM legacy_calls WHERE day >= $1"
LAST_DONE = "SELECT max(day) FROM legacy_calls WHERE state = 'done'"


class LegacyCalls:
    """The table `legacy_calls`, behind `pool`; each method has `deadline_s` seconds."""

    def __init__(self, pool: Pool, deadline_s: float = 5.0) -> None:
        self._pool = pool
        self._deadline_s = deadline_s

    async def known(self) -> tuple[dict[date, Claim], str]:
        """Return all claims by date, and the lineage that the database has now."""
        async with within(self._pool, self._deadline_s) as connection:
            lineage = await self.lineage(connection)
            rows = [Claim.model_validate(dict(row)) for row in await connection.fetch(ALL)]
        return {claim.day: claim for claim in rows}, lineage

    async def claim(self, claim: Claim) -> bool:
        """Claim a date's call; True for one caller in the life of the date, and for ever.

        A commit in doubt is looked up once. If that fails, too, the exception says that nothing
        may be called, though the date may be spent.
        """
        try:
            return await self._claim(claim)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if not leaves_doubt(error):
                raise
        return await self._claim(claim)

    async def adopt(self, claims: Iterable[Claim], detail: str) -> None:
        """Write down claims that are known from elsewhere, with an outcome that nobody knows."""
        async with within(self._pool, self._deadline_s) as connection:
            for claim in claims:
                await connection.execute(ADOPT, *_values(claim), detail)

    async def confirm(self, report: CallReport, at: datetime) -> None:
        """Write down how a call ended; what is known for certain stays as it is."""
        async with within(self._pool, self._deadline_s) as connection:
            await connection.execute(CONFIRM, report.claim_id, report.state, report.detail, at)

    async def state_of(self, day: date) -> tuple[UUID, CallState, str] | None:
        """Return claim, state and detail of a date's call, None if it is not claimed here."""
        async with within(self._pool, self._deadline_s) as connection:
            row = await connection.fetchrow(STATE, day)
        return None if row is None else (row["claim_id"], row["state"], row["detail"])

    async def states_since(self, day: date) -> dict[date, tuple[CallState, str]]:
        """Return state and detail of all calls that were claimed for `day` and the days after."""
        async with within(self._pool, self._deadline_s) as connection:
            rows = await connection.fetch(STATES, day)
        return {row["day"]: (row["state"], row["detail"]) for row in rows}

    async def last_done(self) -> date | None:
        """Return the last date whose call is known to be done, None if there is none at all."""
        async with within(self._pool, self._deadline_s) as connection:
            found: date | None = await connection.fetchval(LAST_DONE)
        return found

    async def lineage(self, connection: Connection) -> str:
        """Return which cluster this is, and which of its timelines."""
        found: str = await connection.fetchval(LINEAGE)
        return found

    async def _claim(self, claim: Claim) -> bool:
        async with within(self._pool, self._deadline_s) as connection:
            await connection.execute(CLAIM, *_values(claim))
            return bool(await connection.fetchval(HOLDER, claim.day) == claim.claim_id)


def _values(claim: Claim) -> tuple[date, UUID, str | None, str, datetime]:
    return claim.day, claim.claim_id, claim.capsule_sha256, claim.lineage, claim.claimed_at
