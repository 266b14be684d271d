"""All invariants of a system at rest: every check, by family."""

from collections.abc import Callable, Sequence

from chaos.checker import endpoints, orders, replays, responses, stock, subscribers
from chaos.checker.check_result import Check, require_nonempty
from chaos.checker.observations import Observations

Invariant = Callable[[Observations], Check]

STOCK: Sequence[Invariant] = (
    stock.conservation,
    stock.one_effect,
    stock.effect_as_ordered,
    stock.release_undoes_own_hold,
    stock.no_oversell,
    stock.no_effect_without_request,
)
ORDERS: Sequence[Invariant] = (
    orders.settled_once,
    orders.ends_as_promised,
    orders.one_key_one_order,
    responses.acknowledged_is_durable,
    responses.denied_is_absent,
    responses.only_forward,
    responses.told_the_truth,
    replays.histories_replay,
    responses.answered_in_time,
    subscribers.subscribers_once,
    endpoints.well_again,
)


def stock_checks(observations: Observations) -> list[Check]:
    """Return every check about stock."""
    return [require_nonempty(each(observations)) for each in STOCK]


def order_checks(observations: Observations) -> list[Check]:
    """Return every check about orders and answers."""
    return [require_nonempty(each(observations)) for each in ORDERS]
