"""How fast orders were, and that neither refusals nor failures look fast."""

from dataclasses import replace

import pytest

from chaos.checker.latency import ALLOWED, ENOUGH, WARM_UP, compare_latencies
from chaos.client.history import Kind
from chaos.scenarios.workload import Crowd, plan
from tests.support.settled_facts import settled_facts

CALM = WARM_UP + ENOUGH
ORDERS = plan(3, CALM + ENOUGH, 10.0, Crowd())
BLOCKS = {order.number: "calm" if order.number < CALM else "attack" for order in ORDERS}


def test_orders_that_are_all_answered_alike_keep_their_pace() -> None:
    pace = compare_latencies(settled_facts(ORDERS), BLOCKS, (), enforced=True)
    assert pace.ratio == 1.0
    assert all(check.holds for check in pace.checks())


@pytest.mark.parametrize(("kind", "status"), [("info", 503), ("fail", 429), ("info", None)])
@pytest.mark.parametrize("answered_at_last", [True, False])
def test_an_order_refused_at_once_is_as_slow_as_its_shopper_waited(
    kind: Kind, status: int | None, answered_at_last: bool
) -> None:
    observations = settled_facts(ORDERS)
    history = []
    for entry in observations.history:
        if entry.number < CALM + ENOUGH // 2 or entry.kind == "invoke":
            history.append(entry)
            continue
        no = replace(entry, kind=kind, status=status, state=None, answered_id=None)
        history += [replace(no, since_intended=0.001), replace(no, since_intended=30.0)]
        if answered_at_last:
            history.append(replace(entry, since_intended=31.0))
    pace = compare_latencies(replace(observations, history=history), BLOCKS, (), enforced=True)
    assert pace.unaffected is not None
    assert pace.unaffected.count == ENOUGH
    assert pace.ratio is not None
    assert pace.ratio > ALLOWED
    assert not all(check.holds for check in pace.checks())
