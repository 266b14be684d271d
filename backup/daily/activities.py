"""Activities of the daily backup: thin calls of its parts; Temporal does all the retrying."""

from collections.abc import Mapping
from datetime import UTC, datetime

from temporalio import activity
from temporalio.exceptions import ApplicationError

from backup.capsule.manifest import SealedCapsule
from backup.daily.contracts import (
    NOT_CALLED,
    NOT_PROVEN,
    TOO_LATE,
    CallOutcome,
    CapsuleTask,
    CopyTask,
    Day,
)
from backup.daily.heartbeat import alive
from backup.daily.parts import CopyStore, NotProven, Prover, Sealer
from backup.daily.references import BackupSteps, LegacySteps
from backup.errors import CapsuleDamaged, ProgramFailed, WrongCapsule
from backup.legacy.call import LegacyCall
from backup.legacy.calls import LegacyCalls
from backup.legacy.outcomes import CallReport, NotCalled, TooLate

# Of a server on a capsule, before that is taken to be no good.
STARTS_TRIED = 3


class BackupActivities(BackupSteps):
    """Seal, prove and copy, by the parts that are handed in; `stores` by their names."""

    def __init__(self, sealer: Sealer, prover: Prover, stores: Mapping[str, CopyStore]) -> None:
        self._sealer = sealer
        self._prover = prover
        self._stores = stores

    @activity.defn(name="seal_capsule")
    async def seal(self, day: Day) -> SealedCapsule:
        """Return the capsule of a date, sealed now or before."""
        async with alive():
            return await self._sealer.seal(day.day, day.not_before, day.instead_of)

    @activity.defn(name="prove_capsule")
    async def prove(self, task: CapsuleTask) -> None:
        """Restore the capsule somewhere, and fail if that does not bring everything back.

        For one that is no good there is no use in another attempt: NOT_PROVEN is the last word.
        """
        try:
            async with alive():
                await self._prover.prove(task.capsule)
        except (NotProven, CapsuleDamaged, WrongCapsule) as reason:
            raise _not_proven(reason) from reason
        except ProgramFailed as reason:
            # The machine may be to blame, or a log that no server can read. Another capsule has
            # another log; after the last one of a day all that is left is to wait for the machine.
            if task.is_last or activity.info().attempt < STARTS_TRIED:
                raise
            raise _not_proven(reason) from reason

    @activity.defn(name="copy_capsule")
    async def copy(self, task: CopyTask) -> None:
        """Have a copy in a store; one that this process does not know may be known to the next."""
        store = self._stores.get(task.store)
        if store is None:
            raise ApplicationError(f"there is no store {task.store!r} in this worker's settings")
        async with alive():
            await store.put(task.capsule)


def _not_proven(reason: Exception) -> ApplicationError:
    return ApplicationError(str(reason), type=NOT_PROVEN, non_retryable=True)


class LegacyActivities(LegacySteps):
    """The one call. Attempts need no limit: whether one may call is in the claims."""

    def __init__(self, call: LegacyCall, calls: LegacyCalls) -> None:
        self._call = call
        self._calls = calls

    @activity.defn(name="call_legacy_service")
    async def call(self, task: CapsuleTask) -> CallOutcome:
        """Make the date's call unless it was made or may have been; NotCalled to come again."""
        try:
            async with alive():
                report = await self._call.make(task.capsule, task.capsule.day)
        except TooLate as reason:
            raise ApplicationError(str(reason), type=TOO_LATE, non_retryable=True) from None
        except NotCalled as reason:
            raise ApplicationError(str(reason), type=NOT_CALLED) from None
        return CallOutcome.model_validate(report.model_dump())

    @activity.defn(name="confirm_legacy_call")
    async def confirm(self, outcome: CallOutcome) -> None:
        """Write down how the call ended."""
        report = CallReport.model_validate(outcome.model_dump())
        await self._calls.confirm(report, datetime.now(UTC))
