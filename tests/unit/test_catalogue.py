"""The price list is read once for a crowd, not once for each of it."""

import asyncio
from typing import cast

from inventory_api.contracts import Line
from order_api.catalogue import Catalogue
from order_api.contracts import Product
from order_api.store import Store


class OneProduct:
    """Everything that a catalogue asks of the store; says how often it was asked."""

    def __init__(self) -> None:
        self.reads = 0

    async def products(self) -> list[Product]:
        self.reads += 1
        await asyncio.sleep(0)  # as a database would, it lets others run meanwhile
        return [
            Product(
                sku="MUG",
                name="Mug",
                description="",
                unit_price_minor=5,
                currency="EUR",
                image_url="/",
            )
        ]


async def test_a_crowd_that_comes_before_the_first_reading_causes_one() -> None:
    store = OneProduct()
    catalogue = Catalogue(cast("Store", store))
    lines = [Line(sku="MUG", quantity=2)]
    priced = await asyncio.gather(*(catalogue.price(lines) for _ in range(200)))
    assert {total for _, total, _ in priced} == {10}
    assert store.reads == 1
