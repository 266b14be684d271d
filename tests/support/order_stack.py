"""The whole order path on real parts, and shoppers who use it over HTTP."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx

import inventory_api.seed
from activities.contracts import TERMINAL
from chaos.client.scheduling_stalls import Stalls, stalled_s
from chaos.nemesis.tcp_proxy import TcpProxy
from deploy.local.postgres.connection import connected
from tests.support.asking_again import kept
from tests.support.databases import Databases
from tests.support.event_loop_thread import EventLoopThread
from tests.support.ledger import broken_promises
from tests.support.serving import (
    Served,
    bearer,
    serve_inventory,
    serve_orders,
    serve_worker,
)

Found = TypeVar("Found")
_numbers = itertools.count(1)
ANSWER_BUDGET_S = 2.0
# what the contract allows beyond the budget
GRACE_S = 0.2


@dataclass(frozen=True)
class OrderStack:
    """order_api, its database behind a TCP proxy, inventory_api behind another, and no worker."""

    loop_thread: EventLoopThread
    orders: Served
    inventory: Served
    orders_dsn: str
    inventory_dsn: str
    to_inventory: TcpProxy
    to_database: TcpProxy

    @property
    def inventory_url(self) -> str:
        return f"http://127.0.0.1:{self.to_inventory.port}"

    @contextmanager
    def shut(self, proxy: TcpProxy) -> Iterator[None]:
        """Let nothing through `proxy` meanwhile."""
        self.loop_thread.run(proxy.shut())
        try:
            yield
        finally:
            self.loop_thread.run(proxy.open())

    @contextmanager
    def working(self) -> Iterator[Served]:
        """Run the real worker meanwhile."""
        with serve_worker(self.orders_dsn, self.inventory_url) as worker:
            yield worker

    @contextmanager
    def another_order_api(self, **changes: Any) -> Iterator[Served]:
        """Serve a second order_api with other settings on the same database."""
        with serve_orders(self.orders_dsn, self.inventory_url, **changes) as served:
            yield served

    async def rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Return what the orders database says."""
        return await _rows(self.orders_dsn, query, *arguments)

    async def in_warehouse(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Return what the inventory database says."""
        return await _rows(self.inventory_dsn, query, *arguments)

    async def assert_ledger_agrees(self) -> None:
        """Check the warehouse's promises, and that it shipped what the orders say was shipped."""
        async with connected(self.inventory_dsn) as connection:
            assert not await broken_promises(connection)

        async def agree() -> bool:
            shipped = await self.rows("SELECT order_id FROM orders WHERE status = 'shipped'")
            committed = await self.in_warehouse(
                "SELECT order_id FROM reservations WHERE state = 'committed'"
            )
            return {row["order_id"] for row in shipped} == {row["order_id"] for row in committed}

        await eventually(agree)  # an order of which nobody was told may be on its way


async def _rows(dsn: str, query: str, *arguments: Any) -> list[asyncpg.Record]:
    async with connected(dsn) as connection:
        return await connection.fetch(query, *arguments)


@contextmanager
def serve_order_stack(
    loop_thread: EventLoopThread, databases: Databases, **changes: Any
) -> Iterator[OrderStack]:
    """Serve both applications on fresh databases; `changes` are settings of order_api."""
    with ExitStack() as stack:
        orders_dsn = stack.enter_context(databases.fresh("orders"))
        inventory_dsn = stack.enter_context(databases.fresh("inventory"))
        loop_thread.run(inventory_api.seed.seed(inventory_dsn))
        inventory = stack.enter_context(serve_inventory(inventory_dsn))
        to_inventory = stack.enter_context(loop_thread.entered(TcpProxy(inventory.port)))
        to_database = stack.enter_context(loop_thread.entered(TcpProxy(databases.postgres.port)))
        address = f"http://127.0.0.1:{to_inventory.port}"
        orders = stack.enter_context(
            serve_orders(_through(orders_dsn, to_database.port), address, **changes)
        )
        yield OrderStack(
            loop_thread, orders, inventory, orders_dsn, inventory_dsn, to_inventory, to_database
        )


def _through(dsn: str, port: int) -> str:
    parts = urlsplit(dsn)
    credentials, _, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{port}"))


async def eventually(check: Callable[[], Awaitable[Found]], within_s: float = 30.0) -> Found:
    """Return what `check` finds once it finds something; for what nobody announces."""
    end = time.monotonic() + within_s
    while not (found := await check()) and time.monotonic() < end:  # noqa: ASYNC110  no event
        await asyncio.sleep(0.05)
    assert found, "it did not come about"
    return found


@asynccontextmanager
async def answered_within(limit_s: float, served: Served) -> AsyncIterator[None]:
    """Fail if what happens inside takes longer, while the machine lets client and server run."""
    async with Stalls(lambda: served.thread) as stalls:
        began = time.time()
        yield
        ended = time.time()
        await stalls.caught_up()
    took_s = ended - began - stalled_s(stalls.seen, began, ended)
    assert took_s <= limit_s, f"{took_s:.2f} s"


class Shopper:
    """A customer whom nobody has seen before."""

    def __init__(self, served: Served, role: str = "shopper") -> None:
        self.name = f"shopper-{next(_numbers)}"
        self.served = served
        self.http = httpx.AsyncClient(
            base_url=served.url, headers=bearer(role, self.name), timeout=30
        )

    async def __aenter__(self) -> "Shopper":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def place(
        self, sku: str = "MUG-BLUE", quantity: int = 1, key: str | None = None
    ) -> httpx.Response:
        return await self.http.post(
            "/v1/orders",
            json={"lines": [{"sku": sku, "quantity": quantity}]},
            headers={"Idempotency-Key": key or f"key-{next(_numbers)}"},
        )

    async def place_stubbornly(
        self, sku: str = "MUG-BLUE", quantity: int = 1, key: str | None = None
    ) -> httpx.Response:
        """As a shopper's app does: the same key again until there is an answer to keep."""
        key = key or f"key-{next(_numbers)}"

        return await kept(lambda: self.place(sku, quantity, key), 60.0)

    async def shipped(self) -> str:
        """Place an order and return its id once it has shipped."""
        order_id: str = (await self.place_stubbornly()).json()["order_id"]
        assert (await self.until_settled(order_id))["status"] == "shipped"
        return order_id

    async def order(self, order_id: str) -> dict[str, Any]:
        answer = await kept(lambda: self.http.get(f"/v1/orders/{order_id}"))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def cancel(self, order_id: str) -> httpx.Response:
        return await self.http.post(f"/v1/orders/{order_id}/cancel")

    async def events(
        self, order_id: str, after: int | None = None
    ) -> AsyncGenerator[dict[str, Any]]:
        """Follow the order live until the stream ends by itself."""
        headers = {"Accept": "text/event-stream"}
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        address = f"/v1/orders/{order_id}/events"
        async with self.http.stream("GET", address, headers=headers) as answer:
            assert answer.status_code == 200, answer.status_code
            assert answer.headers["content-type"].startswith("text/event-stream")
            seq = 0
            async for line in answer.aiter_lines():
                if line.startswith("id: "):
                    seq = int(line.removeprefix("id: "))
                if line.startswith("data: "):
                    event = json.loads(line.removeprefix("data: "))
                    assert event["seq"] == seq
                    yield event

    async def until_settled(self, order_id: str) -> dict[str, Any]:
        """Return the order once it has ended."""

        async def settled() -> dict[str, Any]:
            answer = await self.http.get(f"/v1/orders/{order_id}")
            # a busy machine may say 503, as the contract has it
            order: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
            return order if order.get("status") in TERMINAL else {}

        return await eventually(settled, 60.0)
