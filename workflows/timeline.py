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
    from workflows.contracts import OrderOutcome


class OrderTimeline:
    """How the order stands, and what of that its row does not say yet.

    `status` is what the saga knows, `written` what the order's row says; a shopper is told no more
    than is written. `ended`: the order has an end, and it is written.
    """

    def __init__(self, order_id: UUID, now: datetime) -> None:
        self.status: str = "received"
        self.written: str = "received"
        self.ended = False
        self.waiting_for: str | None = None
        self.reason: str | None = None
        self._order_id = order_id
        self._changed_at = now
        self._last_entry_at = now
        self._unwritten: list[TimelineEntry] = []
        self._lines: list[str] = []

    @property
    def has_first_answer(self) -> bool:
        """Whether a shopper who waits for an answer can be given one."""
        if self.status == "reserved":
            # only what the row says too: what a client sees must not go back at the next look
            return self.waiting_for is not None and self.written == "reserved"
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

    @property
    def details(self) -> str:
        """What the Web UI shows, as Markdown."""
        because = f" ({self.reason})" if self.reason else ""
        return "\n".join([f"**{self.status}**{because}", *self._lines])

    def become(
        self, status: OrderStatus, reason: str | None = None, at: StepDone | None = None
    ) -> None:
        """Change how the order stands."""
        self.status, self.reason = status, reason
        self._changed_at = at.at if at else workflow.now()

    def happened(self, kind: EventType, story: str, done: StepDone | None = None) -> None:
        """Add to the timeline what can happen to an order once."""
        detail: dict[str, Any] = {"message": story}
        if done is not None and done.attempt > 1:
            detail["attempts"] = done.attempt
        self._add(kind, kind, done.at if done else workflow.now(), detail)

    def mark_waiting(self, whom: str, step: str) -> None:
        """Say that a step takes longer, and whose answer is missing."""
        self.waiting_for = whom
        detail = {"message": f"The {whom} is slow to answer. We keep asking.", "step": step}
        self._add(f"waiting:{step}", "waiting", workflow.now(), detail)

    def to_write(self) -> StatusUpdate:
        """Return what the order's row and timeline do not say yet; it is theirs from now on."""
        progress = StatusUpdate(
            order_id=self._order_id,
            status=self.status,
            at=self._changed_at,
            reason=self.reason,
            waiting_for=self.waiting_for,
            entries=tuple(self._unwritten),
        )
        self._unwritten.clear()
        return progress

    def has_been_written(self, recorded: StoredStatus | None) -> bool:
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
        if recorded is not None and recorded.status != mine:
            if self.ended and recorded.status not in OPEN:
                self.status, self.reason = recorded.status, recorded.reason
            elif recorded.status not in OPEN | TERMINAL:
                self.written = recorded.status
                return False
        self.written = self.status
        return self.status != mine

    def _add(self, key: str, kind: EventType, at: datetime, detail: dict[str, Any]) -> None:
        # The worker's clock and Temporal's differ a little; a timeline never goes back.
        self._last_entry_at = max(self._last_entry_at, at)
        self._unwritten.append(
            TimelineEntry(key=key, type=kind, at=self._last_entry_at, detail=detail)
        )
        self._lines.append(f"- {self._last_entry_at:%H:%M:%S} {detail['message']}")
