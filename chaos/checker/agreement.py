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
            f"{_words(i)} fired, nobody had predicted it" for i in evidence - Counter(expected)
        ],
    )
    excuses = _Excuses(points, observations, disturbances, abstained)
    known: dict[UUID, list[Attempt]] = {}
    for identity in promised:
        if identity in evidence:
            continue
        _, order_id, operation, _ = identity
        if order_id not in known and operation != "accept":
            known[order_id] = await attempts_of(order_id)
        excuse = excuses.of(identity, known.get(order_id, []))
        if excuse is None:
            result.unexplained.append(f"{_words(identity)} was predicted and has not fired")
        else:
            result.excused[excuse] += 1
    return result


def _words(identity: Identity) -> str:
    rule, order_id, operation, attempt = identity
    return f"{rule} on attempt {attempt} to {operation} order {order_id}"


@dataclass(frozen=True, slots=True)
class _Excuses:
    """Why a fault need not have fired: what is known of the attempt that it was for."""

    points: Mapping[str, str]
    observations: Observations
    disturbances: Sequence[Disturbance]
    abstained: frozenset[tuple[str, UUID]]

    def of(self, identity: Identity, attempts: Sequence[Attempt]) -> str | None:
        """Return the excuse; `attempts` are all that the order's workflow made."""
        rule, order_id, operation, _ = identity
        if self.abstained & {(rule, order_id), (UNKNOWN, order_id)}:
            return "the injector could not write evidence, and held back"
        if self.points[rule] == "wire.order":
            return self._of_sending(identity)
        if order_id not in self.observations.by_id:
            return "the order was never accepted"
        if operation == "accept":
            return self._of_accepting(identity)
        return self._of_attempt(identity, attempts)

    def _of_attempt(self, identity: Identity, attempts: Sequence[Attempt]) -> str | None:
        rule, order_id, operation, number = identity
        hits = [
            fired
            for fired in self.observations.affected.get(order_id, ())
            if (fired.operation, fired.attempt) == (operation, number)
        ]
        if ended := [fired for fired in hits if fired.fault != "delay"]:
            return f"another fault ended the attempt: {ended[0].rule}"
        this = [each for each in attempts if (each.operation, each.number) == (operation, number)]
        if not this:
            return "the attempt was not needed" if attempts else None
        if any(attempt.failure is None for attempt in this):
            return None  # it went all the way and nothing happened to it
        if hits:
            return f"another fault made the attempt too late: {hits[0].rule}"
        busy = (order_id, operation, number) in self.observations.turned_away
        if busy and self.points[rule] in _AFTER_ITS_DATABASE:
            return "the warehouse was too busy for the attempt: 503"
        cut_off = (self._cut_off(attempt.since, attempt.at) for attempt in this)
        return next((excuse for excuse in cut_off if excuse), None)

    def _of_sending(self, identity: Identity) -> str | None:
        _, order_id, _, number = identity
        sent = [each for each in self.observations.answers_to(order_id) if each.try_ == number]
        if not sent:
            return "the attempt was not needed"
        # A client that found no room to connect in has never reached the proxy.
        return "the request was never sent" if sent[0].status is None else None

    def _of_accepting(self, identity: Identity) -> str | None:
        rule, order_id, _, _ = identity
        if self.points[rule] != "order.after_start":
            return None
        answers = self.observations.answers_to(order_id)
        # The only point on the way that an answer can pass by: for those who saw the workflow.
        if all(entry.status == 202 or entry.status is None for entry in answers):
            return "the answer was given without waiting for the workflow"
        first = answers[0]
        if first.kind == "info" or len(answers) > 1:
            return "the order had ended before its shopper got through"
        return self._cut_off(first.at - (first.seconds or 0.0), first.at)

    def _cut_off(self, begin: float, end: float) -> str | None:
        gone = (each.why for each in self.disturbances if each.touches(begin, end))
        return next((f"cut off on the way: {why}" for why in gone), None)
