"""Every sentence that a shopper reads about an order: its state, its timeline, notifications."""

from activities.contracts import OPEN
from workflows.reasons import OUT_OF_STOCK

# --- the timeline ------------------------------------------------------------------------

RECEIVED = "We have your order."
RESERVED = "The warehouse holds your goods."
READY_TO_SHIP = "Everything is there; the parcel goes out."
SHIPPED = "Your order is on its way."
CANCEL_REQUESTED = "You asked us to cancel this order."
RELEASED = "The goods went back on the shelf."
BROUGHT_UP_TO_DATE = "Brought up to date from the workflow's result."


def waiting_for(whom: str) -> str:
    """Return what is said while an answer of `whom` is missing."""
    return f"The {whom} is slow to answer. We keep asking."


def undone(status: str, reason: str) -> str:
    """Return what is said of an order that was cancelled, or failed, and holds nothing any more."""
    return "Cancelled." if status == "cancelled" else f"We had to give up: {reason}."


def needs_a_person(failure: str) -> str:
    """Return what is said of an order that failed and could not be undone."""
    return f"Needs a person: {failure}."


# --- the state of an order ---------------------------------------------------------------

_STATES: dict[str, str] = {
    "received": "We have your order and are working on it.",
    "reserved": "Your goods are set aside for you and will ship shortly.",
    "shipped": SHIPPED,
    "cancelled": "Your order is cancelled. Nothing will be sent.",
    "failed": "We could not complete your order. Nothing will be sent; please contact us.",
}
_SOLD_OUT = "Sold out: we do not have enough of what you ordered. Nothing will be sent."
_REFUSED = "We could not take this order. Nothing will be sent."
_SLOW = "We have your order. The warehouse is slow to answer; you will see it here when it ships."
_LONGER = "We have your order. It takes a little longer; you will see it here when it ships."
# A status of a later release: nothing is claimed that may not be so.
_NEUTRAL = "We have your order. Its status and its timeline say how it stands."
_CANCELLING = "We are cancelling your order; you will see here whether that was in time."


def message_for(
    status: str, reason: str | None, waiting_for: str | None, *, cancelling: bool
) -> str:
    """Return what a shopper is told about an order in this state.

    `cancelling`: the shopper has asked for it, and the order has not ended.
    """
    if status == "rejected":
        return _SOLD_OUT if reason == OUT_OF_STOCK else _REFUSED
    if cancelling:
        return _CANCELLING
    if status in OPEN and waiting_for is not None:
        return _SLOW if waiting_for == "warehouse" else _LONGER
    return _STATES.get(status, _NEUTRAL)


# --- notifications -----------------------------------------------------------------------

# By type of event. What is not here is not worth a message.
SUBJECTS: dict[str, str] = {
    "received": "We have your order",
    "waiting": "Your order takes a little longer",
    "shipped": "Your order is on its way",
    "rejected": "We could not take your order",  # the body says why
    "cancelled": "Your order is cancelled",
    "failed": "We could not complete your order",
}
