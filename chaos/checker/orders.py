"""The promises to shoppers (I4, I5, I13, I14, I16, I20), and all checks of orders in one list."""

from collections import Counter
from collections.abc import Iterator

from activities.contracts import TERMINAL
from chaos.checker.check_result import Check, check, require_nonempty
from chaos.checker.collect import TOLD_SHOPPERS
from chaos.checker.observations import Observations
from chaos.checker.told import (
    acknowledged_is_durable,
    denied_is_absent,
    only_forward,
    told_the_truth,
)
from chaos.client.history import Entry
from chaos.client.scheduling_stalls import ByTime, stalled_s
from chaos.nemesis.history_retention import RESEND_TRY

SETTLE_WITHIN_S = 60.0
ANSWER_GRACE_S = 0.2


def order_checks(observations: Observations) -> list[Check]:
    """Return every check about orders and answers."""
    checks = (
        settled_once(observations),
        ends_as_promised(observations),
        one_key_one_order(observations),
        acknowledged_is_durable(observations),
        denied_is_absent(observations),
        only_forward(observations),
        told_the_truth(observations),
        histories_replay(observations),
        answered_in_time(observations),
        add_ons_once(observations),
        well_again(observations),
    )
    return [require_nonempty(each) for each in checks]


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
        for flow in observations.workflows:
            if flow.workflow_id in observations.parked:
                if flow.state != "RUNNING" or not observations.parked[flow.workflow_id]:
                    yield f"{flow.workflow_id} should wait and say why, but is {flow.state}"
            elif flow.state != "COMPLETED":
                yield f"{flow.workflow_id} is {flow.state}"
        if observations.settled_within_s is None or observations.settled_within_s > SETTLE_WITHIN_S:
            yield f"not all orders had ended {SETTLE_WITHIN_S:.0f} s after the heal"

    return check(
        "I4",
        "Every accepted order ends, once, at the latest a minute after the heal",
        len(observations.orders) + len(observations.workflows),
        wrong(),
    )


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
    executions = Counter(flow.workflow_id for flow in observations.workflows)
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
        for workflow_id, times in executions.items():
            if times > 1:
                yield f"{workflow_id} was executed {times} times"
        for row in observations.orders:
            known = executions[f"order-{row.order_id}"]
            if row.order_id in observations.forgotten:
                if known:
                    yield f"order {row.order_id} had ended long ago, and was started again"
            elif not known:
                yield f"order {row.order_id} has no workflow"

    return check(
        "I5",
        "One key is one order is one workflow",
        len(observations.orders) + len(observations.workflows),
        wrong(),
    )


def histories_replay(observations: Observations) -> Check:
    """I13: the workflow code of the end agrees with every history tried, and each release ran."""
    idle = set(range(1, observations.releases + 1)) - observations.packed_by
    wrong = [f"{r.workflow_id}: {r.failure}" for r in observations.replays if r.failure is not None]
    wrong += [f"release {number} has packed no order" for number in sorted(idle)]
    return check("I13", "Stored histories replay", len(observations.replays), wrong)


def _limit_s(observations: Observations) -> float:
    return observations.budget_s + ANSWER_GRACE_S


def answers_to_judge(observations: Observations) -> list[Entry]:
    """Return the answers to orders whose time is the service's own, and the waits for none."""
    limit = _limit_s(observations)
    slowed = {
        (str(fired.order_id), fired.attempt)
        for fired in observations.fired
        if fired.point == "wire.order"
    }
    return [
        entry
        for entry in observations.history
        if entry.kind != "invoke"
        and entry.operation == "place"
        # A connection that breaks at once is a fault's doing; silence is not.
        and (entry.status is not None or (entry.seconds or 0.0) > limit)
        # What the network did on the way to the shopper is not the service's answer time.
        and (entry.order_id, entry.try_) not in slowed
    ]


def late_by_the_clock(observations: Observations) -> list[float]:
    """Return the seconds of answers after the limit, before anything is discounted."""
    limit = _limit_s(observations)
    return [e.seconds for e in answers_to_judge(observations) if e.seconds and e.seconds > limit]


def answered_in_time(observations: Observations) -> Check:
    """I14: no answer later than budget + 200 ms; every error says what to do."""
    answers = answers_to_judge(observations)
    limit = _limit_s(observations)
    stalls = ByTime(observations.stalls)

    def wrong() -> Iterator[str]:
        for entry in answers:
            seconds = entry.seconds or 0.0
            if seconds <= limit:
                continue
            span = (entry.at - seconds, entry.at)
            if seconds - stalled_s(stalls.between(*span), *span) > limit:
                what = f"{entry.status} came" if entry.status else "nothing had come"
                yield f"order {entry.order_id}: {what} after {seconds:.2f} s"
        for entry in observations.history:
            if not entry.advised:
                yield f"order {entry.order_id}: {entry.status} without a problem document"

    return check(
        "I14",
        f"No answer later than {limit:.1f} s, no error without advice",
        len(answers),
        wrong(),
    )


def add_ons_once(observations: Observations) -> Check:
    """I16: the notifications subscriber has taken each event that concerns it once."""
    due = {event.seq for event in observations.events if event.type in TOLD_SHOPPERS}

    def wrong() -> Iterator[str]:
        for seq in sorted(due - observations.notifications.keys()):
            yield f"event {seq} was never turned into a message"
        for seq, times in observations.notifications.items():
            if times > 1 or seq not in due:
                yield f"event {seq} has {times} messages"

    return check("I16", "Subscribers take each event once", len(due), wrong())


def well_again(observations: Observations) -> Check:
    """I20: the last answers of every endpoint after the heal are good."""
    return check(
        "I20",
        "Every endpoint answers well after the heal",
        len(observations.endpoint_answers),
        (
            f"{probe.endpoint} answered {probe.status}"
            for probe in observations.endpoint_answers
            if not probe.is_good
        ),
    )
