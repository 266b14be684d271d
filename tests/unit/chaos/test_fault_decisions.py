"""Which order meets which fault: the same answer everywhere, always, and known beforehand."""

import itertools
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from chaos.injection.rules import GREMLIN, Call, FaultRule, Operation, decide, draw, predict

ORDERS = [UUID(int=number * 0x9E3779B97F4A7C15) for number in range(1, 4001)]


def rule(**changes: object) -> FaultRule:
    given_by_default = {"name": "r", "point": "inventory.after_commit", "fault": "error"}
    return FaultRule.model_validate({**given_by_default, **changes})


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**63 - 1), st.uuids(), st.integers(1, 10))
def test_a_draw_is_a_share_and_the_same_each_time(seed: int, order: UUID, attempt: int) -> None:
    first = draw(seed, "r", order, "p", attempt)
    assert 0 <= first < 1
    assert draw(seed, "r", order, "p", attempt) == first


def test_a_draw_is_the_same_in_every_process_and_release() -> None:
    assert draw(7, "r", UUID(int=1), "inventory.after_commit", 2) == 0.4581820739318178


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 1.0])
def test_about_the_wanted_share_of_orders_is_hit(share: float) -> None:
    wanted = rule(share=share)
    hit = sum(wanted.hits("inventory.after_commit", Call(order, "reserve")) for order in ORDERS)
    # four standard deviations
    slack = 4 * (len(ORDERS) * share * (1 - share)) ** 0.5
    assert abs(hit - share * len(ORDERS)) <= slack


def test_no_order_is_unlucky_for_ever() -> None:
    wanted = rule(share=0.5, attempts=tuple(range(1, 51)))
    for order in ORDERS[:500]:
        attempts = [Call(order, "reserve", attempt) for attempt in range(1, 51)]
        assert not all(wanted.hits("inventory.after_commit", call) for call in attempts)


def test_another_seed_hits_other_orders() -> None:
    calls = [Call(order, "reserve") for order in ORDERS[:1000]]
    hits = [
        {
            call.order_id
            for call in calls
            if rule(share=0.2, seed=seed).hits("inventory.after_commit", call)
        }
        for seed in (1, 2)
    ]
    overlap = len(hits[0] & hits[1])
    assert 10 < overlap < 80  # a fifth of a fifth of a thousand


def test_a_rule_keeps_to_its_point_operations_and_attempts() -> None:
    wanted = rule(operations=("reserve",), attempts=(2,))
    order = ORDERS[0]
    found = [
        (point, operation, attempt)
        for point, operation, attempt in itertools.product(
            ("inventory.after_commit", "inventory.on_request"), ("reserve", "commit"), (1, 2, 3)
        )
        if wanted.hits(point, Call(order, operation, attempt))
    ]
    assert found == [("inventory.after_commit", "reserve", 2)]


def test_of_several_rules_the_first_by_name_fires_however_they_are_listed() -> None:
    rules = [rule(name="b"), rule(name="a"), rule(name="c")]
    call = Call(ORDERS[0], "reserve")
    for listed in itertools.permutations(rules):
        found = decide(listed, "inventory.after_commit", call)
        assert found is not None
        assert found.name == "a"


def test_what_was_predicted_is_what_is_decided() -> None:
    rules = [
        GREMLIN,
        rule(name="crash", fault="crash", share=0.3, attempts=(1, 2)),
        rule(name="early", point="inventory.on_request", share=0.4, operations=("commit",)),
    ]
    operations: tuple[Operation, ...] = ("reserve", "commit")
    predicted = {
        (order, operation, attempt, found.name)
        for order, operation, attempt, found in predict(rules, ORDERS[:300], operations)
    }
    decided = {
        (order, operation, attempt, found.name)
        for order in ORDERS[:300]
        for operation in operations
        for attempt in (1, 2, 3)
        for point in ("inventory.on_request", "inventory.after_commit", "inventory.before_response")
        if (found := decide(rules, point, Call(order, operation, attempt))) is not None
    }
    assert predicted == decided
    assert predicted


@pytest.mark.parametrize(
    "wrong",
    [
        {"share": 0},
        {"share": 1.01},
        {"share": float("nan")},
        {"fault": "delay"},
        {"fault": "error", "delay_s": 1},
        {"fault": "delay", "delay_s": 61},
        {"fault": "delay", "delay_s": -1},
        {"fault": "drop", "point": "worker.before_record"},
        {"fault": "explode"},
        {"point": "ui.anywhere"},
        {"attempts": ()},
        {"attempts": (0,)},
        {"name": "../x"},
        {"name": ""},
        {"seed": -1},
        {"seed": 2**63},
        {"surprise": 1},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        rule(**wrong)
