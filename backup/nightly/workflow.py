"""The nightly comparison: orders, inventory and Temporal agree, or somebody is told.

It only reads. What disagrees is repaired by a person's `valerix reconcile`, not in the night.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from backup.nightly.contracts import NIGHTLY_RECONCILE, ON_ITS_WAY, Comparison, Look
    from backup.nightly.references import NightlySteps

A_LOOK = timedelta(hours=2)
# Two of them, and the time between, end before the next night begins.
WITH_RETRIES = timedelta(hours=10)
HEARTBEAT = timedelta(seconds=60)
PATIENTLY = RetryPolicy(
    initial_interval=timedelta(seconds=30),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(minutes=15),
)


@workflow.defn(name=NIGHTLY_RECONCILE)
class NightlyReconcile:
    """The comparison of one night. Another one in the same night costs nothing but reading."""

    @workflow.run
    async def run(self) -> Comparison:
        """Look once, and again if something disagrees: an order that was on its way has ended."""
        found = await self._compare(Look())
        if found.violations:
            workflow.set_current_details(f"{_in_words(found)}; it is looked at again")
            await workflow.sleep(ON_ITS_WAY)
            found = await self._compare(Look(is_last=True))
        workflow.set_current_details(_in_words(found))
        return found

    async def _compare(self, look: Look) -> Comparison:
        return await workflow.execute_activity_method(
            NightlySteps.compare,
            look,
            start_to_close_timeout=A_LOOK,
            schedule_to_close_timeout=WITH_RETRIES,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=PATIENTLY,
            summary="compare orders with inventory",
        )


def _in_words(found: Comparison) -> str:
    said = f"{found.orders} orders: {found.violations} violations, {found.for_people} for people"
    return "; ".join((said, *found.found))
