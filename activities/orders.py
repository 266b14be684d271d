"""The activity that records an order's status and timeline, idempotently."""

from typing import Protocol

from temporalio import activity

from activities.contracts import StatusUpdate, StoredStatus
from activities.references import OrderRecords


class OrderLedger(Protocol):
    """Where updates are kept; order_api's store is the real one."""

    async def record(self, update: StatusUpdate) -> StoredStatus:
        """Keep `update` and return how the order stands then.

        Repeating it, or bringing an older update, changes nothing; an end that was kept stays.
        """
        ...


class OrderActivities(OrderRecords):
    """The saga's one way of telling the order service what has happened."""

    def __init__(self, ledger: OrderLedger) -> None:
        self._ledger = ledger

    @activity.defn(name="record")
    async def record(self, update: StatusUpdate) -> StoredStatus:
        """Bring the order's row and timeline up to date."""
        return await self._ledger.record(update)
