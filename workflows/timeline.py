"""Timeline and status of one order, as the workflow keeps them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.contracts import (
        OPEN,
        TERMINAL,
        EventType,
        OrderStatus,
        StatusUpdate,
        StepDone,
        StoredStatus,
        TimelineEntry,
    )
    from workflows import shopper_texts
    from workflows.contracts import OrderOutcome
    from workflows.search_attributes import ORDER_STATUS, ORDER_STEP


class OrderTimeline:
    """How the order stands, and what of that its row does not say yet.

    `status` is what the saga knows, `stored` what the order's row says; a shopper is told no more
    than is stored. `ended`: the order has an end, and it is stored.
    """

    def __init__(self, order_id: UUID, now: datetime) -> None:
        self.status: str = "received"
        self.stored: str = "received"
        self.ended = False
        self.waiting_for: str | None = None
        self.reason: str | None = None
        self._order_id = order_id
        self._changed_at = now
        self._last_entry_at = now
        self._unrecorded: list[TimelineEntry] = []
        self._lines: list[str] = []

    @property
    def has_first_answer(self) -> bool:
        """Whether a shopper who waits for an answer can be given one."""
        if self.status == "reserved":
            # only what the row says too: what a client sees must not go back at the next look
            return self.waiting_for is not None and self.stored == "reserved"
        return self.ended

    @property
    def outcome(self) -> OrderOutcome:
        """What callers of the workflow get to know."""
        return OrderOutcome(
            order_id=self._order_id,
            status=self.status,
            at=self._changed_at,
            reason=self.reason,
            waiting_for=self.waiting_for,
        )

    def transition(
        self,
        status: OrderStatus,
        message: str,
        *,
        reason: str | None = None,
        done: StepDone | None = None,
    ) -> None:
        """Change how the order stands, and add the event of the same name to the timeline."""
        self.status, self.reason = status, reason
        self._changed_at = done.at if done else workflow.now()
        self.add_event(status, message, done)

    def add_event(self, kind: EventType, message: str, done: StepDone | None = None) -> None:
        """Add to the timeline what can happen to an order once."""
        detail: dict[str, Any] = {"message": message}
        if done is not None and done.attempt > 1:
            detail["attempts"] = done.attempt
        self._add(kind, kind, done.at if done else workflow.now(), detail)

    def mark_waiting(self, whom: str, step: str) -> None:
        """Say that a step takes longer, and whose answer is missing."""
        self.waiting_for = whom
        detail = {"message": shopper_texts.waiting_for(whom), "step": step}
        self._add(f"waiting:{step}", "waiting", workflow.now(), detail)

    def take_update(self) -> StatusUpdate:
        """Return what the order's row and timeline do not say yet; it is theirs from now on."""
        update = StatusUpdate(
            order_id=self._order_id,
            status=self.status,
            at=self._changed_at,
            reason=self.reason,
            waiting_for=self.waiting_for,
            entries=tuple(self._unrecorded),
        )
        self._unrecorded.clear()
        return update

    def adopt(self, stored: StoredStatus | None) -> bool:
        """Take over what the row says; return whether that is another end than ours.

        A task that was cut off after its record, and taken anew with a cancel in it, may come to
        another end. What was told counts; the warehouse's part is the same.

        A later release may have brought the row to a status that this one does not know. One that
        our end did not move is an end, too. Before that, the order goes on as if nothing was: a
        shopper is told what the row says, by whoever reads it, until there is an end.
        """
        mine = self.status
        self.ended = mine in TERMINAL
        # None in histories from before the record answered
        if stored is not None and stored.status != mine:
            if self.ended and stored.status not in OPEN:
                self.status, self.reason = stored.status, stored.reason
            elif stored.status not in OPEN | TERMINAL:
                self.stored = stored.status
                return False
        self.stored = self.status
        return self.status != mine

    def show(self) -> None:
        """Say in Temporal's lists and Web UI how the order stands."""
        workflow.upsert_search_attributes(
            [
                ORDER_STATUS.value_set(self.status),
                ORDER_STEP.value_set(self.waiting_for or self.status),
            ]
        )
        because = f" ({self.reason})" if self.reason else ""
        workflow.set_current_details("\n".join([f"**{self.status}**{because}", *self._lines]))

    def _add(self, key: str, kind: EventType, at: datetime, detail: dict[str, Any]) -> None:
        # The worker's clock and Temporal's differ a little; a timeline never goes back.
        self._last_entry_at = max(self._last_entry_at, at)
        entry = TimelineEntry(key=key, type=kind, at=self._last_entry_at, detail=detail)
        self._unrecorded.append(entry)
        self._lines.append(f"- {self._last_entry_at:%H:%M:%S} {detail['message']}")
