"""Records of a run's faults: who was to be hit, who was, and what was away for how long."""

from dataclasses import dataclass
from uuid import UUID

# Of a fault: the rule, and which attempt at which operation of which order it is for.
Identity = tuple[str, UUID, str, int]

# For those who find their connections dead once a process is back.
RECONNECTED_S = 0.5


@dataclass(frozen=True, slots=True)
class Fired:
    """Evidence of one injected fault, written before it fired."""

    rule: str
    order_id: UUID
    operation: str
    attempt: int
    point: str
    fault: str
    at: float

    @property
    def identity(self) -> Identity:
        """What may happen only once."""
        return self.rule, self.order_id, self.operation, self.attempt


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A span of time in which some process was gone, and why; it can cut off anybody's attempt."""

    begin: float
    end: float
    why: str

    def touches(self, begin: float, end: float) -> bool:
        """Tell whether some of it was between these moments."""
        return self.begin <= end and begin <= self.end
