"""Follow an order's timeline as it is written: server-sent events fed by LISTEN/NOTIFY."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg

from activities.contracts import TERMINAL
from order_api.contracts import TimelineEvent
from order_api.store import Store
from order_api.wakeups import CHANNEL
from service_kit import logs
from service_kit.pool import TROUBLE

# A wake-up can be lost; a stream looks for itself this often, and says it is alive this often.
LOOK_S = 1.0
HEARTBEAT_S = 10.0
RECONNECT_S = 0.5

_log = logs.get(__name__)


class LiveFeed:
    """One listening connection for the whole process, handing wake-ups to those who follow."""

    def __init__(self, dsn: str, store: Store) -> None:
        self._dsn = dsn
        self._store = store
        self._followers: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)

    async def run(self) -> None:
        """Listen until cancelled, connecting again whenever the connection is lost."""
        while True:
            try:
                await self._listen()
            except TROUBLE as error:
                _log.warning("cannot listen for order events", reason=type(error).__name__)
                await asyncio.sleep(RECONNECT_S)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=2.0)
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            await connection.add_listener(CHANNEL, self._on_notify)
            await lost.wait()
        finally:
            connection.terminate()

    def _on_notify(self, _: object, __: int, ___: str, payload: object) -> None:
        if not self._followers:  # nobody watches, as most of the time
            return
        for text in str(payload).split(","):
            with contextlib.suppress(ValueError):
                for event in self._followers.get(UUID(text), ()):
                    event.set()

    async def follow(self, order_id: UUID, after: int, *, settled: bool) -> AsyncIterator[bytes]:
        """Yield the order's events after number `after` as SSE until its last one.

        `settled`: what there is now is all there will be.
        """
        news = asyncio.Event()
        self._followers[order_id].add(news)
        silent_s = 0.0
        try:
            yield b"retry: 1000\n\n"
            while True:
                news.clear()
                events = await self._read(order_id, after)
                for event in events:
                    after = event.seq
                    yield _sse(event)
                    if event.type in TERMINAL:
                        return
                if settled and events:  # perhaps in a way that this release has no word for
                    return
                silent_s = 0.0 if events else silent_s
                try:
                    async with asyncio.timeout(LOOK_S):
                        await news.wait()
                except TimeoutError:
                    silent_s += LOOK_S
                    if silent_s >= HEARTBEAT_S:
                        silent_s = 0.0
                        yield b": still here\n\n"
        finally:
            followers = self._followers[order_id]
            followers.discard(news)
            if not followers:
                del self._followers[order_id]

    async def _read(self, order_id: UUID, after: int) -> list[TimelineEvent]:
        try:
            return await self._store.events(order_id, after)
        except TROUBLE:
            return []  # looked for again in a second; the reader keeps its connection


def _sse(event: TimelineEvent) -> bytes:
    return f"id: {event.seq}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n".encode()
