"""The contract of inventory_api, call by call, over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest

import inventory_api.seed
from tests.support.databases import Databases
from tests.support.ledger import broken_promises
from tests.support.serving import PATIENT, Served, bearer, serve_inventory
from tests.support.stock_replicas import new_sku

Lines = dict[str, int]


class Client:
    """Speaks to one inventory_api, or to several replicas in turn."""

    def __init__(self, session: aiohttp.ClientSession, *served: Served) -> None:
        self._session = session
        self._served = served
        self._turn = 0

    async def ask(
        self, method: str, path: str, body: Any = None, role: str = "service", **headers: str
    ) -> tuple[int, dict[str, Any], Any]:
        """Return status, body and headers of the answer."""
        self._turn += 1
        url = f"{self._served[self._turn % len(self._served)].url}/v1{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(
            method, url, json=body, headers=bearer(role) | named
        ) as answer:
            return answer.status, await answer.json(content_type=None), answer.headers

    async def reserve(self, order: str, lines: Lines) -> tuple[int, dict[str, Any], Any]:
        items = [{"sku": sku, "quantity": quantity} for sku, quantity in lines.items()]
        return await self.ask("PUT", f"/reservations/{order}", {"lines": items})

    async def commit(self, order: str) -> tuple[int, dict[str, Any], Any]:
        return await self.ask("POST", f"/reservations/{order}/commit")

    async def release(self, order: str) -> tuple[int, dict[str, Any], Any]:
        return await self.ask("POST", f"/reservations/{order}/release")

    async def level(self, sku: str) -> tuple[int, int, int]:
        """Return on hand, reserved, available."""
        _, body, _ = await self.ask("GET", f"/stock/{sku}")
        return body["on_hand"], body["reserved"], body["available"]

    async def movements(self, order: str) -> list[tuple[str, str, int]]:
        _, body, _ = await self.ask("GET", f"/reservations/{order}")
        return [(m["sku"], m["operation"], m["quantity"]) for m in body["movements"]]


@pytest.fixture(scope="module")
def dsn(databases: Databases) -> Iterator[str]:
    with databases.fresh("inventory") as dsn:
        yield dsn


@pytest.fixture(scope="module")
def replicas(dsn: str) -> Iterator[tuple[Served, Served]]:
    with serve_inventory(dsn, **PATIENT) as first, serve_inventory(dsn, **PATIENT) as second:
        yield first, second


@pytest.fixture
async def warehouse(dsn: str, replicas: tuple[Served, Served]) -> AsyncIterator[Client]:
    """Both replicas in turn; afterwards the ledger has to hold."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Client(session, *replicas)
    connection = await asyncpg.connect(dsn)
    assert await broken_promises(connection) == {}
    await connection.close()


async def delivered(dsn: str, *quantities: int) -> list[str]:
    """Return new SKUs, as many pieces of each on the shelf."""
    skus = [new_sku() for _ in quantities]
    await inventory_api.seed.seed(dsn, dict(zip(skus, quantities, strict=True)))
    return skus


async def test_a_reservation_holds_all_lines(warehouse: Client, dsn: str) -> None:
    a, b = await delivered(dsn, 5, 5)
    order = str(uuid4())
    status, body, headers = await warehouse.reserve(order, {a: 2, b: 5})
    assert (status, body) == (200, {"order_id": order, "state": "held"})
    assert "Idempotent-Replayed" not in headers
    assert await warehouse.level(a) == (5, 2, 3)
    assert await warehouse.level(b) == (5, 5, 0)


async def test_a_reservation_holds_all_lines_or_none_and_names_what_is_short(
    warehouse: Client, dsn: str
) -> None:
    a, b = await delivered(dsn, 5, 1)
    order, unknown = str(uuid4()), new_sku()
    status, body, _ = await warehouse.reserve(order, {a: 1, b: 2, unknown: 1})
    assert status == 409
    assert body["type"].endswith("/out-of-stock")
    assert body["order_id"] == order
    assert body["lines"] == [
        {"sku": b, "requested": 2, "available": 1},
        {"sku": unknown, "requested": 1, "available": 0},
    ]
    assert await warehouse.level(a) == (5, 0, 5)
    assert await warehouse.movements(order) == []


