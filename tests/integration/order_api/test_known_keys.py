"""An order that there is already: whoever asks again hears of it, whatever a new one would be told.

Temporal is away, so every order stays as it was stored and is answered 202.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import httpx
import pytest

from deploy.local.ports import free_port
from deploy.local.postgres.connection import connected
from inventory_api.contracts import Line, digest
from order_api.contracts import order_id_for
from tests.support.databases import Databases
from tests.support.order_stack import Shopper, eventually
from tests.support.serving import Served, serve_orders

PER_MINUTE = 3
TO_THE_LIMIT = 2**62


@pytest.fixture(scope="module")
def orders_dsn(databases: Databases) -> Iterator[str]:
    with databases.fresh("orders") as dsn:
        yield dsn


@pytest.fixture(scope="module")
def orders(orders_dsn: str) -> Iterator[Served]:
    """Three new orders a minute, no Temporal and no waiting for it; prices are read anew."""
    nowhere = f"127.0.0.1:{free_port()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEMPORAL_ADDRESS", nowhere)
        patch.setattr("order_api.catalogue.MAX_AGE_S", 0.0)
        with serve_orders(
            orders_dsn,
            f"http://{nowhere}",
            patient=True,
            answer_budget_s=0,
            rate_limit_per_minute=PER_MINUTE,
        ) as served:
            yield served


@pytest.fixture
async def shopper(orders: Served) -> AsyncIterator[Shopper]:
    async with Shopper(orders) as found:
        yield found


@pytest.fixture
async def database(orders_dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    async with connected(orders_dsn) as connection:
        yield connection


async def send(shopper: Shopper, key: str, quantity: int = 1, **members: Any) -> httpx.Response:
    return await shopper.http.post(
        "/v1/orders",
        json={"lines": [{"sku": "MUG-BLUE", "quantity": quantity}]} | members,
        headers={"Idempotency-Key": key},
    )


async def test_a_known_order_is_answered_over_any_limit_and_uses_none_of_it_up(
    shopper: Shopper,
) -> None:
    first = await send(shopper, "known")
    assert first.status_code == 202
    for _ in range(2 * PER_MINUTE):
        assert (await send(shopper, "known")).json()["order_id"] == first.json()["order_id"]
    for number in range(1, PER_MINUTE):
        assert (await send(shopper, f"other-{number}")).status_code == 202, "the rest of its limit"
    refused = await send(shopper, "one-too-many")
    assert refused.status_code == 429
    assert refused.json()["type"].endswith("/too-many-requests")
    assert int(refused.headers["Retry-After"]) > 0
    for _ in range(PER_MINUTE):
        again = await send(shopper, "known")
        assert again.status_code == 202
        assert again.json()["order_id"] == first.json()["order_id"]
    other_lines = await send(shopper, "known", quantity=2)
    assert other_lines.status_code == 422, "known, and not for these lines"
    assert other_lines.json()["order_id"] == first.json()["order_id"]
    orders = (await shopper.http.get("/v1/orders")).json()["items"]
    assert len(orders) == PER_MINUTE


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"expected_total_minor": 1}, 409),
        ({"lines": [{"sku": "NO-SUCH-THING", "quantity": 1}]}, 422),
    ],
)
async def test_a_refusal_uses_none_of_the_limit_up(
    shopper: Shopper, members: dict[str, Any], status: int
) -> None:
    for number in range(2 * PER_MINUTE):
        assert (await send(shopper, f"refused-{number}", **members)).status_code == status
    for number in range(PER_MINUTE):
        assert (await send(shopper, f"order-{number}")).status_code == 202
    assert (await send(shopper, "one-too-many")).status_code == 429


async def test_a_key_used_for_other_lines_uses_none_of_the_limit_up(shopper: Shopper) -> None:
    assert (await send(shopper, "known")).status_code == 202
    for number in range(2, 2 + 2 * PER_MINUTE):
        assert (await send(shopper, "known", number)).status_code == 422
    for number in range(1, PER_MINUTE):
        assert (await send(shopper, f"order-{number}")).status_code == 202
    assert (await send(shopper, "one-too-many")).status_code == 429


async def test_repeats_under_way_refuse_no_new_order(
    shopper: Shopper, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    assert (await send(shopper, "known")).status_code == 202
    async with database.transaction():
        # whoever writes orders waits: new ones, and repeats that have to find out that they are
        await database.execute("LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE")
        sent = [asyncio.create_task(send(shopper, "known")) for _ in range(4 * PER_MINUTE)]
        await eventually(lambda: waiting_for_locks(database))
        sent += [asyncio.create_task(send(shopper, f"new-{n}")) for n in range(1, PER_MINUTE)]
        await shopper.http.get("/livez")  # sent later: by then those are under way, too
    answers = await asyncio.gather(*sent)
    assert {answer.status_code for answer in answers} == {202}
    assert (await send(shopper, "one-too-many")).status_code == 429


async def waiting_for_locks(database: "asyncpg.Connection[asyncpg.Record]") -> bool:
    return bool(await database.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))


async def test_a_key_in_quotes_is_the_same_key(shopper: Shopper) -> None:
    plain = await send(shopper, 'a"b\\c')
    quoted = await send(shopper, '"a\\"b\\\\c"')
    assert plain.status_code == quoted.status_code == 202
    assert plain.json()["order_id"] == quoted.json()["order_id"]
    assert plain.json()["order_id"] == str(order_id_for(shopper.name, 'a"b\\c'))


async def test_an_order_that_the_first_release_stored_with_the_quotes_is_found_again(
    shopper: Shopper, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    stored = order_id_for(shopper.name, '"early"')
    await database.execute(
        """
        WITH early AS (
            INSERT INTO orders (order_id, customer, idempotency_key, request_digest, total_minor,
                                currency, relay_at)
            VALUES ($1, $2, '"early"', $3, 1490, 'EUR', now() + interval '1 minute')
            RETURNING order_id
        )
        INSERT INTO order_lines (order_id, line_no, sku, quantity, unit_price_minor)
        SELECT order_id, 1, 'MUG-BLUE', 1, 1490 FROM early
        """,
        stored,
        shopper.name,
        digest([Line(sku="MUG-BLUE", quantity=1)]),
    )
    again = await send(shopper, '"early"')
    assert (again.status_code, again.json()["order_id"]) == (202, str(stored))
    other_lines = await send(shopper, '"early"', quantity=2)
    assert (other_lines.status_code, other_lines.json()["order_id"]) == (422, str(stored))
    assert len((await shopper.http.get("/v1/orders")).json()["items"]) == 1


async def test_a_price_that_has_changed_is_told_before_anything_is_stored(
    shopper: Shopper, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    told = await send(shopper, "priced", 2, expected_total_minor=1)
    assert told.status_code == 409
    problem = told.json()
    assert problem["type"].endswith("/price-changed")
    assert (problem["expected_total_minor"], problem["total_minor"]) == (1, 2980)
    assert problem["currency"] == "EUR"
    found = await database.fetch("SELECT 1 FROM orders WHERE customer = $1", shopper.name)
    assert found == []
    placed = await send(shopper, "priced", 2, expected_total_minor=2980)
    assert (placed.status_code, placed.json()["total_minor"]) == (202, 2980)
    await database.execute("UPDATE products SET unit_price_minor = 5100 WHERE sku = 'MUG-BLUE'")
    try:
        changed = await send(shopper, "dearer", 2, expected_total_minor=2980)
        assert changed.json()["total_minor"] == 10_200
        for members in ({"expected_total_minor": 2980}, {"expected_total_minor": 10_200}, {}):
            again = await send(shopper, "priced", 2, **members)
            assert again.status_code == 202, "what was ordered keeps its price"
            assert again.json()["total_minor"] == 2980
    finally:
        await database.execute("UPDATE products SET unit_price_minor = 1490 WHERE sku = 'MUG-BLUE'")


async def test_the_same_number_in_another_currency_is_another_price(
    shopper: Shopper, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    as_told: dict[str, Any] = {"expected_total_minor": 1490, "expected_currency": "EUR"}
    await database.execute("UPDATE products SET currency = 'KWD' WHERE sku = 'MUG-BLUE'")
    try:
        for members in (as_told, {"expected_currency": "EUR"}):
            told = await send(shopper, "dinar", **members)
            assert told.status_code == 409
            problem = told.json()
            assert problem["type"].endswith("/price-changed")
            assert {name: problem[name] for name in members} == members
            assert (problem["total_minor"], problem["currency"]) == (1490, "KWD")
        in_dinar = await send(shopper, "dinar", **as_told | {"expected_currency": "KWD"})
        assert (in_dinar.status_code, in_dinar.json()["currency"]) == (202, "KWD")
        again = await send(shopper, "dinar", **as_told)
        assert again.json()["order_id"] == in_dinar.json()["order_id"], "it is the same body"
    finally:
        await database.execute("UPDATE products SET currency = 'EUR' WHERE sku = 'MUG-BLUE'")


@pytest.mark.parametrize("expected", ["eur", "EURO", "EUR\n", "", 978])
async def test_an_expected_currency_that_is_no_code_is_refused(
    shopper: Shopper, expected: Any
) -> None:
    refused = await send(shopper, "odd", expected_currency=expected)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["at"] == "expected_currency"


@pytest.mark.parametrize("expected", [-1, 2**63, 1.5, "2980", True])
async def test_an_expected_total_that_is_no_amount_is_refused(
    shopper: Shopper, expected: Any
) -> None:
    refused = await send(shopper, "odd", expected_total_minor=expected)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["at"] == "expected_total_minor"


async def test_an_order_beyond_all_money_is_refused_and_its_neighbours_are_not(
    shopper: Shopper, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await database.execute(
        "UPDATE products SET unit_price_minor = $1 WHERE sku = 'MUG-BLUE'", TO_THE_LIMIT
    )
    try:
        assert (await send(shopper, "dear", 1)).status_code == 202
        too_dear = await send(shopper, "too-dear", 2)
        assert too_dear.status_code == 422
        assert too_dear.headers["content-type"] == "application/problem+json"
    finally:
        await database.execute("UPDATE products SET unit_price_minor = 1490 WHERE sku = 'MUG-BLUE'")
