"""What the window behind the alert is made of: orders that were tried, on real parts."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from deploy.local.postgres.connection import connected
from tests.support.databases import Databases
from tests.support.order_stack import eventually
from tests.support.raw_http import connect, written
from tests.support.serving import Served, bearer, serve_orders
from tests.support.ui_client import ui_settings
from ui.backend import Backend
from ui.components.operations_view import alert_tile

ORDER = {"lines": [{"sku": "MUG-BLUE", "quantity": 1}]}
KEYLESS = 800
SLOW = 20
QUICK = 100


@pytest.fixture
def order_app(temporal: object, orders_database: str, inventory_app: Served) -> Iterator[Served]:
    """Patient: a 503 that is owed to the machine would count as a failure."""
    with serve_orders(orders_database, inventory_app.url, patient=True) as served:
        yield served


def window(served: Served) -> dict[str, Any]:
    answer = httpx.get(f"{served.url}/v1/ops/response-time", headers=bearer(), timeout=30)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def send(
    client: httpx.AsyncClient, key: str | None, body: Any = ORDER, subject: str = "alice"
) -> int:
    headers = bearer(subject=subject) | ({"Idempotency-Key": key} if key is not None else {})
    return (await client.post("/v1/orders", headers=headers, json=body)).status_code


def client(served: Served) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=served.url,
        headers=bearer(),
        timeout=60,
        limits=httpx.Limits(max_connections=SLOW + 4),
    )


async def test_requests_without_a_key_do_not_hide_that_orders_are_slow(
    orders_database: str, order_app: Served
) -> None:
    async def all_stored() -> bool:
        async with connected(orders_database) as owner:
            return bool(await owner.fetchval("SELECT count(*) = $1 FROM orders", SLOW))

    async def keyless(shopper: httpx.AsyncClient) -> list[int]:
        # not before: on a slow machine, orders would find no time to be stored beside so many
        await eventually(all_stored)
        return [await send(shopper, None) for _ in range(KEYLESS)]

    async with client(order_app) as shopper:
        slow, refused = await asyncio.gather(  # nobody works on orders: each uses its budget up
            asyncio.gather(*(send(shopper, f"slow-{n}") for n in range(SLOW))), keyless(shopper)
        )
        assert (set(slow), set(refused)) == ({202}, {400})
        # again, so that slow ones are in the window however long the others took
        assert await send(shopper, "slow-again") == 202
    found = window(order_app)
    assert found["state"] == "red", found
    assert found["reasons"] == ["slow"]
    assert 1 <= found["count"] <= SLOW + 1
    assert found["average_s"] >= 1.8
    assert found["refused"] > 0
    assert (found["failed"], found["failed_share"]) == (0, 0.0)


async def test_whatever_is_refused_before_the_store_is_asked_is_counted_apart(
    temporal: object, orders_database: str, inventory_app: Served
) -> None:
    with serve_orders(
        orders_database, inventory_app.url, patient=True, rate_limit_per_minute=1
    ) as served:
        async with client(served) as shopper:
            before = window(served)
            assert (before["count"], before["refused"], before["state"]) == (0, 0, "no_data")
            assert await send(shopper, None, subject="bob") == 400
            assert await send(shopper, "a", {"lines": []}, subject="carol") == 422
            assert await send(shopper, "a", {"lines": "x" * 70_000}) == 413
            typed = bearer(subject="dave")
            typed |= {"Idempotency-Key": "a", "Content-Type": "text/plain"}
            answer = await shopper.post("/v1/orders", headers=typed, content=b"mugs")
            assert answer.status_code == 415
            stranger = {"Idempotency-Key": "a", "Authorization": "Bearer nonsense"}
            answer = await shopper.post("/v1/orders", headers=stranger, json=ORDER)
            assert answer.status_code == 401
            found = window(served)
            assert (found["count"], found["refused"], found["state"]) == (0, 5, "no_data")
            assert found["average_s"] is None
            for number in range(4):  # of which at least two fall into the same minute
                assert await send(shopper, f"limited-{number}") in (202, 429)
            found = window(served)
            assert found["count"] + found["refused"] == 9
            assert found["refused"] >= 7


async def test_a_body_that_does_not_arrive_is_no_slow_order(order_app: Served) -> None:
    headers = [*bearer().items(), ("Idempotency-Key", "a"), ("Content-Type", "application/json")]
    headers += [("Content-Length", "70"), ("Expect", "100-continue")]
    with connect(order_app.port) as trickling:
        trickling.sendall(written("POST", "/v1/orders", headers))
        # said when the service begins to wait for the body
        assert trickling.recv(1000).startswith(b"HTTP/1.1 100")
        trickling.sendall(b"{")
        found = await asyncio.to_thread(window, order_app)
        assert (found["count"], found["oldest_in_flight_s"]) == (0, 0.0)
        assert found["state"] == "no_data"


async def test_changed_prices_do_not_hide_that_orders_are_slow(order_app: Served) -> None:
    at_another_price = ORDER | {"expected_total_minor": 1}
    async with client(order_app) as shopper:
        slow = await asyncio.gather(*(send(shopper, f"slow-{n}") for n in range(SLOW)))
        assert set(slow) == {202}
        changed = [await send(shopper, f"priced-{n}", at_another_price) for n in range(QUICK)]
        assert set(changed) == {409}
        # again, so that slow ones are in the window however long the others took
        assert await send(shopper, "slow-again") == 202
    found = window(order_app)
    assert (found["state"], found["reasons"]) == ("red", ["slow"]), found
    assert found["average_s"] >= 1.8
    assert 0 < found["refused"] <= QUICK


@pytest.mark.parametrize(("ended", "status"), [("shipped", 201), ("rejected", 409)])
async def test_repeats_of_an_order_that_has_ended_do_not_hide_that_orders_are_slow(
    orders_database: str, order_app: Served, ended: str, status: int
) -> None:
    async with client(order_app) as shopper:
        assert await send(shopper, "ended") == 202
        owner = await asyncpg.connect(orders_database)
        await owner.execute("UPDATE orders SET status = $1", ended)
        await owner.close()
        repeats = [await send(shopper, "ended") for _ in range(QUICK)]
        assert set(repeats) == {status}
        # one that is still open is waited for, whoever asks
        slow = await asyncio.gather(*(send(shopper, f"slow-{n % 2}") for n in range(4)))
        assert set(slow) == {202}
    found = window(order_app)
    assert (found["state"], found["reasons"]) == ("red", ["slow"]), found
    assert found["average_s"] >= 1.8
    assert 4 <= found["count"] <= 5
    assert found["refused"] > 0


READ_ONLY = "ALTER DATABASE {name} SET default_transaction_read_only = on"
SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
REVOKED = "REVOKE INSERT ON orders FROM orders"


@pytest.mark.parametrize("how", ["read-only", "revoked"])
async def test_a_database_that_refuses_every_order_at_once_turns_the_tile_red(
    databases: Databases, orders_database: str, order_app: Served, how: str
) -> None:
    name = urlsplit(orders_database).path.strip("/")
    admin = await asyncpg.connect(databases.postgres.admin_dsn())
    owner = await asyncpg.connect(orders_database)
    if how == "revoked":
        await owner.execute(REVOKED)
    else:
        await admin.execute(READ_ONLY.format(name=name))
        await admin.fetch(SESSIONS, name)
    await owner.close()
    await admin.close()
    async with client(order_app) as shopper:
        before = (await shopper.get("/health")).json()["checks"]["orders:answers"][0]
        assert (before["status"], before["observedValue"]) == ("pass", 0.0)
        answers = [await send(shopper, f"refused-{n}") for n in range(10)]
        assert set(answers) == {503}
        check = await eventually(lambda: answers_warned_of(shopper))
        assert (check["observedValue"], check["observedUnit"]) == (100.0, "% failed")
        assert check["output"] == "10 of 10 orders failed in 30 s"
        if how == "revoked":  # of which no other check knows
            assert (await shopper.get("/health")).status_code == 200
            assert (await shopper.get("/readyz")).status_code == 200
    found = window(order_app)
    assert found["state"] == "red", found
    assert "failing" in found["reasons"]
    assert (found["failed"], found["failed_share"]) == (10, 1.0)
    metrics = await asyncio.to_thread(httpx.get, f"{order_app.url}/metrics", timeout=30)
    assert "order_response_window_failed 10.0" in metrics.text
    assert "order_response_window_attempts 10.0" in metrics.text


async def answers_warned_of(shopper: httpx.AsyncClient) -> dict[str, Any]:
    """Return the check once it is a warning: its result is shared for a second."""
    check: dict[str, Any] = (await shopper.get("/health")).json()["checks"]["orders:answers"][0]
    return check if check["status"] == "warn" else {}


async def test_the_tile_is_red_while_the_database_refuses_to_be_read_too(
    orders_database: str, order_app: Served, inventory_app: Served, tmp_path: Path
) -> None:
    owner = await asyncpg.connect(orders_database)
    await owner.execute("REVOKE ALL ON orders FROM orders")
    await owner.close()
    async with client(order_app) as shopper:
        assert await send(shopper, "a") == 503
    backend = Backend(ui_settings(order_app, inventory_app, tmp_path))
    await backend.open()

    async def figures_are_away() -> bool:
        await backend.operations.poll(everything=True)
        return backend.operations.now.summary is None

    try:
        await eventually(figures_are_away)  # those from before are good for a second
    finally:
        await backend.close()
    now = backend.operations.now
    markup, spoken = alert_tile(now)
    assert 'class="card alert red"' in markup
    assert "Failing" in spoken


async def test_the_window_says_whose_it_is(order_app: Served) -> None:
    found = window(order_app)
    assert found["scope"] == "process"
    assert found["instance"].endswith(":8101")
