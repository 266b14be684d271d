"""Messages and names that order_api and the order workflow share."""

from datetime import datetime
from uuid import UUID

from activities.contracts import Message
from inventory_api.contracts import Line

TASK_QUEUE = "orders"
WORKFLOW = "OrderWorkflow"
FIRST_ANSWER = "settled"
CANCEL = "cancel"
WORKFLOW_ID_PREFIX = "order-"


class OrderInput(Message):
    """All that the saga needs to know of an order; no names, no prices, no secrets."""

    order_id: UUID
    lines: tuple[Line, ...]


class OrderOutcome(Message):
    """Where the order stands, as the saga sees it."""

    order_id: UUID
    status: str
    at: datetime
    reason: str | None = None
    waiting_for: str | None = None


def workflow_id(order_id: UUID) -> str:
    """Return the one workflow id that an order can have."""
    return f"{WORKFLOW_ID_PREFIX}{order_id}"


def order_of(workflow: str) -> UUID | None:
    """Return the order that a workflow id belongs to, None if it is nobody's."""
    if not workflow.startswith(WORKFLOW_ID_PREFIX):
        return None
    try:
        return UUID(workflow.removeprefix(WORKFLOW_ID_PREFIX))
    except ValueError:
        return None
