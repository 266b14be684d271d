"""Orders as the order store takes them, and what is recorded of them."""

import uuid
from datetime import UTC, datetime

from activities.contracts import EventType, OrderStatus, StatusUpdate, TimelineEntry
from order_api.contracts import OrderLine, order_id_for
from order_api.db.stored_order import NewOrder


def new_order(key: str, digest: bytes = b"same", skus: tuple[str, ...] = ("MUG-BLUE",)) -> NewOrder:
    lines = tuple(OrderLine(sku=sku, quantity=1, unit_price_minor=100) for sku in skus)
    return NewOrder(
        order_id=order_id_for("alice", key),
        customer="alice",
        key=key,
        digest=digest,
        lines=lines,
        total_minor=100 * len(lines),
        currency="EUR",
        relay_in_s=60.0,
    )


def progress(order_id: uuid.UUID, status: OrderStatus, *kinds: EventType) -> StatusUpdate:
    now = datetime.now(UTC)
    told = tuple(TimelineEntry(key=kind, type=kind, at=now, detail={"n": 1}) for kind in kinds)
    return StatusUpdate(order_id=order_id, status=status, at=now, entries=told)