async def test_a_refusal_stays_a_refusal_after_the_shelf_is_filled(
    warehouse: Client, dsn: str
) -> None:
    [a] = await delivered(dsn, 0)
    order = str(uuid4())
    _, first, _ = await warehouse.reserve(order, {a: 1})
    await warehouse.ask(
        "POST", f"/stock/{a}/restock", {"quantity": 9}, "staff", Idempotency_Key="delivery"
    )
    status, again, headers = await warehouse.reserve(order, {a: 1})
    assert (status, again["lines"]) == (409, first["lines"])
    assert headers["Idempotent-Replayed"] == "true"
    assert (await warehouse.reserve(str(uuid4()), {a: 9}))[0] == 200


async def test_a_copy_of_a_reservation_gets_the_first_answer_even_after_shipping(
    warehouse: Client, dsn: str
) -> None:
    a, b = await delivered(dsn, 5, 5)
    order = str(uuid4())
    _, first, _ = await warehouse.reserve(order, {a: 2, b: 1})
    await warehouse.commit(order)
    status, again, headers = await warehouse.reserve(order, {b: 1, a: 2})
    assert (status, again, headers["Idempotent-Replayed"]) == (200, first, "true")
    assert await warehouse.level(a) == (3, 0, 3)


async def test_the_same_order_with_other_lines_is_refused(warehouse: Client, dsn: str) -> None:
    a, b = await delivered(dsn, 5, 5)
    order = str(uuid4())
    await warehouse.reserve(order, {a: 2})
    for other in ({a: 1}, {b: 2}, {a: 2, b: 1}):
        status, body, _ = await warehouse.reserve(order, other)
        assert (status, body["order_id"]) == (422, order)
    assert await warehouse.level(a) == (5, 2, 3)


async def test_a_commit_ships_once_however_often_it_is_asked(warehouse: Client, dsn: str) -> None:
    [a] = await delivered(dsn, 5)
    order = str(uuid4())
    await warehouse.reserve(order, {a: 2})
    answers = await asyncio.gather(*(warehouse.commit(order) for _ in range(20)))
    assert [answer[:2] for answer in answers] == [
        (200, {"order_id": order, "state": "committed"})
    ] * 20
    assert sum("Idempotent-Replayed" not in headers for _, _, headers in answers) == 1
    assert await warehouse.level(a) == (3, 0, 3)
    assert await warehouse.movements(order) == [(a, "reserve", 2), (a, "commit", 2)]


async def test_a_release_gives_back_once_however_often_it_is_asked(
    warehouse: Client, dsn: str
) -> None:
    [a] = await delivered(dsn, 5)
    order = str(uuid4())
    await warehouse.reserve(order, {a: 2})
    answers = await asyncio.gather(*(warehouse.release(order) for _ in range(20)))
    assert [answer[:2] for answer in answers] == [
        (200, {"order_id": order, "state": "released"})
    ] * 20
    assert await warehouse.level(a) == (5, 0, 5)
    assert await warehouse.movements(order) == [(a, "reserve", 2), (a, "release", 2)]


async def test_what_was_released_is_not_shipped(warehouse: Client, dsn: str) -> None:
    [a] = await delivered(dsn, 5)
    order = str(uuid4())
    await warehouse.reserve(order, {a: 2})
    await warehouse.release(order)
    status, body, _ = await warehouse.commit(order)
    assert (status, body["type"], body["order_id"]) == (409, "/problems/released", order)
    status, body, _ = await warehouse.reserve(order, {a: 2})
    assert (status, body["type"]) == (409, "/problems/released")


