"""Problem documents of inventory_api: its definite answers other than success."""

from uuid import UUID

from inventory_api.contracts import OUT_OF_STOCK
from inventory_api.verdicts import Verdict
from service_kit.http.problems import Problem


def out_of_stock(order_id: UUID, verdict: Verdict) -> Problem:
    """Return what says which lines cannot be held."""
    lines = [shortage.model_dump() for shortage in verdict.shortages]
    named = ", ".join(
        f"{line['sku']} ({line['requested']} wanted, {line['available']} free)" for line in lines
    )
    return Problem(
        409,
        OUT_OF_STOCK,
        "Not enough in stock",
        f"Not enough in stock of {named}.",
        advice="Nothing is held. Order less, or again under a new order id once it is back.",
        order_id=str(order_id),
        lines=lines,
    )


def conflict(slug: str, order_id: UUID, detail: str) -> Problem:
    """Return what says that the order has gone another way."""
    shipped = "Order cannot be cancelled any more"
    return Problem(
        409,
        slug,
        shipped if slug == "committed" else "Reservation cannot be changed any more",
        detail,
        advice="Nothing was changed. See the reservation for what happened.",
        order_id=str(order_id),
    )


def unknown(order_id: UUID) -> Problem:
    """Return what says that no such order is known here."""
    return Problem(
        404,
        "unknown-reservation",
        "The order is not known here",
        "No reservation was made for this order.",
        advice="Reserve first.",
        order_id=str(order_id),
    )


def no_such_sku() -> Problem:
    """Return what says that no such SKU is kept here."""
    return Problem(
        404,
        "unknown-sku",
        "There is no such SKU",
        "The warehouse does not keep this SKU.",
        advice="GET /v1/stock lists those it keeps.",
    )
