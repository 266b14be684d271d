"""The one call of a date: at most once, whatever happens (docs/decisions/0019)."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from uuid import uuid4

from backup.capsule.manifest import SealedCapsule
from backup.legacy.calls import LegacyCalls
from backup.legacy.claim_folder import ClaimFolder, PreparedClaim
from backup.legacy.claims import UNWITNESSED, Claim, Evidence, last_lineage
from backup.legacy.client import LegacyApi
from backup.legacy.elapsed import since_boot
from backup.legacy.outcomes import CallReport, DateSpent, NotCalled, TooLate
from service_kit.postgres.pool import POSTGRES_ERRORS  # OSError is one of them

# Before midnight, by the service's clock: a call begun earlier has been counted by then.
LAST_HOUR = timedelta(hours=1)
CLAIMED_WITHIN_S = 60.0  # of asking what time it is; far less than the hour
FROM_THE_FOLDER = "claimed before the database was put back; outcome not known"
NOBODY_KNOWS = "nobody can say that no call was made: both places of claims have lost something"


def call_until(day: date) -> datetime:
    """Return the moment from which on the call of `day` is not begun any more."""
    return datetime.combine(day + timedelta(days=1), time(), UTC) - LAST_HOUR


class LegacyCall:
    """Makes a date's call unless it has been claimed; who may call is decided anew by each attempt.

    The order is what counts: connect; claim in the database; claim in the folder; first byte. What
    fails before the claim spends nothing and may be tried again, all day long. What fails after
    it is never tried again, for nobody can tell whether the service has counted it.

    What day it is, the service says. Nothing here reads a clock of ours; `elapsed` cannot be set.
    """

    def __init__(
        self,
        service: LegacyApi,
        calls: LegacyCalls,
        folder: ClaimFolder,
        elapsed: Callable[[], float] = since_boot,
    ) -> None:
        self._service = service
        self._calls = calls
        self._folder = folder
        self._elapsed = elapsed

    async def make(self, capsule: SealedCapsule, day: date) -> CallReport:
        """Return how the call of `day` ended, by this attempt or an earlier one.

        Raises NotCalled if nothing was sent and a later attempt may have more luck, TooLate if
        nobody has claimed the date and nobody may any more.
        """
        try:
            return await self._make(capsule, day)
        except POSTGRES_ERRORS as error:
            raise _not_written(error) from error

    async def spend(self, day: date, reason: str) -> None:
        """Forbid the call of `day` in both places, as whoever restores a database has to.

        Nothing else is written, least of all what one place knows into the other: `day` is by a
        clock of ours, and the claim that was lost may be of another date.
        """
        await self._write_off({}, _nameless(day, UNWITNESSED), reason)

    async def _make(self, capsule: SealedCapsule, day: date) -> CallReport:
        evidence, lineage = await self._look_for_claims()
        if evidence.verdict(day) == "spent":
            return await self._found(day)
        asked_at = self._elapsed()
        now = await self._service.now()
        if now >= call_until(day):
            raise TooLate(
                f"it is {now.isoformat()} at the service: not the time for {day} any more"
            )
        if now.date() != day:
            raise NotCalled(f"it is {now.isoformat()} at the service: not the time for {day} yet")
        # From here on `day` is today. About no other date may a place that has lost something be
        # mended from the other one: it would look whole, and be believed when asked about today.
        if evidence.verdict(day) == "claim":
            await self._folder.adopt(evidence.missing_files())
        elif await self._service.calls_on(day) != 0:
            await self._write_off(evidence.rows, _nameless(day, lineage), NOBODY_KNOWS)
            return await self._found(day)
        claim = Claim(
            day=day,
            claim_id=uuid4(),
            capsule_sha256=capsule.sha256,
            claimed_at=now,
            lineage=lineage,
        )
        return await self._call(capsule, claim, asked_at)

    async def _look_for_claims(self) -> tuple[Evidence, str]:
        """Return what both places say, and the lineage; rows that were lost are written again."""
        rows, lineage = await self._calls.known()
        files = await self._folder.known()
        evidence = Evidence(rows, files, last_lineage(rows) == lineage)
        lost = [files[day] or _nameless(day, UNWITNESSED) for day in files.keys() - rows.keys()]
        await self._calls.adopt(lost, FROM_THE_FOLDER)
        return evidence, lineage

    async def _call(self, capsule: SealedCapsule, claim: Claim, asked_at: float) -> CallReport:
        async with self._folder.prepared(claim) as prepared:

            async def gate() -> None:
                if self._elapsed() - asked_at > CLAIMED_WITHIN_S:
                    raise NotCalled("it took too long to get here: the day may be over")
                await self._claim(claim, prepared)

            try:
                answer = await self._service.put(capsule, claim.day, gate)
            except DateSpent:
                return await self._found(claim.day)
        return CallReport(
            day=claim.day,
            claim_id=claim.claim_id,
            state=answer.state,
            by_us=True,
            detail=answer.detail,
        )

    async def _claim(self, claim: Claim, prepared: PreparedClaim) -> None:
        """Let one caller through in the life of a date."""
        try:
            # False from the folder: the database has been put back since it was asked
            passed = await self._calls.claim(claim) and await prepared.publish()
        except POSTGRES_ERRORS as error:
            raise _not_written(error) from error
        if not passed:
            raise DateSpent

    async def _write_off(self, rows: Mapping[date, Claim], claim: Claim, reason: str) -> None:
        await self._calls.adopt([claim], reason)
        await self._folder.adopt([*rows.values(), claim])

    async def _found(self, day: date) -> CallReport:
        """Return what is known of a call that somebody else has claimed."""
        found = await self._calls.state_of(day)
        if found is None:
            raise NotCalled("the claim of the date has just vanished from the database")
        claim_id, state, detail = found
        if state == "claimed":  # its caller may have died; if not, it will say so itself
            state, detail = "unknown", "claimed by a caller of whom nothing was heard"
        return CallReport(day=day, claim_id=claim_id, state=state, by_us=False, detail=detail)


def _nameless(day: date, lineage: str) -> Claim:
    """Return a claim for a call of which nothing is known but that it may have been made."""
    return Claim(
        day=day,
        claim_id=uuid4(),
        capsule_sha256=None,
        claimed_at=datetime.now(UTC),  # for people
        lineage=lineage,
    )


def _not_written(error: Exception) -> NotCalled:
    return NotCalled(f"a claim cannot be written ({type(error).__name__})")
