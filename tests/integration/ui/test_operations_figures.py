"""What the operations and warehouse pages read, from the real services."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import inventory_api.seed
from deploy.local.postgres.connection import connected
from deploy.local.temporal.server import EmbeddedTemporal
from inventory_api.seed import FIRST_DELIVERY
from tests.support.event_loop_thread import EventLoopThread
from tests.support.serving import PATIENT, Served, bearer, serve_inventory, serve_orders

STAFF = bearer("staff", "otto")


def place(url: str, key: str, sku: str = "MUG-BLUE") -> httpx.Response:
    return httpx.post(
        f"{url}/v1/orders",
        headers={**bearer(), "Idempotency-Key": key},
        json={"lines": [{"sku": sku, "quantity": 1}]},
        timeout=30,
    )


def looked_up(url: str, **request: Any) -> httpx.Response:
    return httpx.get(url, timeout=30, **request)


@pytest.fixture
def order_app(
    temporal: EmbeddedTemporal, orders_database: str, inventory_app: Served
) -> Iterator[Served]:
    """order_api on a machine that may stand still for a second: no 503 is owed to that."""
    with serve_orders(orders_database, inventory_app.url, patient=True) as served:
        yield served


@pytest.fixture
def inventory_app(loop_thread: EventLoopThread, inventory_database: str) -> Iterator[Served]:
    """The same of inventory_api, with the demonstration stock."""
    loop_thread.run(inventory_api.seed.seed(inventory_database))
    with serve_inventory(inventory_database, **PATIENT) as served:
        yield served


def test_the_summary_counts_orders_and_names_the_oldest_unfinished(order_app: Served) -> None:
    assert place(order_app.url, "a").status_code == 202  # nobody works on it
    answer = looked_up(f"{order_app.url}/v1/ops/summary", headers=STAFF)
    assert answer.status_code == 200
    found = answer.json()
    assert found["by_status"] == {"received": 1}
    assert found["unfinished"] == 1
    assert found["oldest_unfinished_s"] >= 1.8
    assert found["response_time"]["state"] == "red"
    assert found["latency"]["p50_s"] >= 1.8


def test_the_summary_is_not_for_shoppers(order_app: Served) -> None:
    assert looked_up(f"{order_app.url}/v1/ops/summary", headers=bearer()).status_code == 403


def test_orders_are_found_by_number_and_by_sku(order_app: Served, worker: Served) -> None:
    mug = place(order_app.url, "a").json()["order_id"]
    tee = place(order_app.url, "b", "TEE-BASIC").json()["order_id"]

    def found(search: str, **more: str) -> list[str]:
        answer = looked_up(
            f"{order_app.url}/v1/orders", headers=STAFF | bearer(), params={"search": search} | more
        )
        assert answer.status_code == 200, answer.text
        return [order["order_id"] for order in answer.json()["items"]]

    assert found(mug[:6]) == [mug]
    assert found(f"order-{tee}") == [tee]
    assert found("tee") == [tee]
    assert found("%") == []
    assert found("mug", status="rejected") == []


@pytest.fixture
def quick_order_app(
    temporal: EmbeddedTemporal, orders_database: str, inventory_app: Served
) -> Iterator[Served]:
    """order_api that answers 202 at once: nobody works on its orders."""
    with serve_orders(
        orders_database, inventory_app.url, patient=True, answer_budget_s=0
    ) as served:
        yield served


ADD = """
INSERT INTO products (sku, name, description, unit_price_minor, currency, image_url, listed)
VALUES ($1, $2, '', 100, 'EUR', '', true)
"""


@pytest.mark.parametrize(
    ("sku", "searches"),
    [
        ("4006381333931", ["4006381333931", "400638", "fine PEN", "pen"]),
        ("1234", ["1234", "123"]),
        ("CAFE-2024", ["CAFE-2024", "cafe", "cafe-20", "2024", "espresso"]),
        ("DEAD-BEEF", ["DEAD-BEEF", "dead-beef", "dead", "beef", "Espresso cup"]),
    ],
)
def test_a_sku_that_looks_like_a_number_is_found_and_so_is_a_name(
    loop_thread: EventLoopThread,
    orders_database: str,
    quick_order_app: Served,
    sku: str,
    searches: list[str],
) -> None:
    async def add() -> None:
        async with connected(orders_database) as connection:
            if not await connection.fetchval("SELECT true FROM products WHERE sku = $1", sku):
                await connection.execute(ADD, sku, "Espresso cup")

    def found(search: str, **more: str) -> list[str]:
        answer = looked_up(
            f"{quick_order_app.url}/v1/orders", headers=STAFF, params={"search": search} | more
        )
        assert answer.status_code == 200, answer.text
        return [order["order_id"] for order in answer.json()["items"]]

    loop_thread.run(add())
    order_id = place(quick_order_app.url, f"key-{sku}", sku).json()["order_id"]
    place(quick_order_app.url, f"another-{sku}")
    for search in searches:
        assert found(search, scope="all") == [order_id], search
        assert found(search) == [], "another's"
    assert order_id in found(order_id[:8], scope="all")


def test_the_ledger_comes_in_pages_without_gaps(inventory_app: Served) -> None:
    seen: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = looked_up(
            f"{inventory_app.url}/v1/movements", headers=STAFF, params={"limit": "3"} | cursor
        ).json()
        seen += [entry["movement_id"] for entry in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(FIRST_DELIVERY)
