"""How the trail stands: what is archived, sealed, proven and copied, and today's legacy call."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import cast

from backup import metrics
from backup.capsule.manifest import SealedCapsule
from backup.contracts import (
    DAYS,
    ArchiveState,
    CallToday,
    CapsuleState,
    ComparisonState,
    DayState,
    DrillState,
    ProvenCapsule,
    Trail,
)
from backup.legacy.calls import LegacyCalls
from backup.legacy.claim_folder import ClaimFolder
from backup.legacy.outcomes import CallState
from backup.nightly.kept import KeptComparison
from backup.restore.proofs import Proof, all_proofs, newest_proven, read_drill, read_good_drill
from backup.restore_points.cluster import archive_lag, last_archived, what_is_wrong
from backup.restore_points.open_log import OpenLog
from backup.steps import KeptStore, sealed_capsules
from backup.trail_folder import TrailFolder
from service_kit.observability.health import CheckResult
from service_kit.postgres.connection import RawConnection
from service_kit.postgres.pool import POSTGRES_ERRORS, Pool, within

LATE_ARCHIVE_S = 120.0
OLD_PROOF = timedelta(hours=26)
LOOK_EVERY_S = 10.0
ASK_STORES_EVERY_S = 300.0
READ_WITHIN_S = 30.0
_LOOK_WITHIN_S = 5.0

Calls = Mapping[date, tuple[CallState, str]]


class TrailStatus:
    """Looks at everything that a backup leaves behind; `last` is what it saw last."""

    def __init__(
        self,
        pool: Pool,
        calls: LegacyCalls,
        claims: ClaimFolder,
        trail: TrailFolder,
        stores: Sequence[KeptStore],
    ) -> None:
        self._pool = pool
        self._calls = calls
        self._claims = claims
        self._trail = trail
        self._stores = stores
        self._open_log = OpenLog()
        # One thread of its own: where the disk of the trail hangs, no more than that one waits.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="trail-status")
        self.last: Trail | None = None

    async def watch(self) -> None:
        """Keep the metrics up to date, for as long as the process serves."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def watch_stores(self) -> None:
        """Ask the stores for their copies: beside `watch`, which must not wait for one."""
        while True:
            await asyncio.gather(*(store.look() for store in self._stores))
            await asyncio.sleep(ASK_STORES_EVERY_S)

    async def look(self) -> Trail:
        """Return how everything stands now; what stores have is as they said last.

        TimeoutError if the disk of the trail hangs; metrics tell of the archive all the same.
        """
        now = datetime.now(UTC)
        archive = await self._archive()
        show_lag(archive)  # whatever becomes of the rest
        async with asyncio.timeout(READ_WITHIN_S):
            calls = await self._known_calls(now.date())
            trail = await asyncio.get_running_loop().run_in_executor(
                self._reader, trail_of, self._trail, now, archive, calls, self._stores
            )
        self.last = trail
        show(trail)
        return trail

    async def archive_is_near(self) -> CheckResult:
        """Probe: does the archive follow the log?"""
        if self.last is None:
            return CheckResult("warn", "not looked at yet")
        archive = self.last.archive
        if archive.lag_seconds is None or archive.problems:
            return CheckResult("warn", "; ".join(archive.problems))
        late = archive.lag_seconds > LATE_ARCHIVE_S
        said = "the archive is behind" if late else ""
        return CheckResult("warn" if late else "pass", said, round(archive.lag_seconds), "s")

    async def proof_is_new(self) -> CheckResult:
        """Probe: is there a proven capsule of the last day?"""
        proven = None if self.last is None else self.last.newest_proven
        if proven is None:
            # On the first day there is none, and nothing is wrong with that.
            return CheckResult(value="none yet", unit="capsule")
        age = datetime.now(UTC) - proven.covers_to
        said = "the newest proven capsule is old" if age > OLD_PROOF else ""
        hours = round(age.total_seconds() / 3600, 1)
        return CheckResult("warn" if said else "pass", said, hours, "h")

    async def _archive(self) -> ArchiveState:
        lag: timedelta | None = None
        try:
            async with within(self._pool, _LOOK_WITHIN_S) as lent:
                connection = cast("RawConnection", lent)  # does all that one does
                problems = await what_is_wrong(connection)
                lag = await archive_lag(connection)
                lag = max(lag, await self._open_log.look(connection))
                problems += await self._close_late_file(connection)
                archived_at, fails = await last_archived(connection)
        except POSTGRES_ERRORS as error:
            said = f"the database does not say how its archive stands ({type(error).__name__})"
            seconds = None if lag is None else lag.total_seconds()
            return ArchiveState(lag_seconds=seconds, last_archived_at=None, problems=[said])
        if fails:
            problems.append("the last file of the log could not be archived: see Postgres's log")
        return ArchiveState(
            lag_seconds=lag.total_seconds(), last_archived_at=archived_at, problems=problems
        )

    async def _close_late_file(self, connection: RawConnection) -> list[str]:
        """Return what has gone wrong with it."""
        try:
            await self._open_log.close_late(connection)
        except POSTGRES_ERRORS as error:
            return [f"the open file of the log cannot be closed ({type(error).__name__})"]
        return []

    async def _known_calls(self, today: date) -> Calls:
        try:
            metrics.show_last_call(await self._calls.last_done())
            return await self._calls.states_since(today - timedelta(days=DAYS))
        except POSTGRES_ERRORS:
            return await claimed_calls(self._claims)


