"""Replicas of the release before go on beside this one: their functions answer in their words."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

import inventory_api.seed
from tests.support.stock_replicas import new_sku

RESERVE = "SELECT outcome, shortage FROM reserve_many($1, $2, $3, $4, $5) ORDER BY place"
SETTLE = "SELECT outcome FROM settle_many($1, $2) ORDER BY place"
RESTOCK = "SELECT outcome, on_hand, reserved FROM restock($1, $2, $3)"


@pytest.fixture
async def database(inventory_database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(inventory_database)
    yield connection
    await connection.close()


@pytest.fixture
async def sku(inventory_database: str) -> str:
    sku = new_sku()
    await inventory_api.seed.seed(inventory_database, {sku: 3})
    return sku


async def test_reserve_commit_and_release(
    database: "asyncpg.Connection[asyncpg.Record]", sku: str
) -> None:
    first, second, third = (uuid.uuid4() for _ in range(3))

    async def reserve(order_id: uuid.UUID, quantity: int) -> list[Any]:
        digest = str(quantity).encode()
        [row] = await database.fetch(RESERVE, [order_id], [digest], [1], [sku], [quantity])
        return [*row]

    async def settle(order_id: uuid.UUID, target: str) -> str | None:
        outcome: str | None = await database.fetchval(SETTLE, [order_id], target)
        return outcome

    assert await reserve(first, 2) == ["now held", None]
    assert await reserve(first, 2) == ["held", None]
    assert await reserve(first, 1) == ["other lines", None]
    outcome, shortage = await reserve(second, 2)
    assert (outcome, await reserve(second, 2)) == ("now refused", ["refused", shortage])
    assert await settle(first, "committed") == "held"
    assert await settle(first, "committed") == await settle(first, "released") == "committed"
    assert await settle(third, "committed") is None
    assert await settle(third, "released") == "held"  # or NULL: both were taken for a change
    assert await settle(third, "released") == "released"
    assert await reserve(third, 1) == ["released", None]


async def test_restock(database: "asyncpg.Connection[asyncpg.Record]", sku: str) -> None:
    async def restock(wanted: str, quantity: int) -> tuple[Any, ...]:
        [row] = await database.fetch(RESTOCK, wanted, f"key of {sku}", quantity)
        return tuple(row)

    assert await restock(sku, 2) == ("now restocked", 5, 0)
    assert await restock(sku, 2) == ("restocked", 5, 0)
    assert await restock(sku, 3) == ("other quantity", 5, 0)
    assert await restock(new_sku(), 2) == ("unknown", 0, 0)
