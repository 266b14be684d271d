"""What is on sale and for how much: read from the database, remembered for a few seconds."""

import asyncio
import time
from collections.abc import Sequence

from inventory_api.contracts import Line
from order_api.contracts import MAX_TOTAL_MINOR, OrderLine, Product
from order_api.store import Store
from service_kit.problems import unprocessable

FRESH_S = 5.0


class Catalogue:
    """The price list. A new price is in force at the latest after `FRESH_S` seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._products: dict[str, Product] = {}
        self._read_at = -FRESH_S
        self._reading = asyncio.Lock()

    async def products(self) -> list[Product]:
        """Return everything on sale, by SKU."""
        await self._refresh()
        return list(self._products.values())

    async def price(self, lines: Sequence[Line]) -> tuple[tuple[OrderLine, ...], int, str]:
        """Return the lines with their prices, the total in minor units and its currency.

        Raises a 422 problem for a SKU that is not on sale, for currencies that do not mix, and for
        a total beyond MAX_TOTAL_MINOR.
        """
        if any(line.sku not in self._products for line in lines):
            await self._refresh(at_once=True)
        else:
            await self._refresh()
        unknown = [line.sku for line in lines if line.sku not in self._products]
        if unknown:
            raise unprocessable(f"Not in our catalogue: {', '.join(unknown)}.", skus=unknown)
        products = [self._products[line.sku] for line in lines]
        currencies = {product.currency for product in products}
        if len(currencies) > 1:
            raise unprocessable("The lines are priced in different currencies; order separately.")
        priced = tuple(
            OrderLine(
                sku=line.sku,
                quantity=line.quantity,
                unit_price_minor=product.unit_price_minor,
            )
            for line, product in zip(lines, products, strict=True)
        )
        total = sum(line.quantity * line.unit_price_minor for line in priced)
        if total > MAX_TOTAL_MINOR:
            raise unprocessable("The order costs more than one order can. Split it up.")
        return priced, total, currencies.pop()

    async def _refresh(self, *, at_once: bool = False) -> None:
        # unknown SKUs must not become a way of hammering the database
        oldest_s = FRESH_S / 10 if at_once else FRESH_S
        if self._age_s() < oldest_s:
            return
        # One reads for all who wait: a crowd would make each other late with the same question.
        async with self._reading:
            if self._age_s() < oldest_s:
                return
            self._products = {product.sku: product for product in await self._store.products()}
            self._read_at = time.monotonic()

    def _age_s(self) -> float:
        return time.monotonic() - self._read_at
