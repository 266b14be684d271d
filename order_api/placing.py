"""Take an order: make it durable, start its workflow, and answer within the budget.

Accepting is separate from completing. Once the order's transaction has committed it cannot be
lost, whatever happens below; all that is left to find out is how much of its end the shopper
gets to see in this answer.
"""

import asyncio
import time

from activities.contracts import TERMINAL
from inventory_api.contracts import digest
from order_api.catalogue import Catalogue
from order_api.contracts import PlaceOrder, order_id_for
from order_api.engine import AWAY, Engine
from order_api.metrics import ACCEPTED
from order_api.relay import Relay
from order_api.settings import OrderSettings
from order_api.store import Store
from order_api.stored_order import Accepted, NewOrder, StoredOrder
from service_kit.fault_points import Call, FaultPoints
from service_kit.pool import TROUBLE
from service_kit.problems import Problem, unprocessable

# Left of the budget for a last look at the order's row and for the answer's way out, on a machine
# that may be busy just then: what was promised is the answer, not the waiting.
_TO_ANSWER_S = 0.1


class Placing:
    """The accept path of one process."""

    def __init__(
        self,
        settings: OrderSettings,
        store: Store,
        catalogue: Catalogue,
        engine: Engine,
        relay: Relay,
        faults: FaultPoints,
    ) -> None:
        self._settings = settings
        self._store = store
        self._catalogue = catalogue
        self._engine = engine
        self._relay = relay
        self._faults = faults
        self._free_slots = settings.wait_slots

    async def place(
        self, customer: str, key: str, wanted: PlaceOrder, started: float
    ) -> StoredOrder:
        """Return the order under this key as it stands when the budget, from `started`, is used.

        Raises a problem: 422 (nothing stored), or 503 if it could not be made durable.
        """
        waits = self._settings.answer_budget_s > 0 and self._free_slots > 0
        self._free_slots -= waits
        try:
            accepted = await self._accept(customer, key, wanted, waits=waits)
            ACCEPTED.labels(str(not accepted.created).lower()).inc()
            if not waits:
                self._relay.nudge()
                return accepted.order
            return await self._watch(accepted, started + self._settings.answer_budget_s)
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
        wait_s = max(deadline - _TO_ANSWER_S - time.monotonic(), 0.0)
        try:
            outcome = await self._engine.cancel(order.order_id, order.lines, wait_s)
        except AWAY:
            return await self._again(noted, deadline)
        return noted.after(outcome)

    async def _accept(
        self, customer: str, key: str, wanted: PlaceOrder, *, waits: bool
    ) -> Accepted:
        order_id = order_id_for(customer, key)
        fingerprint = digest(wanted.lines)
        try:
            async with asyncio.timeout(self._settings.accept_deadline_s):
                try:
                    lines, total, currency = await self._catalogue.price(wanted.lines)
                except Problem:
                    # what cannot be ordered any more may have been ordered under this key before
                    earlier = await self._store.order(order_id)
                    if earlier is None:
                        raise
                    accepted = Accepted(earlier, created=False)
                else:
                    new = NewOrder(
                        order_id=order_id,
                        customer=customer,
                        key=key,
                        digest=fingerprint,
                        lines=lines,
                        total_minor=total,
                        currency=currency,
                        relay_in_s=self._settings.relay_after_s if waits else 0.0,
                    )
                    accepted = await self._store.accept(new)
        except TROUBLE:
            raise not_durable() from None
        if accepted.order.digest != fingerprint:
            raise unprocessable(
                "This Idempotency-Key was used for another order.", order_id=str(order_id)
            )
        return accepted

    async def _watch(self, accepted: Accepted, deadline: float) -> StoredOrder:
        """Return the order with what happens to it until `deadline` (monotonic)."""
        order = accepted.order
        if not is_open(order):
            return order
        wait_s = deadline - _TO_ANSWER_S - time.monotonic()
        try:
            outcome = await self._engine.settle(order.order_id, order.lines, max(wait_s, 0.0))
        except AWAY:
            seen = await self._again(order, deadline)
        else:
            seen = order.after(outcome)
        # Started, or at least asked for: a crash here leaves it to the shopper's retry.
        await self._faults.reach("order.after_start", Call(order.order_id, "accept"))
        return seen

    async def _again(self, order: StoredOrder, deadline: float) -> StoredOrder:
        """Return the order's newest row: it may have ended while we could not see its workflow."""
        left_s = deadline - time.monotonic()
        try:
            async with asyncio.timeout(max(left_s, 0.05)):
                return await self._store.order(order.order_id) or order
        except TROUBLE:
            return order


def is_open(order: StoredOrder) -> bool:
    """Tell whether there is something to wait for before answering."""
    return order.status not in TERMINAL and not (
        order.status == "reserved" and order.waiting_for is not None
    )


def not_durable() -> Problem:
    """Return the 503 for an order that we cannot vouch for.

    Nothing is stored, unless the database was cut off in the very moment of its commit; in both
    cases the same key brings the client to the one order that there can be.
    """
    return Problem(
        503,
        "not-stored",
        "We could not store your order",
        "Our database did not confirm your order in time.",
        advice="Send it again with the same Idempotency-Key: it can only become one order.",
        headers={"Retry-After": "1"},
    )
