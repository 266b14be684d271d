"""Order placement: make an order durable, start its workflow, answer within the budget.

Accepting is separate from completing. Once the order's transaction has committed it cannot be
lost, whatever happens below; all that is left to find out is how much of its end the shopper
gets to see in this answer.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Protocol
from uuid import UUID

from activities.contracts import OPEN
from order_api.acceptance import ANSWER_MARGIN_S, Acceptance
from order_api.contracts import OrderLine, PlaceOrder
from order_api.db.store import Store
from order_api.db.stored_order import Placed, StoredOrder
from order_api.metrics import ACCEPTED
from order_api.relay import Relay
from order_api.settings import OrderSettings
from order_api.workflow_client import TEMPORAL_ERRORS
from service_kit.postgres.pool import POSTGRES_ERRORS
from workflows.contracts import OrderOutcome


class Sagas(Protocol):
    """What shoppers ask of the workflow of their order; see `OrderWorkflows`."""

    async def first_answer(
        self, order_id: UUID, lines: Iterable[OrderLine], wait_s: float
    ) -> OrderOutcome: ...

    async def cancel(
        self, order_id: UUID, lines: Iterable[OrderLine], wait_s: float
    ) -> OrderOutcome: ...


class OrderPlacement:
    """The accept path of one process."""

    def __init__(
        self,
        settings: OrderSettings,
        store: Store,
        acceptance: Acceptance,
        workflows: Sagas,
        relay: Relay,
    ) -> None:
        self._settings = settings
        self._store = store
        self._acceptance = acceptance
        self._workflows = workflows
        self._relay = relay
        self._free_slots = settings.wait_slots

    async def place(
        self,
        customer: str,
        key: str,
        wanted: PlaceOrder,
        started: float,
        *,
        quoted_key: str | None = None,
    ) -> Placed:
        """Return the order under this key as it stands when the budget, from `started`, is used.

        Raises the problems of `Acceptance.accept`: no order, or not known whether there is one.
        """
        waits = self._settings.answer_budget_s > 0 and self._free_slots > 0
        self._free_slots -= waits
        try:
            relay_in_s = self._settings.relay_after_s if waits else 0.0
            accepted = await self._acceptance.accept(
                customer, key, wanted, started, relay_in_s=relay_in_s, quoted_key=quoted_key
            )
            ACCEPTED.labels(str(not accepted.created).lower()).inc()
            if not waits:
                self._relay.nudge()
                return Placed(accepted.order, worked_on=accepted.created)
            worked_on = accepted.created or is_open(accepted.order)
            deadline = started + self._settings.answer_budget_s
            return Placed(await self._watch(accepted.order, deadline), worked_on)
        finally:
            self._free_slots += waits

    async def cancel(self, order: StoredOrder, started: float) -> StoredOrder:
        """Note the wish to cancel durably, pass it on, and return the order as it then stands.

        If the saga cannot be reached in time, the relay passes the wish on later.
        """
        noted = await self._store.request_cancel(order.order_id)
        if noted is None:  # it has ended meanwhile
            return await self._store.order(order.order_id) or order
        deadline = started + max(self._settings.answer_budget_s, 1.0)
        wait_s = max(deadline - ANSWER_MARGIN_S - time.monotonic(), 0.0)
        try:
            outcome = await self._workflows.cancel(order.order_id, order.lines, wait_s)
        except TEMPORAL_ERRORS:
            return await self._again(noted, deadline)
        return noted.with_outcome(outcome)

    async def _watch(self, order: StoredOrder, deadline: float) -> StoredOrder:
        """Return the order with what happens to it until `deadline` (monotonic)."""
        if not is_open(order):
            return order
        wait_s = deadline - ANSWER_MARGIN_S - time.monotonic()
        try:
            outcome = await self._workflows.first_answer(
                order.order_id, order.lines, max(wait_s, 0.0)
            )
        except TEMPORAL_ERRORS:
            return await self._again(order, deadline)
        return order.with_outcome(outcome)

    async def _again(self, order: StoredOrder, deadline: float) -> StoredOrder:
        """Return the order's newest row: it may have ended while we could not see its workflow."""
        left_s = deadline - time.monotonic()
        try:
            async with asyncio.timeout(max(left_s, 0.05)):
                return await self._store.order(order.order_id) or order
        except POSTGRES_ERRORS:
            return order


def is_open(order: StoredOrder) -> bool:
    """Tell whether there is something to wait for before answering.

    Not if it is in a status of a later release: that one sees to its workflow.
    """
    return order.status in OPEN and not (
        order.status == "reserved" and order.waiting_for is not None
    )
