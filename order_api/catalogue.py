"""Prices of products, read from the database by SKU and cached for a few seconds."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from inventory_api.contracts import Line
from order_api.contracts import MAX_TOTAL_MINOR, OrderLine
from order_api.db.store import Store
from service_kit.http.problems import unprocessable

MAX_AGE_S = 5.0


@dataclass(frozen=True, slots=True)
class _Price:
    """A unit price in minor units, as it was at `read_at` (monotonic seconds)."""

    minor: int
    currency: str
    read_at: float


class Catalogue:
    """The price list. A new price is in force at the latest after `MAX_AGE_S` seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._prices: dict[str, _Price] = {}
        self._wanted: set[str] = set()
        self._last_read: set[str] = set()
        self._last_read_at = -math.inf
        self._reading = asyncio.Lock()

    async def price(
        self, lines: Sequence[Line], *, at_once: bool = False
    ) -> tuple[tuple[OrderLine, ...], int, str]:
        """Return the lines with their prices, the total in minor units and its currency.

        `at_once` reads them anew. Raises a 422 problem for a SKU that is not on sale, for
        currencies that do not mix, and for a total beyond MAX_TOTAL_MINOR.
        """
        found = await self._look_up([line.sku for line in lines], at_once=at_once)
        unknown = [line.sku for line in lines if line.sku not in found]
        if unknown:
            raise unprocessable(f"Not in our catalogue: {', '.join(unknown)}.", skus=unknown)
        currencies = {price.currency for price in found.values()}
        if len(currencies) > 1:
            raise unprocessable("The lines are priced in different currencies; order separately.")
        priced = tuple(
            OrderLine(sku=line.sku, quantity=line.quantity, unit_price_minor=found[line.sku].minor)
            for line in lines
        )
        total = sum(line.quantity * line.unit_price_minor for line in priced)
        if total > MAX_TOTAL_MINOR:
            raise unprocessable("The order costs more than one order can. Split it up.")
        return priced, total, currencies.pop()

    async def _look_up(self, skus: Sequence[str], *, at_once: bool) -> dict[str, _Price]:
        """Return the prices of those of these SKUs that are on sale."""
        asked_at = time.monotonic()
        since = asked_at if at_once else asked_at - MAX_AGE_S
        stale = [sku for sku in skus if not self._is_known(sku, since)]
        if stale:
            # One reads for all who wait: a crowd would make each other late with the same question.
            self._wanted.update(stale)
            async with self._reading:
                if not all(self._is_known(sku, since, asked_at) for sku in stale):
                    await self._read(stale)
        return {sku: self._prices[sku] for sku in skus if sku in self._prices}

    def _is_known(self, sku: str, since: float, asked_at: float = math.inf) -> bool:
        """Tell whether the price was read after `since`, or found to be none after `asked_at`."""
        price = self._prices.get(sku)
        if price is None:
            return sku in self._last_read and self._last_read_at >= asked_at
        return price.read_at >= since

    async def _read(self, stale: Sequence[str]) -> None:
        """Read these, and what others wait for."""
        wanted = self._wanted.union(stale)
        self._wanted.clear()
        read_at = time.monotonic()
        found = await self._store.prices(sorted(wanted))
        self._last_read, self._last_read_at = wanted, read_at
        for sku in wanted:
            # what is not on sale is not remembered: nobody can fill the memory with it
            self._prices.pop(sku, None)
            if sku in found:
                self._prices[sku] = _Price(*found[sku], read_at)