async def test_what_was_shipped_is_not_released(warehouse: Client, dsn: str) -> None:
    [a] = await delivered(dsn, 5)
    order = str(uuid4())
    await warehouse.reserve(order, {a: 2})
    await warehouse.commit(order)
    status, body, _ = await warehouse.release(order)
    assert (status, body["type"], body["order_id"]) == (409, "/problems/committed", order)
    assert await warehouse.level(a) == (3, 0, 3)


async def test_a_hold_that_arrives_after_its_release_holds_nothing(
    warehouse: Client, dsn: str
) -> None:
    [a] = await delivered(dsn, 5)
    order = str(uuid4())
    assert (await warehouse.release(order))[0] == 200
    status, body, _ = await warehouse.reserve(order, {a: 2})
    assert (status, body["type"]) == (409, "/problems/released")
    assert await warehouse.level(a) == (5, 0, 5)
    status, body, _ = await warehouse.ask("GET", f"/reservations/{order}")
    assert (status, body["state"], body["lines"], body["movements"]) == (200, "released", [], [])


async def test_an_unknown_order_cannot_be_shipped_and_is_not_there(warehouse: Client) -> None:
    order = str(uuid4())
    status, body, _ = await warehouse.commit(order)
    assert (status, body["type"]) == (404, "/problems/unknown-reservation")
    assert (await warehouse.ask("GET", f"/reservations/{order}"))[0] == 404


async def test_a_refused_order_can_be_released_and_not_shipped(warehouse: Client, dsn: str) -> None:
    [a] = await delivered(dsn, 0)
    order = str(uuid4())
    await warehouse.reserve(order, {a: 1})
    assert (await warehouse.commit(order))[0] == 409
    status, body, _ = await warehouse.release(order)
    assert (status, body) == (200, {"order_id": order, "state": "released"})


async def test_an_order_id_in_capitals_is_the_same_order(warehouse: Client, dsn: str) -> None:
    [a] = await delivered(dsn, 5)
    order = str(uuid4())
    await warehouse.reserve(order, {a: 2})
    status, body, _ = await warehouse.reserve(order.upper(), {a: 2})
    assert (status, body["order_id"]) == (200, order)
    assert await warehouse.level(a) == (5, 2, 3)


async def test_a_delivery_is_counted_once_per_key(warehouse: Client, dsn: str) -> None:
    a, b = await delivered(dsn, 1, 1)

    async def restock(sku: str, quantity: int, key: str) -> tuple[int, dict[str, Any], Any]:
        return await warehouse.ask(
            "POST", f"/stock/{sku}/restock", {"quantity": quantity}, "staff", Idempotency_Key=key
        )

    answers = await asyncio.gather(*(restock(a, 4, "truck-1") for _ in range(20)))
    level = {"sku": a, "on_hand": 5, "reserved": 0, "available": 5}
    assert [answer[:2] for answer in answers] == [(200, level)] * 20
    assert (await restock(a, 3, "truck-1"))[0] == 422
    assert (await restock(a, 4, "truck-2"))[1]["on_hand"] == 9
    assert (await restock(b, 4, "truck-1"))[0] == 422
    assert await warehouse.level(b) == (1, 0, 1)
    assert (await restock(new_sku(), 4, "truck-3"))[0] == 404


async def test_a_delivery_that_the_first_release_counted_with_the_quotes_is_not_counted_again(
    warehouse: Client, dsn: str
) -> None:
    [sku] = await delivered(dsn, 3)
    connection = await asyncpg.connect(dsn)
    await connection.fetch("SELECT * FROM restock($1, $2, 5)", sku, f'"{sku}"')
    await connection.close()
    key = {"Idempotency_Key": f'"{sku}"'}
    status, _, _ = await warehouse.ask(
        "POST", f"/stock/{sku}/restock", {"quantity": 5}, role="staff", **key
    )
    assert status == 200
    assert await warehouse.level(sku) == (8, 0, 8)


