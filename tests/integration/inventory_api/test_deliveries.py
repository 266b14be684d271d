"""Deliveries to the shelves of inventory_api, over HTTP: each is counted once."""

import asyncio
from typing import Any

from deploy.local.postgres.connection import connected
from tests.support.inventory_client import InventoryClient, delivered
from tests.support.stock_replicas import new_sku


async def test_a_delivery_is_counted_once_per_key(inventory: InventoryClient, dsn: str) -> None:
    a, b = await delivered(dsn, 1, 1)

    async def restock(sku: str, quantity: int, key: str) -> tuple[int, dict[str, Any], Any]:
        return await inventory.ask(
            "POST", f"/stock/{sku}/restock", {"quantity": quantity}, "staff", Idempotency_Key=key
        )

    answers = await asyncio.gather(*(restock(a, 4, "truck-1") for _ in range(20)))
    level = {"sku": a, "on_hand": 5, "reserved": 0, "available": 5}
    assert [answer[:2] for answer in answers] == [(200, level)] * 20
    assert (await restock(a, 3, "truck-1"))[0] == 422
    assert (await restock(a, 4, "truck-2"))[1]["on_hand"] == 9
    assert (await restock(b, 4, "truck-1"))[0] == 422
    assert await inventory.level(b) == (1, 0, 1)
    assert (await restock(new_sku(), 4, "truck-3"))[0] == 404


async def test_a_delivery_that_the_first_release_counted_with_the_quotes_is_not_counted_again(
    inventory: InventoryClient, dsn: str
) -> None:
    [sku] = await delivered(dsn, 3)
    async with connected(dsn) as connection:
        await connection.fetch("SELECT * FROM restock($1, $2, 5)", sku, f'"{sku}"')
    key = {"Idempotency_Key": f'"{sku}"'}
    status, _, _ = await inventory.ask(
        "POST", f"/stock/{sku}/restock", {"quantity": 5}, role="staff", **key
    )
    assert status == 200
    assert await inventory.level(sku) == (8, 0, 8)


async def test_a_key_for_two_shelves_at_once_fills_one_of_them(
    inventory: InventoryClient, dsn: str
) -> None:
    skus = await delivered(dsn, *[0] * 10)
    answers = await asyncio.gather(
        *(
            inventory.ask(
                "POST", f"/stock/{sku}/restock", {"quantity": 1}, "staff", Idempotency_Key="van"
            )
            for sku in skus
        )
    )
    assert sorted(answer[0] for answer in answers) == [200] + [422] * 9
    assert sum([(await inventory.level(sku))[0] for sku in skus]) == 1
