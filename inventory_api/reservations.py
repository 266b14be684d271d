"""What the saga may ask of the warehouse for an order."""

from typing import Protocol
from uuid import UUID

from inventory_api.contracts import Line
from inventory_api.verdicts import Verdict


class Reservations(Protocol):
    """Holds, ships and gives back; `Stock` does so in Postgres."""

    async def reserve(self, order_id: UUID, lines: tuple[Line, ...]) -> Verdict: ...

    async def commit(self, order_id: UUID) -> Verdict: ...

    async def release(self, order_id: UUID) -> Verdict: ...
