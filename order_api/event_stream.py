"""Server-sent events of an order's timeline, fed by LISTEN/NOTIFY."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

from activities.contracts import TERMINAL
from order_api.contracts import TimelineEvent
from order_api.db.notifier import CHANNEL
from order_api.db.store import Store
from service_kit.postgres.listener import keep_listening
from service_kit.postgres.pool import POSTGRES_ERRORS
from service_kit.process.waiting import is_set_within

# A wake-up can be lost: this often somebody looks for all streams together, and each says that it
# is alive.
POLL_INTERVAL_S = 1.0
HEARTBEAT_S = 10.0
# Connections of the pool that streams may use at a time. Orders are made durable on the others.
MAX_READERS = 3


@dataclass(eq=False, slots=True)
class _Follower:
    """One stream: the number of the last event it has, and whether it is to look for more."""

    after: int
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class OrderEventStream:
    """One listening connection for the whole process, handing wake-ups to those who follow."""

    def __init__(self, dsn: str, store: Store) -> None:
        self._dsn = dsn
        self._store = store
        self._followers: defaultdict[UUID, set[_Follower]] = defaultdict(set)
        self._reading = asyncio.Semaphore(MAX_READERS)

    async def run(self) -> None:
        """Listen until cancelled, connecting again whenever the connection is lost."""
        await keep_listening(self._dsn, CHANNEL, self._on_notify)

    def _on_notify(self, _: object, __: int, ___: str, payload: object) -> None:
        if not self._followers:  # nobody watches, as most of the time
            return
        for text in str(payload).split(","):
            with contextlib.suppress(ValueError):
                self._wake(UUID(text))

    def _wake(self, order_id: UUID) -> None:
        for follower in self._followers.get(order_id, ()):
            follower.changed.set()

    async def keep_polling(self) -> None:
        """Wake, until cancelled, whoever was not told: one look for all, or it would be thousands.

        A look while the database is in trouble finds nothing; the next one does.
        """
        while True:
            await asyncio.sleep(POLL_INTERVAL_S)
            seen = {
                order_id: min(follower.after for follower in followers)
                for order_id, followers in self._followers.items()
            }
            with contextlib.suppress(*POSTGRES_ERRORS):
                for order_id in await self._store.with_new_events(seen) if seen else ():
                    self._wake(order_id)

    async def follow(self, order_id: UUID, after: int, *, settled: bool) -> AsyncIterator[bytes]:
        """Yield the order's events after number `after` as SSE, and end when it has settled.

        `settled`: it has already, perhaps in a way that this release has no word for. What is told
        of it later, a delivery for example, is for who asks again.
        """
        follower = _Follower(after)
        self._followers[order_id].add(follower)
        try:
            yield b"retry: 1000\n\n"
            while True:
                events = await self._read(order_id, follower)
                for event in events:
                    follower.after = event.seq
                    yield _sse(event)
                    settled = settled or event.type in TERMINAL
                if settled and events:  # with all that is told of it, also after its end
                    return
                while not await is_set_within(follower.changed, HEARTBEAT_S):
                    yield b": still here\n\n"
        finally:
            followers = self._followers[order_id]
            followers.discard(follower)
            if not followers:
                del self._followers[order_id]

    async def _read(self, order_id: UUID, follower: _Follower) -> list[TimelineEvent]:
        try:
            async with self._reading:
                follower.changed.clear()  # whatever it was told until now, it sees now
                return await self._store.events(order_id, follower.after)
        except POSTGRES_ERRORS:
            return []  # looked for again in a second; the reader keeps its connection


def _sse(event: TimelineEvent) -> bytes:
    return f"id: {event.seq}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n".encode()
