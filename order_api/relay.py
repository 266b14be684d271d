"""Relay: starts the workflow of every accepted order that has none, or has lost it.

The API may have died after its commit, Temporal may have been away, the load too high to start
the workflow at once. The relay starts them under the same ids, so meeting another starter is
harmless. It paces itself: it has a bounded number of orders under way and waits for each a moment.
"""

import asyncio
from collections.abc import Awaitable, Callable

from activities.contracts import StatusUpdate, TimelineEntry
from order_api.database_clock import DatabaseClock
from order_api.db.store import Store
from order_api.db.stored_order import DueOrder
from order_api.set_aside import SetAside
from order_api.workflow_client import TEMPORAL_ERRORS, Incompatible, OrderWorkflows
from service_kit.observability import logs
from service_kit.postgres.pool import POSTGRES_ERRORS, is_outage
from service_kit.process.waiting import is_set_within
from workflows import shopper_texts

BATCH_SIZE = 48
WORKFLOW_WAIT_S = 1.0
LEASE_S = 15.0
POLL_INTERVAL_S = 0.5
# After a failed start: soon, since Temporal's return is what the order waits for.
RETRY_DELAY_S = 2.0
# After a good one: a last resort, MissingWorkflows finds sooner what has lost its workflow.
RECHECK_DELAY_S = 120.0
# After one that failed for a reason of the order's own: it takes another release, or a person.
SET_ASIDE_DELAY_S = 60.0

_log = logs.get(__name__)


class Relay:
    """Drives overdue orders until it is cancelled; any number of replicas may run one."""

    def __init__(self, store: Store, workflows: OrderWorkflows) -> None:
        self._store = store
        self._workflows = workflows
        self._nudged = asyncio.Event()
        self._clock = DatabaseClock()
        self.set_aside = SetAside()

    def nudge(self) -> None:
        """Say that an order was accepted which only the relay will start."""
        self._nudged.set()

    async def run(self) -> None:
        """Take what is due, drive it, and look again."""
        while True:
            self._nudged.clear()
            try:
                await self._correct_due_times()
                due = await self._store.claim_due(BATCH_SIZE, LEASE_S)
                if due:
                    await self._drive_all(due)
                    continue
            except POSTGRES_ERRORS as error:
                _log.warning("relay cannot reach the database", reason=type(error).__name__)
                await asyncio.sleep(POLL_INTERVAL_S)
            await is_set_within(self._nudged, POLL_INTERVAL_S)

    async def _correct_due_times(self) -> None:
        at, back_s = await self._store.correct_due_times(self._clock.not_before())
        self._clock.shows(at)
        if back_s > 0:
            _log.warning("the database's clock was put back", seconds=back_s)

    async def _drive_all(self, due: list[DueOrder]) -> None:
        found = await asyncio.gather(*(self._apart(self._drive, order) for order in due))
        started = list(zip(due, found, strict=True))
        going = [order for order, ok in started if ok]
        stuck = [order.order_id for order, ok in started if ok is False]
        aside = [order.order_id for order, ok in started if ok is None]
        for orders, pause_s in ((stuck, RETRY_DELAY_S), (aside, SET_ASIDE_DELAY_S)):
            if orders:
                await self._store.relay_later(orders, pause_s)
        if going:
            open_yet = await self._store.relay_later(
                [order.order_id for order in going], RECHECK_DELAY_S
            )
            await asyncio.gather(
                *(self._apart(self._revive, o) for o in going if o.order_id in open_yet)
            )
        _log.info("relayed", started=len(going), failed=len(stuck), set_aside=len(aside))

    async def _apart(
        self, work: Callable[[DueOrder], Awaitable[bool]], order: DueOrder
    ) -> bool | None:
        """Return what `work` says of `order`, None if it failed for a reason of the order's own."""
        try:
            ok = await work(order)
        except Exception as error:
            if is_outage(error):
                return False
            self.set_aside.add(order.order_id, error)
            return None
        if ok:
            self.set_aside.discard(order.order_id)
        return ok

    async def _drive(self, order: DueOrder) -> bool:
        """Return whether the order's workflow is known to be at work or done."""
        ask = self._workflows.cancel if order.cancelling else self._workflows.first_answer
        try:
            await ask(order.order_id, order.lines, WORKFLOW_WAIT_S)
        except Incompatible:
            raise
        except TEMPORAL_ERRORS:
            if await self._workflows.is_running(order.order_id, WORKFLOW_WAIT_S):
                # a wish to cancel is repeated until it is known to have arrived
                return not order.cancelling
            return await self._heal(order)
        return True

    async def _revive(self, order: DueOrder) -> bool:
        """See to it that the workflow of an order that is still open has not in truth ended.

        An ended workflow repeats what it said while it ran: that it answered proves nothing.
        """
        if await self._workflows.is_running(order.order_id, WORKFLOW_WAIT_S) or await self._heal(
            order
        ):
            return True
        try:
            await self._workflows.start(order.order_id, order.lines, WORKFLOW_WAIT_S)
        except Incompatible:
            raise
        except TEMPORAL_ERRORS:
            return False
        return True

    async def _heal(self, order: DueOrder) -> bool:
        """Write down the end of an order whose row does not know of it (an older backup, say).

        Return whether there was an end to write down.
        """
        outcome = await self._workflows.final_outcome(order.order_id, WORKFLOW_WAIT_S)
        if outcome is None:
            return False
        await self._store.record(
            StatusUpdate(
                order_id=order.order_id,
                status=outcome.status,
                at=outcome.at,
                reason=outcome.reason,
                entries=(
                    TimelineEntry(
                        key=outcome.status,
                        type=outcome.status,
                        at=outcome.at,
                        detail={"message": shopper_texts.BROUGHT_UP_TO_DATE},
                    ),
                ),
            )
        )
        return True
