"""Invariants of orders: each ends once (I4), one a key (I5), and as promised (I17b)."""

from collections import Counter
from collections.abc import Iterator

from activities.contracts import TERMINAL
from chaos.checker.check_result import Check, check
from chaos.checker.observations import Observations
from chaos.client.load import RESEND_TRY
from workflows.contracts import workflow_id

SETTLE_WITHIN_S = 60.0


def settled_once(observations: Observations) -> Check:
    """I4: every accepted order reaches one end within a minute of the heal, and stays there."""
    ends: Counter[str] = Counter()
    for event in observations.events:
        if event.type in TERMINAL:
            ends[str(event.order_id)] += 1

    def wrong() -> Iterator[str]:
        for row in observations.orders:
            if row.status not in TERMINAL:
                yield f"order {row.order_id} is still {row.status}"
            elif ends[str(row.order_id)] != 1:
                yield f"order {row.order_id} has {ends[str(row.order_id)]} ends in its timeline"
            before = observations.rest_before.get(row.order_id, row.status)
            if before in TERMINAL and before != row.status:
                yield f"order {row.order_id} was {before} and became {row.status}"
        yield from _workflows_that_did_not_end(observations)
        if observations.settled_within_s is None or observations.settled_within_s > SETTLE_WITHIN_S:
            yield f"not all orders had ended {SETTLE_WITHIN_S:.0f} s after the heal"

    return check(
        "I4",
        "Every accepted order ends, once, at the latest a minute after the heal",
        len(observations.orders) + len(observations.workflows),
        wrong(),
    )


def _workflows_that_did_not_end(observations: Observations) -> Iterator[str]:
    for flow in observations.workflows:
        if flow.workflow_id in observations.parked:
            if flow.state != "RUNNING" or not observations.parked[flow.workflow_id]:
                yield f"{flow.workflow_id} should wait and say why, but is {flow.state}"
        elif flow.state != "COMPLETED":
            yield f"{flow.workflow_id} is {flow.state}"


def ends_as_promised(observations: Observations) -> Check:
    """I17b: whatever hit it, an order ships, unless it was sold out or its shopper cancelled it."""
    leaving = {entry.order_id for entry in observations.history if entry.operation == "cancel"}

    def wrong() -> Iterator[str]:
        for order in observations.planned:
            if order.order_id not in observations.by_id:
                yield f"order {order.order_id} was never accepted, however often it was sent"
        for entry in observations.history:
            # A definite no is for who wants what is gone; all else is worth asking again.
            busy = entry.status == 429
            if entry.operation == "place" and entry.kind == "fail" and not (entry.state or busy):
                yield f"order {entry.order_id} was refused: {entry.status} {entry.told}"
        for row in observations.orders:
            state = observations.reservations.get(row.order_id)
            if row.status == "failed":
                yield f"order {row.order_id} failed ({row.reason}); nothing had refused it"
            if row.status == "rejected" and state != "refused":
                yield f"order {row.order_id} was rejected, but the warehouse has it {state}"
            if row.status == "cancelled" and str(row.order_id) not in leaving:
                yield f"order {row.order_id} was cancelled, nobody had asked for it"

    return check(
        "I17b",
        "Every order ends as promised: shipped, unless sold out or cancelled",
        len(observations.orders),
        wrong(),
    )


def one_key_one_order(observations: Observations) -> Check:
    """I5: one key of a customer is one order is one workflow."""
    keys = Counter((row.customer, row.key) for row in observations.orders)

    def wrong() -> Iterator[str]:
        for entry in observations.history:
            if entry.answered_id is not None and entry.answered_id != entry.order_id:
                yield f"order {entry.order_id}: an answer spoke of {entry.answered_id}"
            if entry.try_ == RESEND_TRY and entry.kind in ("fail", "info"):
                yield f"order {entry.order_id}: sent again long after its end, got {entry.status}"
        for (customer, key), times in keys.items():
            if times > 1:
                yield f"{customer} has {times} orders under the key {key}"
        yield from _wrong_executions(observations)

    return check(
        "I5",
        "One key is one order is one workflow",
        len(observations.orders) + len(observations.workflows),
        wrong(),
    )


def _wrong_executions(observations: Observations) -> Iterator[str]:
    executions = Counter(flow.workflow_id for flow in observations.workflows)
    for name, times in executions.items():
        if times > 1:
            yield f"{name} was executed {times} times"
    for row in observations.orders:
        known = executions[workflow_id(row.order_id)]
        if row.order_id in observations.forgotten:
            if known:
                yield f"order {row.order_id} had ended long ago, and was started again"
        elif not known:
            yield f"order {row.order_id} has no workflow"
