"""Outcomes of orders by kind: what shoppers were told against what left the shelf."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from chaos.client.history import Entry
from chaos.scenarios.records import Fired
from chaos.scenarios.workload import PlannedOrder


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of a system's orders, by kind; an order can be wrong in one way."""

    policy: str
    orders: int
    kinds: Counter[str]
    examples: dict[str, str]
    first_words: Counter[str]
    fired: int

    @property
    def correct(self) -> int:
        """How many orders ended as they should: what was told is what happened, once."""
        return self.kinds["right"]


def judge(
    policy: str,
    orders: Sequence[PlannedOrder],
    history: Sequence[Entry],
    tries: defaultdict[UUID, set[UUID]],
    moved: defaultdict[UUID, set[str]],
    fired: Sequence[Fired],
) -> Outcomes:
    """Return the outcomes of orders by kind.

    `tries` are the reservations that were made for an order, `moved` is what happened to each.
    """
    told: dict[str, str] = {}
    for entry in history:
        if entry.ends_placing:
            told[entry.order_id] = entry.state or told.get(entry.order_id, "nothing")
    kinds: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for order in orders:
        taken = sum("commit" in moved[reservation] for reservation in tries[order.order_id])
        stuck = sum(moved[reservation] == {"reserve"} for reservation in tries[order.order_id])
        kind = _kind(told.get(str(order.order_id), "nothing"), taken, stuck)
        kinds[kind] += 1
        examples.setdefault(kind, str(order.order_id))
    return Outcomes(policy, len(orders), kinds, examples, first_words(history), len(fired))


def first_words(history: Sequence[Entry]) -> Counter[str]:
    """Return what shoppers were told first, by kind of answer."""
    first: dict[str, str] = {}
    for entry in history:
        if entry.ends_placing:
            first.setdefault(entry.order_id, _in_words(entry))
    return Counter(first.values())


def _in_words(entry: Entry) -> str:
    if entry.status is None:
        return "no answer, or a cut connection"
    if entry.status == 202:
        return "accepted, it takes a little longer"
    if entry.status >= 500:
        return "an error, please try again"
    return str(entry.state or entry.status)


def _kind(told: str, taken: int, stuck: int) -> str:
    if taken > 1:
        return "stock taken more than once"
    if taken == 1 and told == "failed":
        return "told failed, but shipped"
    if taken == 1 and told != "shipped":
        return "stock taken, order lost"
    if told == "shipped" and taken == 0:
        return "told shipped, nothing sent"
    if stuck:
        return "stock held for ever"
    if told in ("failed", "nothing"):
        return "sale lost, nothing taken"
    return "right"
