"""Network faults: what happens to a request on its way, decided by seed and order."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from chaos.injection.rules import Call, Operation, draw

Link = Literal["wire.inventory", "wire.order"]
NetworkFaultKind = Literal[
    "latency",  # the answer comes `seconds` late
    "reset",  # the request is served, the connection is reset instead of the answer
    "cut",  # half of the answer, then the end
    "trickle",  # the answer a byte at a time, one every `seconds`
    "black_hole",  # the request is swallowed, there is never an answer
    "duplicate",  # the request is delivered several times at once
    "hold",  # the request is delivered `seconds` late, whether somebody still waits or not
]
_TIMED: frozenset[str] = frozenset({"latency", "trickle", "hold"})


class NetworkFault(BaseModel):
    """Do `kind` to a share of all requests on a link; the manners of a `FaultRule`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    point: Link
    fault: NetworkFaultKind
    share: float = Field(1.0, gt=0, le=1)
    operations: tuple[Operation, ...] = ()
    attempts: tuple[int, ...] = (1,)
    seconds: float = Field(0.0, ge=0, le=60)
    seed: int = 0

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.fault in _TIMED) != (self.seconds > 0):
            raise ValueError("seconds belong to latency, trickle and hold, and these need some")
        return self

    def hits(self, point: str, call: Call) -> bool:
        """Tell whether this fault is for `call` on the link `point`."""
        return (
            point == self.point
            and call.attempt in self.attempts
            and (not self.operations or call.operation in self.operations)
            and draw(self.seed, self.name, call.order_id, point, call.attempt) < self.share
        )

    def copies(self, call: Call) -> int:
        """How many times a duplicated request is delivered: 2 to 10, by order."""
        return 2 + call.order_id.int % 9