async def claimed_calls(claims: ClaimFolder) -> Calls:
    """Return the calls that the second place knows of, without how they ended."""
    said = "by the folder of claims: the database does not answer"
    return dict.fromkeys(await claims.known(), ("claimed", said))


def trail_of(
    trail: TrailFolder,
    now: datetime,
    archive: ArchiveState,
    calls: Calls,
    stores: Sequence[KeptStore],
) -> Trail:
    """Return everything that files, calls and stores tell."""
    sealed, problems = sealed_capsules(trail.capsules)
    proven = newest_proven(trail.capsules)
    drill = read_drill(trail.capsules)
    good_drill = read_good_drill(trail.capsules)
    compared = KeptComparison(trail.last_comparison).read()
    state, detail = calls.get(now.date(), ("not_yet", ""))
    days, older = days_of(now.date(), sealed, all_proofs(trail.capsules), calls, stores)
    return Trail(
        as_of=now,
        archive=archive.model_copy(update={"problems": [*archive.problems, *problems]}),
        newest_proven=proven
        and ProvenCapsule(day=proven.day, covers_to=proven.covers_to, proven_at=proven.proven_at),
        call_today=CallToday(day=now.date(), state=state, detail=detail),
        days=days,
        older=older,
        last_drill=drill
        and DrillState(at=drill.at, ok=drill.ok, seconds=drill.seconds, detail=drill.detail),
        stores=[store.name for store in stores],
        stores_away=[store.name for store in stores if store.problem],
        last_comparison=compared.last
        and ComparisonState.model_validate(compared.last.model_dump()),
        comparison_problem=compared.problem,
        last_good_drill_at=None if good_drill is None else good_drill.at,
    )


def days_of(
    today: date,
    sealed: Sequence[SealedCapsule],
    proofs: Iterable[Proof],
    calls: Calls,
    stores: Sequence[KeptStore],
) -> tuple[list[DayState], list[DayState]]:
    """Return what is kept of each of the last days, here or in any store, and of those before.

    Newest first. Of those before only the ones are told of which there is a capsule.
    """
    proven = {proof.capsule_sha256: proof.proven_at for proof in proofs if proof.holds}
    known = {capsule.sha256: capsule.model_dump(exclude={"path"}) for capsule in sealed}
    copies: dict[str, list[str]] = {}
    for store in stores:
        for copy in store.copies:
            known.setdefault(copy.sha256, copy.model_dump(exclude={"store"}))
            copies.setdefault(copy.sha256, []).append(store.name)
    by_day: dict[date, list[CapsuleState]] = {}
    for sha256, label in sorted(known.items(), key=lambda item: item[1]["covers_to"]):
        by_day.setdefault(label["day"], []).append(
            CapsuleState(**label, proven_at=proven.get(sha256), copies=copies.get(sha256, []))
        )
    last_days = [today - timedelta(days=number) for number in range(DAYS)]
    before = sorted((day for day in by_day if day < last_days[-1]), reverse=True)

    def state_of(day: date) -> DayState:
        call = calls[day][0] if day in calls else "none"
        return DayState(day=day, capsules=by_day.get(day, []), call=call)

    return [state_of(day) for day in last_days], [state_of(day) for day in before]


def show_lag(archive: ArchiveState) -> None:
    """Have the metrics say how far the archive is behind."""
    lag = archive.lag_seconds
    metrics.ARCHIVE_LAG.set(float("nan") if lag is None else lag)


def show(trail: Trail) -> None:
    """Have the metrics say what was seen."""
    show_lag(trail.archive)
    metrics.ARCHIVE_PROBLEMS.set(len(trail.archive.problems))
    proven = trail.newest_proven
    metrics.NEWEST_PROVEN.set(0 if proven is None else proven.covers_to.timestamp())
    newest = next((day.capsules[-1] for day in trail.days if day.capsules), None)
    if newest is not None:
        metrics.CAPSULE_BYTES.set(newest.size_bytes)
    metrics.show_call(trail.call_today.state)
    if trail.last_good_drill_at is not None:
        metrics.LAST_SUCCESS.labels(metrics.DRILL).set(trail.last_good_drill_at.timestamp())
    found = trail.last_comparison
    if found is not None:
        metrics.VIOLATIONS.set(found.violations)
        metrics.FOR_PEOPLE.set(found.for_people)
        metrics.LAST_SUCCESS.labels(metrics.RECONCILE).set(found.at.timestamp())
