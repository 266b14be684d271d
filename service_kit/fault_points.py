"""Named places where a fault may be injected, and the little a service knows of them.

A service says "I am here, with this order". Whether something happens is decided elsewhere
(`chaos`), and only in a process that was started with fault injection on; in all others each
point is the no-op below.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from starlette.responses import Response

from service_kit.postgres.pool import Pool


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt, counted from 1, at one operation for one order."""

    order_id: UUID
    operation: str
    attempt: int = 1


class FaultPoints(Protocol):
    """The injector as the services see it."""

    def planned(self, point: str, call: Call) -> bool:
        """Tell whether `reach` would do anything, so that a costly set-up can be left out."""
        ...

    async def reach(self, point: str, call: Call) -> None:
        """Pass through `point`; may be slow, raise, or never return at all."""
        ...


class NoFaults:
    """What a process without fault injection gets."""

    def planned(self, point: str, call: Call) -> bool:
        """Nothing is ever planned."""
        return False

    async def reach(self, point: str, call: Call) -> None:
        """Nothing ever happens."""


# Gives the fault points of a process whose pool is open; the composition root supplies it.
Injector = Callable[[Pool], AbstractAsyncContextManager[FaultPoints]]


@asynccontextmanager
async def no_injector(_: Pool) -> AsyncIterator[FaultPoints]:
    """Inject nothing."""
    yield NoFaults()


class AnswerInstead(Exception):
    """Raised by a fault: send `response` in place of the true answer, or cut the connection."""

    def __init__(self, response: Response | None) -> None:
        super().__init__("fault injected")
        self.response = response
