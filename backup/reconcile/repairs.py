"""Repairs: each rule carried out for the orders it was found for, by the services' own calls.

What was found is looked at afresh first, and left alone if it has come right meanwhile.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

from backup.reconcile.books import Books
from backup.reconcile.contracts import MAX_LISTED, ForPeople, OrderSide, Progress, Rule, StockSide
from backup.reconcile.rules import ADVICE, FOR_PEOPLE, REPAIRS, WORDS, judge
from backup.reconcile.survey import Survey
from backup.reconcile.warehouse import Warehouse
from inventory_api.contracts import Line

CONCURRENT_CALLS = 32
_GIVING_BACK = frozenset({Rule.RELEASE_UNORDERED, Rule.RELEASE_ENDED, Rule.RELEASE_CANCELLED})
Wanted = TypeVar("Wanted")
# These take pieces off the shelf that have not been held for the order.
_TAKING = frozenset({Rule.SHIP_UNKNOWN, Rule.HOLD_OPEN, Rule.REFUSE_REJECTED})


class Repairs:
    """One round over what a survey has found. `done` counts the repaired orders by rule.

    With `dry_run`, `done` counts those that would be, and nothing is changed; `people` are the
    orders for a person, up to a limit, and `people_count` is how many there are. `decided` are
    those about which people have decided, with the reason.
    """

    def __init__(
        self,
        books: Books,
        warehouse: Warehouse,
        progress: Progress,
        *,
        dry_run: bool,
        decided: frozenset[tuple[UUID, Rule]] = frozenset(),
    ) -> None:
        self.done: Counter[Rule] = Counter()
        self.people: list[ForPeople] = []
        self.people_count = 0
        self.decided_count = 0
        self._decided = decided
        self._books = books
        self._warehouse = warehouse
        self._progress = progress
        self._dry_run = dry_run
        self._calls = asyncio.Semaphore(CONCURRENT_CALLS)
        # Of a dry run, which really moves nothing: what would be free by now.
        self._free: dict[str, int] = {}
        self._given_back: Counter[str] = Counter()

    async def go(self, survey: Survey) -> None:
        """Apply every rule, in its turn; an order is looked at again before it is touched."""
        for rule in REPAIRS:
            for ids in survey.batches(rule):
                await self._batch(rule, ids)
            if self.done[rule]:
                would = "would be: " if self._dry_run else ""
                self._progress(f"{would}{self.done[rule]:,} × {WORDS[rule]}")
        for rule in FOR_PEOPLE:
            for ids in survey.batches(rule):
                for order, stock in await self._books.pairs(ids):
                    if judge(order, stock) is rule:
                        self._tell(rule, order, stock)

    async def _batch(self, rule: Rule, ids: Sequence[UUID]) -> None:
        pairs = [pair for pair in await self._books.pairs(ids) if judge(*pair) is rule]
        if rule in _TAKING:
            await self._take(rule, [order for order, _ in pairs if order is not None])
        elif self._dry_run:
            self.done[rule] += len(pairs)
            if rule in _GIVING_BACK:
                for _, stock in pairs:
                    assert stock is not None  # it is held
                    self._given_back.update({line.sku: line.quantity for line in stock.lines})
        elif rule is Rule.CANCEL_OPEN:
            for order, _ in pairs:
                assert order is not None  # the rule is about an open order
                self.done[rule] += await self._books.request_cancel(order.order_id)
        else:
            ids = [_id(order, stock) for order, stock in pairs]
            if rule is Rule.SHIP_HELD:
                await self._each(rule, "committed", self._warehouse.commit, ids)
            else:
                await self._each(rule, "released", self._warehouse.release, ids)

    async def _take(self, rule: Rule, orders: Sequence[OrderSide]) -> None:
        """Reserve for those for whom there is enough on the shelf.

        A refusal is for good, whatever is delivered later. So it is not provoked where a person, or
        the order's own workflow, can still do better; a rejected order is to get it back.
        """
        enough, short = await self._affordable(orders, taking=rule is not Rule.REFUSE_REJECTED)
        if rule is Rule.REFUSE_REJECTED:
            if self._dry_run:
                self.done[rule] += len(orders)
                return
            bar = self._warehouse.release
            await self._each(rule, "released", bar, [order.order_id for order in enough])
            await self._each(rule, "refused", self._refuse, short)
            return
        if rule is Rule.SHIP_UNKNOWN:
            for order in short:
                self._tell(Rule.NOT_IN_STOCK, order, None)
        if self._dry_run:
            self.done[rule] += len(enough)
        elif rule is Rule.SHIP_UNKNOWN:
            await self._each(rule, "committed", self._ship, enough)
        else:
            await self._each(rule, "held", self._hold, enough)

    async def _affordable(
        self, orders: Sequence[OrderSide], *, taking: bool
    ) -> tuple[list[OrderSide], list[OrderSide]]:
        """Return those whose lines are all on the shelf, and the rest.

        If it is for `taking`, each comes after those before it.
        """
        skus = {line.sku for order in orders for line in order.lines}
        known = self._free if self._dry_run else {}
        if missing := skus - known.keys():
            kept = await self._books.free(missing)
            known.update({sku: kept.get(sku, 0) + self._given_back[sku] for sku in missing})
        enough: list[OrderSide] = []
        short: list[OrderSide] = []
        for order in orders:
            if order.lines and all(known[line.sku] >= line.quantity for line in order.lines):
                for line in order.lines if taking else ():
                    known[line.sku] -= line.quantity
                enough.append(order)
            else:
                short.append(order)
        return enough, short

    async def _hold(self, order: OrderSide) -> str:
        return await self._warehouse.reserve(order.order_id, order.lines)

    async def _ship(self, order: OrderSide) -> str:
        held = await self._hold(order)
        return await self._warehouse.commit(order.order_id) if held == "held" else held

    async def _refuse(self, order: OrderSide) -> str:
        """Have a rejected order refused again; if pieces have come just now, bar it instead."""
        if order.lines and await self._hold(order) == "out-of-stock":
            return "refused"
        barred = await self._warehouse.release(order.order_id)
        return "refused" if barred == "released" else barred

    async def _each(
        self,
        rule: Rule,
        wanted: str,
        call: Callable[[Wanted], Awaitable[str]],
        items: Sequence[Wanted],
    ) -> None:
        """Make the calls side by side; what answers otherwise is left to the next look."""

        async def one(item: Wanted) -> None:
            async with self._calls:
                answer = await call(item)
            self.done[rule] += answer == wanted  # on its own: others count meanwhile

        try:
            async with asyncio.TaskGroup() as group:
                for item in items:
                    group.create_task(one(item))
        except BaseExceptionGroup as trouble:
            raise trouble.exceptions[0] from None

    def _tell(self, rule: Rule, order: OrderSide | None, stock: StockSide | None) -> None:
        """Put an order on the list for people, unless they have decided about it."""
        if (_id(order, stock), rule) in self._decided:
            self.decided_count += 1
            return
        self.people_count += 1
        if len(self.people) == MAX_LISTED:
            return
        lines: tuple[Line, ...] = ()
        for side in (stock, order):
            lines = lines or (() if side is None else side.lines)
        if stock is not None:
            at = stock.updated_at
        else:
            assert order is not None  # a pair has at least one side
            at = order.created_at
        self.people.append(
            ForPeople(
                order_id=_id(order, stock),
                rule=rule,
                what=WORDS[rule],
                advice=ADVICE[rule],
                status=None if order is None else order.status,
                state=None if stock is None else stock.state,
                lines=lines,
                at=at,
            )
        )


def _id(order: OrderSide | None, stock: StockSide | None) -> UUID:
    side = order or stock
    assert side is not None  # a pair has at least one side
    return side.order_id
