"""Messages between the workflow and its activities, and the statuses of an order."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from inventory_api.contracts import Line

# What this release says. What it reads may be of a later one, and is any text: an order in a status
# that is in neither set is passed on as it is, taken neither for open nor for ended.
OrderStatus = Literal["received", "reserved", "shipped", "rejected", "cancelled", "failed"]
OPEN: frozenset[str] = frozenset({"received", "reserved"})
TERMINAL: frozenset[str] = frozenset({"shipped", "rejected", "cancelled", "failed"})

EventType = Literal[
    "received",
    "reserved",
    "ready_to_ship",
    "shipped",
    "rejected",
    "cancel_requested",
    "cancelled",
    "failed",
    "waiting",
    "released",
]


class Message(BaseModel):
    """A frozen value that travels through Temporal.

    Members may be added with defaults and are never removed: histories outlive releases. Two
    releases work side by side, so whoever reads one ignores members and takes words he does not
    know.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, serialize_by_alias=True
    )


class ActivityInput(Message):
    """What an activity takes; `first_attempt` continues the count after a fast attempt."""

    first_attempt: int = 1

    def attempt(self, tried: int) -> int:
        """Return which attempt at the step it is when Temporal has `tried` so often, from 1."""
        return self.first_attempt + tried - 1


class StepCall(ActivityInput):
    """One step for one order."""

    order_id: UUID
    lines: tuple[Line, ...] = ()


class StepDone(Message):
    """The warehouse's word and when it came."""

    state: str
    at: datetime
    attempt: int = 1


class TimelineEntry(Message):
    """One entry of an order's timeline. `key` names it within the order: it is written once."""

    key: str
    type: str
    at: datetime
    detail: dict[str, Any] = {}


class StatusUpdate(ActivityInput):
    """Where an order stands and what has happened since it was last written down."""

    order_id: UUID
    status: str
    at: datetime
    reason: str | None = None
    waiting_for: str | None = None
    entries: tuple[TimelineEntry, ...] = Field((), alias="happenings")  # its name in histories


class StoredStatus(Message):
    """How the order's row stands after a progress was written down, or came too late to be."""

    status: str
    reason: str | None = None
