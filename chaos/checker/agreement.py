"""Agreement (I17a): whom faults were predicted to hit, held against whom they have hit.

Who fired must have been predicted, always. Who was predicted must have fired, unless that very
attempt demonstrably never passed the place: it was not needed, another fault ended it before, or
a process was gone at that moment.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from chaos.checker.attempts import Attempt
from chaos.checker.check_result import Check, check
from chaos.checker.observations import Observations
from chaos.injection.injector import UNKNOWN
from chaos.scenarios.records import Disturbance, Identity

AttemptsOf = Callable[[UUID], Awaitable[list[Attempt]]]

# Where an attempt gets only if the warehouse's database has answered in time.
_AFTER_ITS_DATABASE = (
    "inventory.before_commit",
    "inventory.after_commit",
    "inventory.before_response",
)


@dataclass
class Agreement:
    """Predicted against fired. `excused` counts the attempts that never got there, by reason."""

    predicted: int = 0
    fired: int = 0
    agreed: int = 0
    excused: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    unpredicted: list[str] = field(default_factory=list)

    def as_check(self) -> Check:
        """Return it as one of the run's checks."""
        return check(
            "I17a",
            "Faults hit whom the seed said they would hit",
            self.predicted + self.fired,
            [*self.unpredicted, *self.unexplained],
        )


async def compare(
    promised: Sequence[Identity],
    points: Mapping[str, str],
    observations: Observations,
    attempts_of: AttemptsOf,
    disturbances: Sequence[Disturbance],
    abstained: frozenset[tuple[str, UUID]],
) -> Agreement:
    """Hold `promised` against the evidence.

    `points` says where each rule strikes. `abstained` are the (rule, order) of which an injector
    said that it could not write evidence and therefore did not fire; a rule `UNKNOWN` is any.
    """
    evidence = Counter(fired.identity for fired in observations.fired)
    expected = set(promised)
    result = Agreement(
        predicted=len(expected),
        fired=evidence.total(),
        agreed=len(expected & evidence.keys()),
        unpredicted=[
            f"{_words(i)} fired, nobody had predicted it" for i in evidence - _of(expected)
        ],
    )
    missing = [identity for identity in promised if identity not in evidence]
    known: dict[UUID, list[Attempt]] = {}
    for identity in missing:
        order_id = identity[1]
        if order_id not in known and identity[2] != "accept":
            known[order_id] = await attempts_of(order_id)
        if identity[2] == "accept":
            excuse = _excuse_accept(
                identity, points[identity[0]], observations, disturbances, abstained
            )
        else:
            excuse = _excuse(
                identity,
                points[identity[0]],
                known[order_id],
                observations,
                disturbances,
                abstained,
            )
        if excuse is None:
            result.unexplained.append(f"{_words(identity)} was predicted and has not fired")
        else:
            result.excused[excuse] += 1
    return result


def _of(identities: set[Identity]) -> Counter[Identity]:
    return Counter(dict.fromkeys(identities, 1))


def _words(identity: Identity) -> str:
    rule, order_id, operation, attempt = identity
    return f"{rule} on attempt {attempt} to {operation} order {order_id}"


def _excuse(
    identity: Identity,
    point: str,
    attempts: Sequence[Attempt],
    observations: Observations,
    disturbances: Sequence[Disturbance],
    abstained: frozenset[tuple[str, UUID]],
) -> str | None:
    rule, order_id, operation, number = identity
    if abstained & {(rule, order_id), (UNKNOWN, order_id)}:
        return "the injector could not write evidence, and held back"
    if order_id not in observations.by_id:
        return "the order was never accepted"
    hits = [
        fired
        for fired in observations.affected.get(order_id, ())
        if (fired.operation, fired.attempt) == (operation, number)
    ]
    if ended := [fired for fired in hits if fired.fault != "delay"]:
        return f"another fault ended the attempt: {ended[0].rule}"
    mine = [attempt for attempt in attempts if attempt.operation == operation]
    this = [attempt for attempt in mine if attempt.number == number]
    if not this:
        return "the attempt was not needed" if mine or attempts else None
    if any(attempt.failure is None for attempt in this):
        return None  # it went all the way and nothing happened to it
    if hits:
        return f"another fault made the attempt too late: {hits[0].rule}"
    if point in _AFTER_ITS_DATABASE and (order_id, operation, number) in observations.turned_away:
        return "the warehouse was too busy for the attempt: 503"
    for attempt in this:
        for gone in disturbances:
            if gone.begin <= attempt.at and attempt.since <= gone.end:
                return f"cut off on the way: {gone.why}"
    return None


def _excuse_accept(
    identity: Identity,
    point: str,
    observations: Observations,
    disturbances: Sequence[Disturbance],
    abstained: frozenset[tuple[str, UUID]],
) -> str | None:
    rule, order_id, _, number = identity
    if abstained & {(rule, order_id), (UNKNOWN, order_id)}:
        return "the injector could not write evidence, and held back"
    answers = [
        entry
        for entry in observations.entries_by_order.get(str(order_id), ())
        if entry.operation == "place" and entry.kind != "invoke"
    ]
    if point == "wire.order":
        sent = [entry for entry in answers if entry.try_ == number]
        if not sent:
            return "the attempt was not needed"
        # A client that found no room to connect in has never reached the proxy.
        return "the request was never sent" if sent[0].status is None else None
    if order_id not in observations.by_id:
        return "the order was never accepted"
    if point != "order.after_start":
        return None
    # The only point on the way that an answer can pass by: it is for those who saw the workflow.
    if all(entry.status == 202 or entry.status is None for entry in answers):
        return "the answer was given without waiting for the workflow"
    first = answers[0]
    if first.kind == "info" or len(answers) > 1:
        return "the order had ended before its shopper got through"
    begin = first.at - (first.seconds or 0.0)
    for gone in disturbances:
        if gone.begin <= first.at and begin <= gone.end:
            return f"cut off on the way: {gone.why}"
    return None
