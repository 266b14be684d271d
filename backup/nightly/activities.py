"""The activity of a nightly comparison; Temporal does all the retrying."""

import asyncio

from temporalio import activity
from temporalio.exceptions import ApplicationError

from backup.daily.heartbeat import alive
from backup.errors import BackupProblem
from backup.nightly.compare import Comparer
from backup.nightly.contracts import COMPARE, NOT_COMPARED, Comparison, Look
from backup.nightly.kept import KeptComparison
from backup.nightly.references import NightlySteps


class NightlyActivities(NightlySteps):
    """Compares, and keeps what was found."""

    def __init__(self, comparer: Comparer, kept: KeptComparison) -> None:
        self._comparer = comparer
        self._kept = kept

    @activity.defn(name=COMPARE)
    async def compare(self, look: Look) -> Comparison:
        """Compare all orders with inventory, and change nothing."""
        try:
            async with alive():
                found = await self._comparer.compare(activity.client())
        except BackupProblem as problem:
            await asyncio.to_thread(self._kept.note, str(problem))
            raise ApplicationError(str(problem), type=NOT_COMPARED) from None
        if look.is_last or not found.violations:
            await asyncio.to_thread(self._kept.keep, found)
        return found
