"""Prediction: which faults will hit whom, said before the first order is sent."""

import json
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from chaos.injection.rules import Operation, Rule, predict
from chaos.scenarios.records import Identity

_AT: Mapping[str, tuple[Operation, ...]] = {
    "inventory": ("reserve", "commit", "release"),
    "worker.before_request": ("reserve", "commit", "release"),
    "worker.after_answer": ("reserve", "commit", "release"),
    "worker.before_record": ("record",),
    "worker.after_record": ("record",),
    "order": ("accept",),
    "wire.inventory": ("reserve", "commit", "release"),
    "wire.order": ("accept",),
}


def predicted(rules: Sequence[Rule], orders: Iterable[UUID]) -> list[Identity]:
    """Return every (rule, order, operation, attempt) that fires if that attempt takes place."""
    ids = tuple(orders)
    found: set[Identity] = set()
    for point in {rule.point for rule in rules}:
        here = [rule for rule in rules if rule.point == point]
        operations = _AT.get(point) or _AT[point.partition(".")[0]]
        for order_id, operation, attempt, rule in predict(here, ids, operations):
            found.add((rule.name, order_id, operation, attempt))
    return in_order(found)


def in_order(identities: Iterable[Identity]) -> list[Identity]:
    """Return faults by rule, order, operation and attempt."""
    return sorted(identities, key=lambda i: (i[0], str(i[1]), i[2], i[3]))


def as_text(identities: Iterable[Identity]) -> str:
    """Return a fault list in its one form: the same faults are the same bytes."""
    return "".join(
        json.dumps({"rule": rule, "order": str(order), "operation": operation, "attempt": attempt})
        + "\n"
        for rule, order, operation, attempt in identities
    )
