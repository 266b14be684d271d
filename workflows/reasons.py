"""Reason codes of orders that ended without shipping; part of the public contract."""

from inventory_api import contracts

OUT_OF_STOCK = contracts.OUT_OF_STOCK
CANCELLED_BY_CUSTOMER = "cancelled-by-customer"


def step_refused(step: str, failure: str | None) -> str:
    """Return the reason of an order that failed because the warehouse refused a step for good."""
    return f"{step}: {failure}"
