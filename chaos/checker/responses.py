"""Invariants of what shoppers are told: true, lasting, in time (I6, I6b, I10, I10b, I14)."""

import itertools
from collections.abc import Iterator

from activities.contracts import OPEN, TERMINAL
from chaos.checker.check_result import Check, check
from chaos.checker.observations import Observations
from chaos.client.history import Entry
from chaos.client.scheduling_stalls import ByTime, stalled_s
from workflows.contracts import workflow_id

ANSWER_GRACE_S = 0.2
_RANK = {"received": 0, "reserved": 1}


def acknowledged_is_durable(observations: Observations) -> Check:
    """I6: what was acknowledged exists."""
    acknowledged = {
        entry.order_id
        for entry in observations.history
        if entry.operation == "place" and (entry.kind == "ok" or entry.state in TERMINAL)
    }
    known = {str(order_id) for order_id in observations.by_id}
    lost = sorted(acknowledged - known)
    return check(
        "I6",
        "What was acknowledged is stored",
        len(acknowledged),
        (f"order {order_id} was acknowledged and is gone" for order_id in lost),
    )


def denied_is_absent(observations: Observations) -> Check:
    """I6b: an order of which a shopper was told that it is not stored had not been stored.

    Wrong is what was there before the request was even sent. Most runs make no database say no.
    Other refusals speak of their own request and not of an earlier one under the same key.
    """

    def wrong() -> Iterator[str]:
        stored_at = {str(row.order_id): row.created_at.timestamp() for row in observations.orders}
        for entry in observations.history:
            if entry.problem != "not-stored" or entry.order_id not in stored_at:
                continue
            if stored_at[entry.order_id] < entry.at - (entry.seconds or 0.0):
                yield f"order {entry.order_id}: told {entry.problem}, and it was there before"

    return check(
        "I6b", "What shoppers are told is not stored is not", len(observations.orders), wrong()
    )


def only_forward(observations: Observations) -> Check:
    """I10: the status a client sees only moves forward; API, workflow and row agree at rest."""
    looks = 0

    def wrong() -> Iterator[str]:
        nonlocal looks
        for order_id, entries in observations.entries_by_order.items():
            answers = [entry for entry in entries if entry.kind != "invoke" and entry.state]
            looks += len(answers)
            known = [entry for entry in answers if entry.state in OPEN | TERMINAL]
            for earlier, later in dict.fromkeys([*_in_turn(answers), *_in_turn(known)]):
                if _goes_back(earlier, later):
                    yield f"order {order_id} was seen {earlier.state}, then {later.state}"
        for row in observations.orders:
            found = {
                "row": row.status,
                "api": observations.api_statuses.get(row.order_id, row.status),
                "workflow": observations.results.get(row.order_id, row.status),
            }
            if len(set(found.values())) != 1:
                yield f"order {row.order_id}: {found}"
        statuses = {workflow_id(row.order_id): row.status for row in observations.orders}
        for flow in observations.workflows:
            row_status = statuses.get(flow.workflow_id)
            if row_status and flow.order_status and flow.order_status != row_status:
                yield f"{flow.workflow_id}: listed as {flow.order_status}, its row {row_status}"

    violations = list(wrong())
    return check(
        "I10",
        "The status only moves forward, and all agree on it in the end",
        looks + len(observations.orders),
        violations,
    )


def told_the_truth(observations: Observations) -> Check:
    """I10b: whatever a shopper was told of an order's end is how it ended."""
    told = [entry for entry in observations.history if entry.state in TERMINAL]

    def wrong() -> Iterator[str]:
        by_id = {str(order_id): row.status for order_id, row in observations.by_id.items()}
        for entry in told:
            became = by_id.get(entry.order_id, "nothing")
            if entry.state != became:
                yield f"order {entry.order_id}: told {entry.state}, became {became}"

    return check("I10b", "What shoppers are told of an end is the end", len(told), wrong())


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
        if entry.ends_placing
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


def _goes_back(earlier: Entry, later: Entry) -> bool:
    """Tell whether what was seen later cannot follow what was seen earlier.

    Where a status of a later release stands among the others, this one cannot say; only that
    nothing follows an end.
    """
    if earlier.state in TERMINAL:
        return later.state != earlier.state
    return later.state in OPEN and _RANK[later.state] < _RANK.get(earlier.state or "", 0)


def _in_turn(answers: list[Entry]) -> Iterator[tuple[Entry, Entry]]:
    """Return pairs of answers of which the second was asked for after the first had come."""
    in_order = sorted(answers, key=lambda entry: entry.at)
    for earlier, later in itertools.pairwise(in_order):
        if later.at - (later.seconds or 0.0) >= earlier.at:
            yield earlier, later


def _limit_s(observations: Observations) -> float:
    return observations.budget_s + ANSWER_GRACE_S
