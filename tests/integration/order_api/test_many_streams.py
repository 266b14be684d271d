"""Timelines that are followed live, by many or by one who opens too many."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import cast
from uuid import UUID

import httpx
import pytest

from deploy.local.ports import free_port
from order_api import event_stream
from order_api.contracts import TimelineEvent
from order_api.db.notifier import Notifier
from order_api.db.store import Store
from order_api.event_stream import OrderEventStream
from service_kit.postgres import pool
from service_kit.postgres.pool import Pool
from service_kit.process.background import Background
from tests.support.new_orders import new_order, progress
from tests.support.serving import bearer, patient_store, serve_orders

STREAMS = 40


class CountingStore(Store):
    """The real store, and how often streams and their look-out have asked it."""

    def __init__(self, connections: Pool, notifier: Notifier) -> None:
        super().__init__(connections, notifier)
        self.reads = 0
        self.reading = 0
        self.most_at_once = 0
        self.looks: asyncio.Queue[None] = asyncio.Queue()

    async def events(self, order_id: UUID, after: int = 0) -> list[TimelineEvent]:
        self.reads += 1
        self.reading += 1
        self.most_at_once = max(self.most_at_once, self.reading)
        try:
            return await super().events(order_id, after)
        finally:
            self.reading -= 1

    async def with_new_events(self, seen: Mapping[UUID, int]) -> list[UUID]:
        found = await super().with_new_events(seen)
        self.looks.put_nowait(None)
        return found


@pytest.fixture
async def store(orders_database: str) -> AsyncIterator[CountingStore]:
    connections = await pool.create(
        orders_database, name="streams", size=8, lock_timeout_s=10, statement_timeout_s=10
    )
    with patient_store():  # and nobody is ever told: a look has to do
        yield CountingStore(connections, Notifier(connections))
    connections.terminate()


def follow(feed: OrderEventStream, order_id: UUID) -> AsyncGenerator[bytes]:
    return cast("AsyncGenerator[bytes]", feed.follow(order_id, 0, settled=False))


async def next_event(stream: AsyncIterator[bytes]) -> str:
    async for piece in stream:
        if piece.startswith(b"id:"):
            return str(json.loads(piece.partition(b"data: ")[2])["type"])
    raise AssertionError("it ended")


async def test_many_streams_ask_once_for_all_and_still_miss_nothing(
    store: CountingStore, orders_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "POLL_INTERVAL_S", 0.05)
    orders = [(await store.accept(new_order(f"look-{n}"))).order for n in range(4)]
    feed = OrderEventStream(orders_database, store)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(Background(feed.keep_polling()))
        streams = [
            await stack.enter_async_context(aclosing(follow(feed, orders[n % 4].order_id)))
            for n in range(STREAMS)
        ]
        first = await asyncio.gather(*(next_event(stream) for stream in streams))
        waiting = [asyncio.ensure_future(next_event(stream)) for stream in streams]
        await quiet(store)

        await store.record(progress(orders[0].order_id, "reserved", "reserved"))
        told = await asyncio.wait_for(asyncio.gather(*waiting[::4]), 60)
        others = [each for n, each in enumerate(waiting) if n % 4]
        assert not any(each.done() for each in others)
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    assert first == ["received"] * STREAMS
    assert told == ["reserved"] * (STREAMS // 4)
    assert store.most_at_once <= event_stream.MAX_READERS, "the other connections are for orders"


async def quiet(store: CountingStore) -> None:
    """Wait until five looks in a row have set off no read of a single timeline."""
    rows = 0
    async with asyncio.timeout(60):
        while rows < 5:
            before = store.reads
            await store.looks.get()
            rows = rows + 1 if store.reads == before else 0


async def opened(client: httpx.AsyncClient, stack: AsyncExitStack, path: str) -> httpx.Response:
    headers = {"Accept": "text/event-stream"}
    answer = await stack.enter_async_context(client.stream("GET", path, headers=headers))
    if answer.status_code != 200:
        await answer.aread()
    return answer


async def placed(client: httpx.AsyncClient, key: str) -> str:
    body = {"lines": [{"sku": "MUG-BLUE", "quantity": 1}]}
    answer = await client.post("/v1/orders", json=body, headers={"Idempotency-Key": key})
    assert answer.status_code == 202, answer.text
    return f"/v1/orders/{answer.json()['order_id']}/events"


async def test_who_follows_too_many_orders_is_told_so_and_nobody_else_is_hurt(
    orders_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{free_port()}")
    with serve_orders(
        orders_database, "http://127.0.0.1:9", patient=True, streams=6, streams_per_customer=3
    ) as served:
        async with AsyncExitStack() as stack:

            async def client_of(role: str, subject: str) -> httpx.AsyncClient:
                client = httpx.AsyncClient(
                    base_url=served.url, headers=bearer(role, subject), timeout=60
                )
                return await stack.enter_async_context(client)

            alice, bob = await client_of("shopper", "alice"), await client_of("shopper", "bob")
            ui = await client_of("service", "ui")
            of_alice, of_bob = await placed(alice, "a"), await placed(bob, "b")
            alices = AsyncExitStack()
            for _ in range(3):
                assert (await opened(alice, alices, of_alice)).status_code == 200
            one_more = await opened(alice, stack, of_alice)
            assert one_more.status_code == 429
            assert one_more.headers["retry-after"] == "10"
            assert one_more.json()["type"] == "/problems/too-many-streams"
            assert (await alice.get(of_alice)).status_code == 200, "the timeline itself"
            await placed(alice, "a-2")

            # services follow for many; what holds for them is the limit of all
            for path in (of_alice, of_bob, of_alice):
                assert (await opened(ui, stack, path)).status_code == 200
            full = await opened(bob, stack, of_bob)
            assert (full.status_code, full.headers["retry-after"]) == (429, "10")
            await placed(bob, "b-2")
            assert "order_event_streams 6.0" in (await bob.get("/metrics")).text

            await alices.aclose()
            async with asyncio.timeout(60):
                while (await opened(bob, stack, of_bob)).status_code != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)  # the service has yet to notice that they left
