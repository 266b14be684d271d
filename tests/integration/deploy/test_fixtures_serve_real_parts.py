"""The shared fixtures themselves: an order goes all the way through them."""

import time

import httpx

from tests.support.serving import Served, bearer


def test_an_order_ships_through_the_served_applications(
    order_app: Served, inventory_app: Served, worker: Served
) -> None:
    with httpx.Client(base_url=order_app.url, headers=bearer()) as shopper:
        placed = shopper.post(
            "/v1/orders",
            json={"lines": [{"sku": "LAST-ONE", "quantity": 2}]},
            headers={"Idempotency-Key": "first"},
        )
        assert placed.status_code in (201, 202), placed.text
        address = placed.headers["Location"]
        end = time.monotonic() + 20
        while shopper.get(address).json()["status"] != "shipped" and time.monotonic() < end:
            time.sleep(0.05)
        assert shopper.get(address).json()["status"] == "shipped"
    with httpx.Client(base_url=inventory_app.url, headers=bearer("staff")) as staff:
        level = staff.get("/v1/stock/LAST-ONE").json()
    assert level == {"sku": "LAST-ONE", "on_hand": 48, "reserved": 0, "available": 48}
    assert httpx.get(f"{worker.url}/readyz").status_code == 200
