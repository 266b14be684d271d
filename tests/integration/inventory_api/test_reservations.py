"""The contract of inventory_api, call by call, over HTTP."""

import asyncio
from functools import partial
from typing import Any
from uuid import uuid4

from tests.support.inventory_client import InventoryClient, delivered
from tests.support.stock_replicas import new_sku


async def test_a_reservation_holds_all_lines(inventory: InventoryClient, dsn: str) -> None:
    a, b = await delivered(dsn, 5, 5)
    order = str(uuid4())
    status, body, headers = await inventory.reserve(order, {a: 2, b: 5})
    assert (status, body) == (200, {"order_id": order, "state": "held"})
    assert "Idempotent-Replayed" not in headers
    assert await inventory.level(a) == (5, 2, 3)
    assert await inventory.level(b) == (5, 5, 0)


async def test_a_reservation_holds_all_lines_or_none_and_names_what_is_short(
    inventory: InventoryClient, dsn: str
) -> None:
    a, b = await delivered(dsn, 5, 1)
    order, unknown = str(uuid4()), new_sku()
    status, body, _ = await inventory.reserve(order, {a: 1, b: 2, unknown: 1})
    assert status == 409
    assert body["type"].endswith("/out-of-stock")
    assert body["order_id"] == order
    assert body["lines"] == [
        {"sku": b, "requested": 2, "available": 1},
        {"sku": unknown, "requested": 1, "available": 0},
    ]
    assert await inventory.level(a) == (5, 0, 5)
    assert await inventory.movements(order) == []


async def test_a_refusal_stays_a_refusal_after_the_shelf_is_filled(
    inventory: InventoryClient, dsn: str
) -> None:
    [a] = await delivered(dsn, 0)
    order = str(uuid4())
    _, first, _ = await inventory.reserve(order, {a: 1})
    await inventory.ask(
        "POST", f"/stock/{a}/restock", {"quantity": 9}, "staff", Idempotency_Key="delivery"
    )
    status, again, headers = await inventory.reserve(order, {a: 1})
    assert (status, again["lines"]) == (409, first["lines"])
    assert headers["Idempotent-Replayed"] == "true"
    assert (await inventory.reserve(str(uuid4()), {a: 9}))[0] == 200


async def test_a_copy_of_a_reservation_gets_the_first_answer_even_after_shipping(
    inventory: InventoryClient, dsn: str
) -> None:
    a, b = await delivered(dsn, 5, 5)
    order = str(uuid4())
    _, first, _ = await inventory.reserve(order, {a: 2, b: 1})
    await inventory.commit(order)
    status, again, headers = await inventory.reserve(order, {b: 1, a: 2})
    assert (status, again, headers["Idempotent-Replayed"]) == (200, first, "true")
    assert await inventory.level(a) == (3, 0, 3)


async def test_the_same_order_with_other_lines_is_refused(
    inventory: InventoryClient, dsn: str
) -> None:
    a, b = await delivered(dsn, 5, 5)
    order = str(uuid4())
    await inventory.reserve(order, {a: 2})
    for other in ({a: 1}, {b: 2}, {a: 2, b: 1}):
        status, body, _ = await inventory.reserve(order, other)
        assert (status, body["order_id"]) == (422, order)
    assert await inventory.level(a) == (5, 2, 3)


async def test_a_commit_ships_once_however_often_it_is_asked(
    inventory: InventoryClient, dsn: str
) -> None:
    [a] = await delivered(dsn, 5)
    order = str(uuid4())
    await inventory.reserve(order, {a: 2})
    answers = await asyncio.gather(*(inventory.commit(order) for _ in range(20)))
    assert [answer[:2] for answer in answers] == [
        (200, {"order_id": order, "state": "committed"})
    ] * 20
    assert sum("Idempotent-Replayed" not in headers for _, _, headers in answers) == 1
    assert await inventory.level(a) == (3, 0, 3)
    assert await inventory.movements(order) == [(a, "reserve", 2), (a, "commit", 2)]


async def test_a_release_gives_back_once_however_often_it_is_asked(
    inventory: InventoryClient, dsn: str
) -> None:
    [a] = await delivered(dsn, 5)
    order = str(uuid4())
    await inventory.reserve(order, {a: 2})
    answers = await asyncio.gather(*(inventory.release(order) for _ in range(20)))
    assert [answer[:2] for answer in answers] == [
        (200, {"order_id": order, "state": "released"})
    ] * 20
    assert await inventory.level(a) == (5, 0, 5)
    assert await inventory.movements(order) == [(a, "reserve", 2), (a, "release", 2)]


async def test_what_was_released_is_not_shipped(inventory: InventoryClient, dsn: str) -> None:
    [a] = await delivered(dsn, 5)
    order = str(uuid4())
    await inventory.reserve(order, {a: 2})
    await inventory.release(order)
    status, body, _ = await inventory.commit(order)
    assert (status, body["type"], body["order_id"]) == (409, "/problems/released", order)
    status, body, _ = await inventory.reserve(order, {a: 2})
    assert (status, body["type"]) == (409, "/problems/released")


