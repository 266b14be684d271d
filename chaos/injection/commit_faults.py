"""Faults between an effect and its COMMIT, in the very transaction that production would use.

Services write many orders with one statement, which commits by itself. A statement that carries
an order with a fault ahead gets an open transaction around it, and the fault strikes in there;
everything else stays as it is: the batch, its neighbours, the deadline, what is done about locks.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from chaos.injection.injector import Injector
from chaos.injection.rules import Call

if TYPE_CHECKING:  # generic for the type checker only
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection

# Returns the operation that a statement is about and the orders it carries, None if it has no
# effect on orders.
EffectOf = Callable[[str, tuple[Any, ...]], tuple[str, Collection[UUID]] | None]


@dataclass(slots=True, eq=False)
class _Ahead:
    """A call that meets its fault as soon as a statement carries it, and the error if it was one.

    A batch that failed is written again in halves: until its order stands alone, each try has to
    fail as the first one did, though a fault fires (and is written down) only once.
    """

    call: Call
    error: Exception | None = None


class CommitFaults:
    """Brings `point` to the statements of one kind of process."""

    def __init__(self, injector: Injector, point: str, effect_of: EffectOf) -> None:
        self._injector = injector
        self._point = point
        self._effect_of = effect_of
        self._ahead: list[_Ahead] = []

    @contextmanager
    def ahead_of(self, call: Call) -> Iterator[None]:
        """Have the fault of `call`, if there is one, strike while this block runs.

        A statement does not say which attempt it belongs to: if two at the same operation of one
        order are under way, the fault of either strikes in whichever is written first.
        """
        if not self._injector.planned(self._point, call):
            yield
            return
        ahead = _Ahead(call)
        self._ahead.append(ahead)
        try:
            yield
        finally:
            self._ahead.remove(ahead)

    async def strike(self, operation: str, orders: Collection[UUID]) -> None:
        """Let the faults that lie ahead of these orders happen; may raise, or never return."""
        for ahead in self._ahead_of(operation, orders):
            if ahead.error is not None:
                raise ahead.error
            try:
                await self._injector.reach(self._point, ahead.call)
            except Exception as error:
                ahead.error = error
                raise

    def extended(self, base: type[_Connection]) -> type[_Connection]:
        """Return connections whose statements meet these faults."""
        faults = self

        class FaultyConnection(base):  # type: ignore[misc, valid-type]  # known when the pool opens
            """Opens a transaction around a statement that a fault lies ahead of."""

            async def fetch(self, query: str, *arguments: Any, **options: Any) -> Any:
                """Fetch all rows, or meet the fault and write nothing."""
                effect = faults._effect_of(query, arguments)
                if effect is None or not faults._ahead_of(*effect):
                    return await super().fetch(query, *arguments, **options)
                transaction = self.transaction()
                await transaction.start()
                try:
                    rows = await super().fetch(query, *arguments, **options)
                    await faults.strike(*effect)
                except (asyncio.CancelledError, OSError):
                    # Out of time, as a rule: `within` ends this session. A ROLLBACK would wait for
                    # a server that may be silent, and nothing bounds it any more.
                    raise
                except BaseException:
                    if not self.is_closed():
                        await transaction.rollback()
                    raise
                await transaction.commit()
                return rows

        return FaultyConnection

    def _ahead_of(self, operation: str, orders: Collection[UUID]) -> list[_Ahead]:
        return [
            ahead
            for ahead in self._ahead
            if ahead.call.operation == operation and ahead.call.order_id in orders
        ]
