"""The shared fixtures themselves: an order goes all the way through them."""

import time
from collections.abc import Callable

import httpx

from tests.support.asking_again import at_last, status_of
from tests.support.serving import Served, bearer


def test_an_order_ships_through_the_served_applications(
    order_app: Served, inventory_app: Served, worker: Served
) -> None:
    order = {"lines": [{"sku": "LAST-ONE", "quantity": 2}]}
    with httpx.Client(base_url=order_app.url, headers=bearer(), timeout=30) as shopper:
        key = {"Idempotency-Key": "first"}
        placed = kept(lambda: shopper.post("/v1/orders", json=order, headers=key))
        assert placed.status_code in (201, 202), placed.text
        address = placed.headers["Location"]
        end = time.monotonic() + 60
        while shopper.get(address).json()["status"] != "shipped":
            assert time.monotonic() < end
            time.sleep(0.05)
    with httpx.Client(base_url=inventory_app.url, headers=bearer("staff"), timeout=30) as staff:
        level = kept(lambda: staff.get("/v1/stock/LAST-ONE")).json()
    assert level == {"sku": "LAST-ONE", "on_hand": 48, "reserved": 0, "available": 48}
    with httpx.Client(base_url=worker.url, timeout=30) as anybody:
        assert kept(lambda: anybody.get("/readyz")).status_code == 200


def kept(ask: Callable[[], httpx.Response]) -> httpx.Response:
    return at_last(ask, status_of)
