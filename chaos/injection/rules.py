"""Fault rules: which orders meet which fault, a pure function of rules, order and attempt.

Nothing here has state or does I/O. Every replica therefore decides alike, a restart changes
nothing, and the orders that will be hit can be named before the first one is sent.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Point = Literal[
    "inventory.on_request",
    "inventory.before_commit",
    "inventory.after_commit",
    "inventory.before_response",
    "worker.before_request",
    "worker.after_answer",
    "worker.before_record",
    "worker.after_record",
    "order.before_commit",
    "order.after_commit",
    "order.after_start",
]
Fault = Literal["delay", "crash", "error", "drop", "corrupt"]
Operation = Literal["reserve", "commit", "release", "record", "accept"]

MAX_DELAY_S = 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt, counted from 1, at one operation for one order."""

    order_id: UUID
    operation: str
    attempt: int = 1


# What a worker or the accept path sends is not HTTP, or not yet: nothing there to spoil.
_SPOILS_ANSWERS: frozenset[str] = frozenset({"drop", "corrupt"})


class FaultRule(BaseModel):
    """Do `fault` at `point` to a share of all orders, on certain attempts.

    `operations` empty means any. `attempts` are counted from 1 for each operation of an order.
    `share` 0.2 hits a fifth of the orders; which ones, `seed` decides.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    point: Point
    fault: Fault
    share: float = Field(1.0, gt=0, le=1)
    operations: tuple[Operation, ...] = ()
    attempts: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(default=(1,), min_length=1)
    delay_s: float = Field(0.0, ge=0, le=MAX_DELAY_S)
    seed: int = Field(0, ge=0, le=2**63 - 1)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.fault == "delay") != (self.delay_s > 0):
            raise ValueError("delay_s belongs to a delay, and a delay needs one")
        if self.fault in _SPOILS_ANSWERS and not self.point.startswith("inventory."):
            raise ValueError(f"{self.fault} needs an HTTP answer: use an inventory point")
        return self

    def hits(self, point: str, call: Call) -> bool:
        """Tell whether this rule fires for `call` at `point`."""
        return (
            point == self.point
            and call.attempt in self.attempts
            and (not self.operations or call.operation in self.operations)
            and draw(self.seed, self.name, call.order_id, point, call.attempt) < self.share
        )


def draw(seed: int, rule: str, order_id: UUID, point: str, attempt: int) -> float:
    """Return a number in [0, 1) that looks random and never changes.

    The attempt is part of it: an order that was unlucky once must not stay unlucky for ever.
    """
    text = f"{seed}\x1f{rule}\x1f{order_id}\x1f{point}\x1f{attempt}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


class Rule(Protocol):
    """What decides about calls: a fault rule, or another kind of attack with the same manners."""

    @property
    def name(self) -> str: ...

    @property
    def point(self) -> str: ...

    @property
    def attempts(self) -> tuple[int, ...]: ...

    def hits(self, point: str, call: Call) -> bool: ...


AnyRule = TypeVar("AnyRule", bound=Rule)
AnyOperation = TypeVar("AnyOperation", bound=str)


def decide(rules: Sequence[AnyRule], point: str, call: Call) -> AnyRule | None:
    """Return the rule that fires for `call` at `point`: the first by name, or None."""
    hitting = [rule for rule in rules if rule.hits(point, call)]
    return min(hitting, key=lambda rule: rule.name, default=None)


def predict(
    rules: Sequence[AnyRule], orders: Iterable[UUID], operations: Sequence[AnyOperation]
) -> list[tuple[UUID, AnyOperation, int, AnyRule]]:
    """Return each (order, operation, attempt, rule) that will fire if the attempt takes place."""
    points = sorted({rule.point for rule in rules})
    attempts = sorted({attempt for rule in rules for attempt in rule.attempts})
    return [
        (order_id, operation, attempt, rule)
        for order_id in orders
        for operation in operations
        for attempt in attempts
        for point in points
        if (rule := decide(rules, point, Call(order_id, operation, attempt))) is not None
    ]


GREMLIN = FaultRule(
    name="gremlin",
    point="inventory.before_response",
    fault="delay",
    share=0.2,
    operations=("reserve",),
    delay_s=5.0,
    seed=20,
)
"""The customer's gremlin: a fifth of the orders get their first answer five seconds late."""