async def test_what_was_shipped_is_not_released(inventory: InventoryClient, dsn: str) -> None:
    [a] = await delivered(dsn, 5)
    order = str(uuid4())
    await inventory.reserve(order, {a: 2})
    await inventory.commit(order)
    status, body, _ = await inventory.release(order)
    assert (status, body["type"], body["order_id"]) == (409, "/problems/committed", order)
    assert await inventory.level(a) == (3, 0, 3)


async def test_a_hold_that_arrives_after_its_release_holds_nothing(
    inventory: InventoryClient, dsn: str
) -> None:
    [a] = await delivered(dsn, 5)
    order = str(uuid4())
    assert (await inventory.release(order))[0] == 200
    status, body, _ = await inventory.reserve(order, {a: 2})
    assert (status, body["type"]) == (409, "/problems/released")
    assert await inventory.level(a) == (5, 0, 5)
    status, body, _ = await inventory.ask("GET", f"/reservations/{order}")
    assert (status, body["state"], body["lines"], body["movements"]) == (200, "released", [], [])


async def test_an_unknown_order_cannot_be_shipped_and_is_not_there(
    inventory: InventoryClient,
) -> None:
    order = str(uuid4())
    status, body, _ = await inventory.commit(order)
    assert (status, body["type"]) == (404, "/problems/unknown-reservation")
    assert (await inventory.ask("GET", f"/reservations/{order}"))[0] == 404


async def test_a_refused_order_can_be_released_and_not_shipped(
    inventory: InventoryClient, dsn: str
) -> None:
    [a] = await delivered(dsn, 0)
    order = str(uuid4())
    await inventory.reserve(order, {a: 1})
    assert (await inventory.commit(order))[0] == 409
    status, body, _ = await inventory.release(order)
    assert (status, body) == (200, {"order_id": order, "state": "released"})


async def test_an_order_id_in_capitals_is_the_same_order(
    inventory: InventoryClient, dsn: str
) -> None:
    [a] = await delivered(dsn, 5)
    order = str(uuid4())
    await inventory.reserve(order, {a: 2})
    status, body, _ = await inventory.reserve(order.upper(), {a: 2})
    assert (status, body["order_id"]) == (200, order)
    assert await inventory.level(a) == (5, 2, 3)


async def test_whatever_is_sent_again_later_gets_the_same_answer(
    inventory: InventoryClient, dsn: str
) -> None:
    [a] = await delivered(dsn, 10)
    kept, shipped, given_back, refused = (str(uuid4()) for _ in range(4))
    unknown = str(uuid4())

    async def restock() -> tuple[int, dict[str, Any], Any]:
        return await inventory.ask(
            "POST", f"/stock/{a}/restock", {"quantity": 5}, "staff", Idempotency_Key="parcel-9"
        )

    await inventory.reserve(given_back, {a: 1})
    await inventory.reserve(shipped, {a: 2})
    calls = (
        restock,
        partial(inventory.reserve, kept, {a: 3}),
        partial(inventory.reserve, shipped, {a: 2}),
        partial(inventory.reserve, refused, {a: 999}),
        partial(inventory.commit, shipped),
        partial(inventory.commit, refused),
        partial(inventory.release, given_back),
        partial(inventory.release, refused),
        partial(inventory.release, shipped),
        partial(inventory.release, unknown),
        partial(inventory.reserve, unknown, {a: 1}),
    )

    async def answers() -> list[tuple[int, dict[str, Any]]]:
        told = [(await call())[:2] for call in calls]
        return [
            (status, {k: v for k, v in body.items() if k != "request_id"}) for status, body in told
        ]

    first = await answers()
    await inventory.reserve(other := str(uuid4()), {a: 1})
    await inventory.commit(other)
    await inventory.ask(
        "POST", f"/stock/{a}/restock", {"quantity": 9999}, "staff", Idempotency_Key="ship"
    )
    assert await answers() == first
    assert (await restock())[2]["Idempotent-Replayed"] == "true"


async def test_who_may_do_what(inventory: InventoryClient, dsn: str) -> None:
    [a] = await delivered(dsn, 1)
    assert (await inventory.ask("GET", "/stock", role="shopper"))[0] == 403
    assert (await inventory.ask("GET", "/stock", role="staff"))[0] == 200
    status, _, _ = await inventory.ask(
        "POST", f"/stock/{a}/restock", {"quantity": 1}, "service", Idempotency_Key="k"
    )
    assert status == 403


async def test_the_list_of_levels_is_by_sku(inventory: InventoryClient, dsn: str) -> None:
    await delivered(dsn, 1, 2)
    _, body, _ = await inventory.ask("GET", "/stock")
    skus = [item["sku"] for item in body["items"]]
    assert skus == sorted(skus)


async def test_fifty_pieces_go_to_exactly_fifty_of_two_hundred_buyers(
    inventory: InventoryClient, dsn: str
) -> None:
    [hot] = await delivered(dsn, 50)

    async def buy() -> int:
        order = str(uuid4())
        while (answer := await inventory.reserve(order, {hot: 1}))[0] == 503:
            assert "Retry-After" in answer[2]
        if answer[0] == 200:
            while (await inventory.commit(order))[0] == 503:
                pass
        return answer[0]

    statuses = await asyncio.gather(*(buy() for _ in range(200)))
    assert sorted(set(statuses)) == [200, 409]
    assert statuses.count(200) == 50
    assert await inventory.level(hot) == (0, 0, 0)
