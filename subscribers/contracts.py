"""Interface of a subscriber: a reader of order events with an effect of its own.

Install a package with an entry point in the group `valerix.subscribers` that names such a class,
and it runs. It cannot slow down or break an order: it reads what was committed, from a process of
its own, at its own pace, and after an outage it goes on where it stopped.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from service_kit.postgres.pool import Connection

ENTRY_POINTS = "valerix.subscribers"


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """Something that has happened to an order; `seq` never repeats."""

    seq: int
    order_id: UUID
    customer: str
    type: str
    at: datetime
    detail: dict[str, Any]


class Subscriber(Protocol):
    """One subscriber. Its class takes no arguments; its name is that of its entry point."""

    async def prepare(self, connection: Connection) -> None:
        """Make the tables it writes to, if they are not there yet. Runs at every start."""
        ...

    async def handle(self, event: OrderEvent, connection: Connection) -> None:
        """Take one event. Leave out types that you do not know: later releases add some.

        What is written through `connection` commits together with the cursor, so each event has
        its effect exactly once. Effects elsewhere may be repeated after a crash and should use
        `event.seq` as their key. An exception, or taking too long, rolls back, and the event
        comes again after a pause, and with it those that would have shared its commit.
        """
        ...
