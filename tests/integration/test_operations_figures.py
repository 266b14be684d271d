"""What the operations and warehouse pages read, from the real services."""

import httpx

from tests.integration.serving import Served, bearer

STAFF = bearer("staff", "otto")


def place(url: str, key: str, sku: str = "MUG-BLUE") -> httpx.Response:
    return httpx.post(
        f"{url}/v1/orders",
        headers={**bearer(), "Idempotency-Key": key},
        json={"lines": [{"sku": sku, "quantity": 1}]},
    )


def test_the_summary_counts_orders_and_names_the_oldest_unfinished(order_app: Served) -> None:
    assert place(order_app.url, "a").status_code == 202  # nobody works on it
    answer = httpx.get(f"{order_app.url}/v1/ops/summary", headers=STAFF)
    assert answer.status_code == 200
    found = answer.json()
    assert found["by_status"] == {"received": 1}
    assert found["unfinished"] == 1
    assert found["oldest_unfinished_s"] >= 1.8
    assert found["response_time"]["state"] == "red"
    assert found["latency"]["p50_s"] >= 1.8


def test_the_summary_is_not_for_shoppers(order_app: Served) -> None:
    assert httpx.get(f"{order_app.url}/v1/ops/summary", headers=bearer()).status_code == 403


def test_orders_are_found_by_number_and_by_sku(order_app: Served, worker: Served) -> None:
    mug = place(order_app.url, "a").json()["order_id"]
    tee = place(order_app.url, "b", "TEE-BASIC").json()["order_id"]

    def found(search: str, **more: str) -> list[str]:
        answer = httpx.get(
            f"{order_app.url}/v1/orders", headers=STAFF | bearer(), params={"search": search} | more
        )
        assert answer.status_code == 200, answer.text
        return [order["order_id"] for order in answer.json()["items"]]

    assert found(mug[:6]) == [mug]
    assert found(f"order-{tee}") == [tee]
    assert found("tee") == [tee]
    assert found("%") == []
    assert found("mug", status="rejected") == []


def test_the_ledger_comes_in_pages_without_gaps(inventory_app: Served) -> None:
    seen: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = httpx.get(
            f"{inventory_app.url}/v1/movements", headers=STAFF, params={"limit": "3"} | cursor
        ).json()
        seen += [entry["movement_id"] for entry in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 10  # the first delivery of each SKU
