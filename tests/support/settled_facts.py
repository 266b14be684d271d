"""A system at rest after orders that all shipped: what every test of a check starts from."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from chaos.checker.observations import (
    EndpointAnswer,
    Movement,
    Observations,
    OrderEvent,
    OrderRow,
    Replay,
    Shelf,
    Snapshot,
    WorkflowRow,
)
from chaos.client.history import Entry, Kind
from chaos.scenarios.records import Fired, Identity
from chaos.scenarios.workload import PlannedOrder
from inventory_api.seed import FIRST_DELIVERY

ANSWERED: tuple[tuple[Kind, int | None, str | None], ...] = (
    ("invoke", None, None),
    ("ok", 201, "shipped"),
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def fired_as(identity: Identity) -> Fired:
    rule, order_id, operation, attempt = identity
    return Fired(rule, order_id, operation, attempt, "inventory.after_commit", "error", 0.0)


def settled_facts(orders: Sequence[PlannedOrder]) -> Observations:
    """Return observations of orders that were placed once and have shipped: nothing is wrong."""
    movements, shelves = _stock_after(orders)
    events = [
        OrderEvent(2 * order.number + n, order.order_id, kind, NOW)
        for order in orders
        for n, kind in enumerate(("received", "shipped"))
    ]
    return Observations(
        planned=tuple(orders),
        history=[entry for order in orders for entry in _history_of(order)],
        orders=[
            OrderRow(
                order.order_id, order.customer, order.key, "shipped", None,
                {line.sku: line.quantity for line in order.lines}, NOW, NOW,
            )
            for order in orders
        ],
        events=events,
        movements=movements,
        reservations={order.order_id: "committed" for order in orders},
        shelves=shelves,
        snapshots=[Snapshot(0.0, s.sku, s.on_hand, 0, s.on_hand, 0) for s in shelves],
        workflows=[
            WorkflowRow(f"order-{order.order_id}", "run", "COMPLETED", "shipped")
            for order in orders
        ],
        results={order.order_id: "shipped" for order in orders},
        api_statuses={order.order_id: "shipped" for order in orders},
        replays=[Replay("order-1", None)],
        endpoint_answers=[EndpointAnswer("GET /readyz", 200)],
        notifications={event.seq: 1 for event in events},
        settled_within_s=1.0,
    )  # fmt: skip


def _stock_after(orders: Sequence[PlannedOrder]) -> tuple[list[Movement], list[Shelf]]:
    delivered = dict.fromkeys(FIRST_DELIVERY, 1000000)
    movements = [
        Movement(n, None, sku, "initial", pieces)
        for n, (sku, pieces) in enumerate(delivered.items())
    ]
    gone: Counter[str] = Counter()
    for order in orders:
        for operation in ("reserve", "commit"):
            for line in order.lines:
                movements.append(
                    Movement(len(movements), order.order_id, line.sku, operation, line.quantity)
                )
        gone.update({line.sku: line.quantity for line in order.lines})
    return movements, [Shelf(sku, pieces - gone[sku], 0) for sku, pieces in delivered.items()]


def _history_of(order: PlannedOrder) -> list[Entry]:
    return [
        Entry(
            at=float(order.number), kind=kind, operation="place", number=order.number,
            order_id=str(order.order_id), try_=1, status=status, seconds=0.05,
            since_intended=0.05, state=state, answered_id=str(order.order_id) if state else None,
        )
        for kind, status, state in ANSWERED
    ]  # fmt: skip
