"""The checker on made-up truths: it is content with a good one and names what is wrong in a bad."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from chaos.checker.check_result import all_hold
from chaos.checker.invariants import order_checks, stock_checks
from chaos.checker.observations import (
    EndpointAnswer,
    Movement,
    Observations,
    OrderEvent,
    Replay,
    Snapshot,
    WorkflowRow,
)
from chaos.client.load import RESEND_TRY
from chaos.client.scheduling_stalls import ByTime, Stall, stalled_s
from chaos.scenarios.workload import Crowd, plan
from tests.support.settled_facts import NOW, settled_facts

ORDERS = plan(3, 40, 10.0, Crowd())
FIRST = ORDERS[0].order_id


def observations() -> Observations:
    return settled_facts(ORDERS)


def broken(truth: Observations) -> set[str]:
    return {check.name for check in (*stock_checks(truth), *order_checks(truth)) if not check.holds}


def test_a_good_truth_breaks_nothing_and_every_check_has_looked_at_something() -> None:
    checks = (*stock_checks(observations()), *order_checks(observations()))
    assert all_hold(checks)
    assert all(check.checked > 0 for check in checks)


def _commit_again(truth: Observations) -> None:
    last = next(m for m in truth.movements if m.order_id == FIRST and m.operation == "commit")
    truth.movements.append(replace(last, number=len(truth.movements)))


def _commit_less(truth: Observations) -> None:
    truth.movements = [
        replace(m, quantity=m.quantity + 1)
        if m.order_id == FIRST and m.operation == "commit"
        else m
        for m in truth.movements
    ]


def _level_off(truth: Observations) -> None:
    truth.shelves[0] = replace(truth.shelves[0], on_hand=truth.shelves[0].on_hand - 1)


def _level_off_for_a_while(truth: Observations) -> None:
    truth.snapshots.append(Snapshot(1.0, "MUG-BLUE", 5, 1, 5, 2))


def _still_open(truth: Observations) -> None:
    truth.orders[0] = replace(truth.orders[0], status="reserved")


def _two_ends(truth: Observations) -> None:
    truth.events.append(OrderEvent(9_999, FIRST, "cancelled", NOW))


def _left_its_end(truth: Observations) -> None:
    truth.rest_before = {FIRST: "rejected"}


def _told_wrong(truth: Observations) -> None:
    truth.history[1] = replace(truth.history[1], status=409, kind="fail", state="rejected")


def _denied(truth: Observations) -> None:
    """The second sending of an order that was there before it."""
    long_after = NOW.timestamp() + 60.0
    truth.history.append(
        replace(truth.history[1], at=long_after, status=503, kind="info", state=None,
                try_=2, problem="not-stored")
    )  # fmt: skip


def _told_of_nothing(truth: Observations) -> None:
    truth.orders = [row for row in truth.orders if row.order_id != FIRST]


def _never_accepted(truth: Observations) -> None:
    _told_of_nothing(truth)
    truth.history[1] = replace(truth.history[1], status=503, kind="info", state=None)


def _turned_away(truth: Observations) -> None:
    truth.history.append(replace(truth.history[1], kind="fail", status=401, state=None))


def _release_that_did_nothing(truth: Observations) -> None:
    truth.releases, truth.packed_by = 2, frozenset({1})


def _temporal_lists_nothing(truth: Observations) -> None:
    truth.workflows = []


def _nobody_looked(truth: Observations) -> None:
    truth.endpoint_answers = []


def _silence(truth: Observations) -> None:
    truth.history[1] = replace(truth.history[1], kind="info", status=None, seconds=5.0)


def _unparked(truth: Observations) -> None:
    truth.parked = {"order-poison": "cannot be read"}
    truth.workflows.append(WorkflowRow("order-poison", "r", "COMPLETED", None))


def _parked_in_silence(truth: Observations) -> None:
    truth.parked = {"order-poison": None}
    truth.workflows.append(WorkflowRow("order-poison", "r", "RUNNING", None))


def _started_again(truth: Observations) -> None:
    truth.forgotten = frozenset({FIRST})  # and yet Temporal lists a workflow of it


def _refused_long_after(truth: Observations) -> None:
    truth.history.append(replace(truth.history[1], kind="info", status=503, try_=RESEND_TRY))


def _too_late(truth: Observations) -> None:
    truth.settled_within_s = 61.0


def _second_workflow(truth: Observations) -> None:
    truth.workflows.append(WorkflowRow(f"order-{FIRST}", "other", "COMPLETED", "shipped"))


def _other_id(truth: Observations) -> None:
    truth.history[1] = replace(truth.history[1], answered_id=str(ORDERS[1].order_id))


def _lost(truth: Observations) -> None:
    truth.orders.pop(0)


def _late_hold(truth: Observations) -> None:
    truth.movements.append(Movement(10_000, FIRST, "MUG-BLUE", "release", 5))


def _hold_left(truth: Observations) -> None:
    truth.reservations[FIRST] = "released"
    truth.movements = [
        m for m in truth.movements if not (m.order_id == FIRST and m.operation == "commit")
    ]


def _oversold(truth: Observations) -> None:
    truth.movements = [
        replace(m, quantity=1) if m.operation == "initial" else m for m in truth.movements
    ]


def _backwards(truth: Observations) -> None:
    truth.history.append(
        replace(truth.history[1], at=99.0, state="received", operation="look", seconds=0.01)
    )


def _disagreeing(truth: Observations) -> None:
    truth.results[FIRST] = "cancelled"


def _nobody_asked(truth: Observations) -> None:
    truth.history = [entry for entry in truth.history if entry.order_id != str(FIRST)]


def _does_not_replay(truth: Observations) -> None:
    truth.replays.append(Replay("order-2", "nondeterminism"))


def _slow_answer(truth: Observations) -> None:
    truth.history[1] = replace(truth.history[1], seconds=2.3)


def _rude_error(truth: Observations) -> None:
    truth.history.append(
        replace(truth.history[1], kind="info", status=500, state=None, advised=False)
    )


def _message_twice(truth: Observations) -> None:
    truth.notifications[truth.events[0].seq] = 2


def _message_missing(truth: Observations) -> None:
    del truth.notifications[truth.events[0].seq]


def _not_well(truth: Observations) -> None:
    truth.endpoint_answers.append(EndpointAnswer("GET /health", 503))


@pytest.mark.parametrize(
    ("spoil", "invariant"),
    [
        (_level_off, "I1"),
        (_level_off_for_a_while, "I1"),
        (_commit_again, "I2"),
        (_commit_less, "I3"),
        (_still_open, "I4"),
        (_two_ends, "I4"),
        (_left_its_end, "I4"),
        (_too_late, "I4"),
        (_second_workflow, "I5"),
        (_other_id, "I5"),
        (_lost, "I6"),
        (_late_hold, "I7"),
        (_hold_left, "I7"),
        (_oversold, "I8"),
        (_backwards, "I10"),
        (_disagreeing, "I10"),
        (_nobody_asked, "I12"),
        (_does_not_replay, "I13"),
        (_release_that_did_nothing, "I13"),
        (_slow_answer, "I14"),
        (_silence, "I14"),
        (_told_wrong, "I10b"),
        (_denied, "I6b"),
        (_told_of_nothing, "I10b"),
        (_never_accepted, "I17b"),
        (_turned_away, "I17b"),
        (_temporal_lists_nothing, "I5"),
        (_nobody_looked, "I20"),
        (_unparked, "I4"),
        (_parked_in_silence, "I4"),
        (_started_again, "I5"),
        (_refused_long_after, "I5"),
        (_rude_error, "I14"),
        (_message_twice, "I16"),
        (_message_missing, "I16"),
        (_not_well, "I20"),
    ],
)
def test_each_kind_of_wrong_is_found_by_the_invariant_it_breaks(
    spoil: Callable[[Observations], None], invariant: str
) -> None:
    truth = observations()
    spoil(truth)
    assert invariant in broken(truth)


def test_an_answer_that_was_late_because_the_client_stood_still_is_not_blamed() -> None:
    truth = observations()
    _slow_answer(truth)
    at = truth.history[1].at
    truth.stalls = [("client", at - 0.5, at - 0.3, 0.2)]
    assert "I14" not in broken(truth)


def test_a_moment_in_which_two_stood_still_is_excused_once() -> None:
    truth = observations()
    truth.history[1] = replace(truth.history[1], seconds=4.0)
    at = truth.history[1].at
    truth.stalls = [("client", at - 2.0, at, 1.0), ("server", at - 2.0, at, 1.0)]
    assert "I14" in broken(truth)
    truth.stalls = [("client", at - 4.0, at - 2.0, 1.0), ("server", at - 2.0, at, 1.0)]
    assert "I14" not in broken(truth)


def test_what_is_parked_or_forgotten_as_planned_breaks_nothing() -> None:
    truth = observations()
    truth.parked = {"order-poison": "its input cannot be read"}
    truth.workflows = [
        *(flow for flow in truth.workflows if flow.workflow_id != f"order-{FIRST}"),
        WorkflowRow("order-poison", "r", "RUNNING", None),
    ]
    truth.forgotten = frozenset({FIRST})
    assert not broken(truth)


def test_a_system_that_cannot_be_asked_keeps_no_promise() -> None:
    truth = observations()
    unread = Observations.unread(truth.planned, truth.history)
    held = {each.name for each in (*stock_checks(unread), *order_checks(unread)) if each.holds}
    assert held == {"I10", "I14"}, "which are about what clients have seen"


@pytest.mark.parametrize(("begin", "end"), [(0.0, 2.0), (2.9, 3.1), (3.5, 8.0), (8.5, 9.0)])
def test_of_many_stalls_those_that_touch_an_answer_are_found(begin: float, end: float) -> None:
    stalls: list[Stall] = [("client", 1.0, 1.1, 0.1), ("server", 2.0, 8.5, 3.0)]
    near = ByTime(stalls).between(begin, end)
    assert stalled_s(near, begin, end) == stalled_s(stalls, begin, end)
