"""The warehouse in a dictionary: what each call does if calls come one after the other."""

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from inventory_api.contracts import Line, Shortage


@dataclass(frozen=True, slots=True)
class Reserve:
    order_id: UUID
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class CommitOrRelease:
    order_id: UUID
    target: str  # committed or released


@dataclass(frozen=True, slots=True)
class Restock:
    sku: str
    key: str
    quantity: int


Operation = Reserve | CommitOrRelease | Restock
Outcome = tuple[Any, ...]


@dataclass(slots=True)
class Order:
    state: str
    wanted: dict[str, int] | None
    shortages: tuple[Shortage, ...] = ()


@dataclass(slots=True)
class Model:
    """Pieces on hand and reserved by SKU, orders by id, restocks by key."""

    shelves: dict[str, list[int]] = field(default_factory=dict)
    orders: dict[UUID, Order] = field(default_factory=dict)
    restocks: dict[str, tuple[str, int, tuple[int, ...]]] = field(default_factory=dict)

    def do(self, operation: Operation) -> Outcome:
        """Apply the operation and return what the warehouse has to answer."""
        match operation:
            case Reserve():
                return self._reserve(operation)
            case CommitOrRelease():
                return self._commit_or_release(operation)
            case Restock():
                return self._restock(operation)

    def _reserve(self, asked: Reserve) -> Outcome:
        wanted = {line.sku: line.quantity for line in asked.lines}
        known = self.orders.get(asked.order_id)
        if known is not None:
            if known.wanted not in (None, wanted):
                return ("other lines",)
            return (known.state, True, known.shortages)
        free = {sku: self.shelves[sku][0] - self.shelves[sku][1] for sku in wanted}
        short = tuple(
            Shortage(sku=line.sku, requested=line.quantity, available=free[line.sku])
            for line in asked.lines
            if free[line.sku] < line.quantity
        )
        if not short:
            for sku, quantity in wanted.items():
                self.shelves[sku][1] += quantity
        state = "refused" if short else "held"
        self.orders[asked.order_id] = Order(state, wanted, short)
        return (state, False, short)

    def _commit_or_release(self, asked: CommitOrRelease) -> Outcome:
        known = self.orders.get(asked.order_id)
        if known is None:
            if asked.target == "committed":
                return (None, True, ())
            self.orders[asked.order_id] = Order("released", None)
            return ("released", False, ())
        if known.state != "held":
            return (known.state, True, ())
        assert known.wanted is not None
        for sku, quantity in known.wanted.items():
            self.shelves[sku][1] -= quantity
            if asked.target == "committed":
                self.shelves[sku][0] -= quantity
        known.state = asked.target
        return (asked.target, False, ())

    def _restock(self, asked: Restock) -> Outcome:
        shelf = self.shelves[asked.sku]
        if asked.key not in self.restocks:
            shelf[0] += asked.quantity
            self.restocks[asked.key] = (asked.sku, asked.quantity, tuple(shelf))
            return (False, False, *shelf)
        sku, quantity, level = self.restocks[asked.key]
        same = (sku, quantity) == (asked.sku, asked.quantity)
        return (True, not same, *level)


def one_after_the_other(
    model: Model,
    calls: Sequence[tuple[Operation, Outcome]],
    shelves: dict[str, list[int]],
) -> Model | None:
    """Return the model after some order of these calls that explains every answer and the shelves.

    None if there is no such order: then the calls have got into each other's way.
    """
    for order in itertools.permutations(calls):
        after = copy.deepcopy(model)
        explained = all(after.do(operation) == outcome for operation, outcome in order)
        if explained and after.shelves == shelves:
            return after
    return None