async def test_a_key_for_two_shelves_at_once_fills_one_of_them(warehouse: Client, dsn: str) -> None:
    skus = await delivered(dsn, *[0] * 10)
    answers = await asyncio.gather(
        *(
            warehouse.ask(
                "POST", f"/stock/{sku}/restock", {"quantity": 1}, "staff", Idempotency_Key="van"
            )
            for sku in skus
        )
    )
    assert sorted(answer[0] for answer in answers) == [200] + [422] * 9
    assert sum([(await warehouse.level(sku))[0] for sku in skus]) == 1


async def test_whatever_is_sent_again_later_gets_the_same_answer(
    warehouse: Client, dsn: str
) -> None:
    [a] = await delivered(dsn, 10)
    kept, shipped, given_back, refused = (str(uuid4()) for _ in range(4))
    unknown = str(uuid4())

    async def restock() -> tuple[int, dict[str, Any], Any]:
        return await warehouse.ask(
            "POST", f"/stock/{a}/restock", {"quantity": 5}, "staff", Idempotency_Key="parcel-9"
        )

    await warehouse.reserve(given_back, {a: 1})
    await warehouse.reserve(shipped, {a: 2})
    calls = (
        restock,
        partial(warehouse.reserve, kept, {a: 3}),
        partial(warehouse.reserve, shipped, {a: 2}),
        partial(warehouse.reserve, refused, {a: 999}),
        partial(warehouse.commit, shipped),
        partial(warehouse.commit, refused),
        partial(warehouse.release, given_back),
        partial(warehouse.release, refused),
        partial(warehouse.release, shipped),
        partial(warehouse.release, unknown),
        partial(warehouse.reserve, unknown, {a: 1}),
    )

    async def answers() -> list[tuple[int, dict[str, Any]]]:
        told = [(await call())[:2] for call in calls]
        return [
            (status, {k: v for k, v in body.items() if k != "request_id"}) for status, body in told
        ]

    first = await answers()
    await warehouse.reserve(other := str(uuid4()), {a: 1})
    await warehouse.commit(other)
    await warehouse.ask(
        "POST", f"/stock/{a}/restock", {"quantity": 9999}, "staff", Idempotency_Key="ship"
    )
    assert await answers() == first
    assert (await restock())[2]["Idempotent-Replayed"] == "true"


async def test_who_may_do_what(warehouse: Client, dsn: str) -> None:
    [a] = await delivered(dsn, 1)
    assert (await warehouse.ask("GET", "/stock", role="shopper"))[0] == 403
    assert (await warehouse.ask("GET", "/stock", role="staff"))[0] == 200
    status, _, _ = await warehouse.ask(
        "POST", f"/stock/{a}/restock", {"quantity": 1}, "service", Idempotency_Key="k"
    )
    assert status == 403


async def test_the_list_of_levels_is_by_sku(warehouse: Client, dsn: str) -> None:
    await delivered(dsn, 1, 2)
    _, body, _ = await warehouse.ask("GET", "/stock")
    skus = [item["sku"] for item in body["items"]]
    assert skus == sorted(skus)


async def test_fifty_pieces_go_to_exactly_fifty_of_two_hundred_buyers(
    warehouse: Client, dsn: str
) -> None:
    [hot] = await delivered(dsn, 50)

    async def buy() -> int:
        order = str(uuid4())
        while (answer := await warehouse.reserve(order, {hot: 1}))[0] == 503:
            assert "Retry-After" in answer[2]
        if answer[0] == 200:
            while (await warehouse.commit(order))[0] == 503:
                pass
        return answer[0]

    statuses = await asyncio.gather(*(buy() for _ in range(200)))
    assert sorted(set(statuses)) == [200, 409]
    assert statuses.count(200) == 50
    assert await warehouse.level(hot) == (0, 0, 0)
