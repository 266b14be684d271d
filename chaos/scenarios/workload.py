"""Workload: the orders that a run will send, a pure function of seed, number and rate."""

import random
from dataclasses import dataclass, replace
from uuid import UUID

from inventory_api.contracts import Line
from inventory_api.seed import FIRST_DELIVERY
from order_api.contracts import order_id_for

SCARCE = "LAST-ONE"
CUSTOMERS = 40
# Not what came into the demonstration shop since: the plan of a seed stays what it was.
_ADDED = frozenset({"4006381333931"})
_COMMON = tuple(sku for sku in FIRST_DELIVERY if sku != SCARCE and sku not in _ADDED)


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """One order of the run; `at_s` is when to send it, counted from the start of its block.

    `clicks` is how many times the impatient shopper sends it at once, `cancels` whether they
    cancel it as soon as it is known.
    """

    number: int
    customer: str
    key: str
    order_id: UUID
    lines: tuple[Line, ...]
    at_s: float
    clicks: int = 1
    cancels: bool = False


@dataclass(frozen=True, slots=True)
class Crowd:
    """How the shoppers of a scenario behave, in shares of all orders.

    `scarce` orders want one piece of the SKU with the smallest stock. A `rush` is a step in the
    middle third of the run: `rush` buyers of that SKU arrive at ten times the usual rate.
    """

    scarce: float = 0.02
    double_clicks: float = 0.0
    cancels: float = 0.0
    rush: int = 0


def plan(
    seed: int, count: int, rate: float, crowd: Crowd, *, tag: str = ""
) -> tuple[PlannedOrder, ...]:
    """Return `count` orders arriving at random, `rate` a second on average (an open model).

    `tag` sets the customers and orders of a run apart from those of another run with the same
    seed, where both meet the same databases.
    """
    dice = random.Random(f"orders/{seed}")
    rush_from = (count - crowd.rush) // 2
    planned = []
    at_s = 0.0
    for number in range(count):
        rushing = rush_from <= number < rush_from + crowd.rush
        at_s += dice.expovariate(rate * 10 if rushing else rate)
        customer = f"{tag or 'shopper'}-{dice.randrange(CUSTOMERS):02d}"
        key = f"{tag or 'run'}-{seed}-{number:06d}"
        scarce = dice.random() < crowd.scarce
        lines = _lines(dice, scarce=rushing or (scarce and not crowd.rush))
        planned.append(
            PlannedOrder(
                number=number,
                customer=customer,
                key=key,
                order_id=order_id_for(customer, key),
                lines=lines,
                at_s=at_s,
                clicks=2 if dice.random() < crowd.double_clicks else 1,
                cancels=dice.random() < crowd.cancels,
            )
        )
    return tuple(planned)


def from_zero(orders: tuple[PlannedOrder, ...]) -> tuple[PlannedOrder, ...]:
    """Return a slice of a plan as a plan of its own, whose first order is sent at once."""
    start = orders[0].at_s if orders else 0.0
    return tuple(replace(order, at_s=order.at_s - start) for order in orders)


def _lines(dice: random.Random, *, scarce: bool) -> tuple[Line, ...]:
    if scarce:
        return (Line(sku=SCARCE, quantity=1),)
    skus = dice.sample(_COMMON, k=dice.choice((1, 1, 2, 3)))
    return tuple(Line(sku=sku, quantity=dice.randint(1, 3)) for sku in skus)
