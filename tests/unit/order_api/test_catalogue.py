"""Prices are read once for a crowd, not once for each of it, and by SKU."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from inventory_api.contracts import MAX_QUANTITY, Line
from order_api.catalogue import Catalogue
from order_api.contracts import MAX_TOTAL_MINOR
from order_api.db.store import Store
from service_kit.http.problems import Problem


class Prices:
    """Everything that a catalogue asks of the store; keeps what it was asked for."""

    def __init__(self) -> None:
        self.reads: list[list[str]] = []
        self.minor = {f"MUG-{n}": 5 for n in range(100)}
        self.currencies: dict[str, str] = {}  # of what is not priced in euros
        self.away = False

    async def prices(self, skus: Sequence[str]) -> dict[str, tuple[int, str]]:
        self.reads.append(list(skus))
        await asyncio.sleep(0)  # as a database would, it lets others run meanwhile
        if self.away:
            raise TimeoutError
        return {
            sku: (self.minor[sku], self.currencies.get(sku, "EUR"))
            for sku in skus
            if sku in self.minor
        }


def catalogue(store: Prices) -> Catalogue:
    return Catalogue(cast("Store", store))


async def test_a_crowd_that_comes_before_the_first_reading_causes_one() -> None:
    store = Prices()
    prices = catalogue(store)
    lines = [Line(sku="MUG-1", quantity=2)]
    priced = await asyncio.gather(*(prices.price(lines) for _ in range(200)))
    assert {total for _, total, _ in priced} == {10}
    assert store.reads == [["MUG-1"]]


async def test_a_crowd_with_different_wishes_causes_two_readings_at_most() -> None:
    store = Prices()
    prices = catalogue(store)
    await asyncio.gather(*(prices.price([Line(sku=sku, quantity=1)]) for sku in store.minor))
    assert sorted(sku for read in store.reads for sku in read) == sorted(store.minor)
    assert len(store.reads) <= 2
    await asyncio.gather(*(prices.price([Line(sku=sku, quantity=1)]) for sku in store.minor))
    assert len(store.reads) <= 2  # and they are remembered


async def test_a_price_that_is_asked_for_at_once_is_read_anew() -> None:
    store = Prices()
    prices = catalogue(store)
    lines = [Line(sku="MUG-1", quantity=1)]
    await prices.price(lines)
    store.minor["MUG-1"] = 7
    assert (await prices.price(lines))[1] == 5
    assert (await prices.price(lines, at_once=True))[1] == 7
    assert (await prices.price(lines))[1] == 7


async def test_what_is_not_on_sale_is_refused_and_not_remembered() -> None:
    store = Prices()
    prices = catalogue(store)
    for _ in range(2):
        with pytest.raises(Problem, match="Not in our catalogue: GONE"):
            await prices.price([Line(sku="GONE", quantity=1), Line(sku="MUG-1", quantity=1)])
    assert store.reads == [["GONE", "MUG-1"], ["GONE"]]
    store.minor["GONE"] = 3
    assert (await prices.price([Line(sku="GONE", quantity=1)]))[1] == 3


async def test_a_crowd_that_wants_what_is_not_on_sale_causes_two_readings_at_most() -> None:
    store = Prices()
    prices = catalogue(store)
    lines = [Line(sku="GONE", quantity=1)]
    told = await asyncio.gather(*(prices.price(lines) for _ in range(200)), return_exceptions=True)
    assert {type(error) for error in told} == {Problem}
    assert len(store.reads) <= 2


async def test_a_reading_that_fails_fails_those_who_wait_and_nobody_later() -> None:
    store = Prices()
    prices = catalogue(store)
    store.away = True
    lines = [Line(sku="MUG-1", quantity=1)]
    failed = await asyncio.gather(*(prices.price(lines) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in failed] == [TimeoutError] * 3
    store.away = False
    assert (await prices.price(lines))[1] == 5


async def test_an_order_has_one_currency() -> None:
    store = Prices()
    store.currencies["MUG-2"] = "CHF"
    prices = catalogue(store)
    with pytest.raises(Problem, match="different currencies") as caught:
        await prices.price([Line(sku="MUG-1", quantity=1), Line(sku="MUG-2", quantity=1)])
    assert caught.value.status == 422
    assert (await prices.price([Line(sku="MUG-2", quantity=2)]))[1:] == (10, "CHF")


async def test_an_order_costs_no_more_than_one_order_can() -> None:
    store = Prices()
    store.minor["YACHT"] = MAX_TOTAL_MINOR // MAX_QUANTITY
    prices = catalogue(store)
    lines = [Line(sku="YACHT", quantity=MAX_QUANTITY)]
    rest = MAX_TOTAL_MINOR - (await prices.price(lines))[1]
    store.minor["BOAT"] = rest + 1
    with pytest.raises(Problem, match="costs more than one order can") as caught:
        await prices.price([*lines, Line(sku="BOAT", quantity=1)])
    assert caught.value.status == 422
    store.minor["BOAT"] = rest
    assert (await prices.price([*lines, Line(sku="BOAT", quantity=1)], at_once=True))[1] == (
        MAX_TOTAL_MINOR
    )
