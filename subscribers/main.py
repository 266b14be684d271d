"""Build the application that runs every subscriber and reports their health."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import entry_points

from fastapi import FastAPI

from order_api.db.notifier import CHANNEL
from order_api.db.schema import MIGRATIONS
from service_kit.http import application
from service_kit.observability import logs
from service_kit.observability.health import Health
from service_kit.postgres import database_health, pool
from service_kit.postgres.listener import keep_listening
from service_kit.postgres.migrations import latest
from service_kit.process import supervised
from service_kit.process.background import Background
from service_kit.process.supervised import Supervised
from subscribers.contracts import ENTRY_POINTS, Subscriber
from subscribers.progress import progress_of
from subscribers.settings import SubscriberSettings
from subscribers.subscriber_thread import SubscriberThread

TABLES = ("order_events", "subscriber_cursors")
STATEMENT_TIMEOUT_S = 1.0
# Whoever blocks that long will not return; a new start costs the other subscribers a second.
STUCK_S = 60.0

_log = logs.get(__name__)


def installed() -> dict[str, Subscriber]:
    """Return the subscribers found through their entry points; one that cannot load is left out."""
    found: dict[str, Subscriber] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            found[entry.name] = entry.load()()
        except Exception:
            _log.exception("subscriber cannot be loaded and is left out", subscriber=entry.name)
    return found


def create_app(settings: SubscriberSettings, subscribers: Mapping[str, Subscriber]) -> FastAPI:
    """Return an application that runs `subscribers` for as long as it serves."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        dsn = settings.database_url.get_secret_value()
        async with AsyncExitStack() as stack:
            connections = await pool.create(
                dsn,
                name="subscribers health",
                size=3,
                lock_timeout_s=STATEMENT_TIMEOUT_S,
                statement_timeout_s=STATEMENT_TIMEOUT_S,
            )
            stack.callback(connections.terminate)
            threads = [
                SubscriberThread(name, subscriber, dsn) for name, subscriber in subscribers.items()
            ]
            for thread in threads:
                thread.start()
                stack.push_async_callback(thread.stop)
            listening = Supervised("listen", partial(_listen, dsn, threads))
            app.state.health = _health(connections, threads, listening)
            await stack.enter_async_context(Background(listening.run(), _watch(threads)))
            yield

    app = application.create("Valerix subscribers", lifespan, lambda: app.state.health)
    return app


async def _watch(threads: Sequence[SubscriberThread]) -> None:
    """Return, which ends the process and has it started anew, when a subscriber blocks for good."""
    stuck: list[str] = []
    while not stuck:
        await asyncio.sleep(1.0)
        stuck = [thread.name for thread in threads if thread.silent_s() >= STUCK_S]
    _log.critical("subscriber blocks its thread", subscribers=stuck, seconds=STUCK_S)


async def _listen(dsn: str, threads: Sequence[SubscriberThread]) -> None:
    """Wake every subscriber when orders have changed; without it they look once a second."""

    def wake_all(*_: object) -> None:
        for thread in threads:
            thread.wake()

    await keep_listening(dsn, CHANNEL, wake_all)


def _health(
    connections: pool.Pool, threads: Sequence[SubscriberThread], listening: Supervised
) -> Health:
    database = database_health.probes(connections, TABLES, latest(MIGRATIONS))
    subscribers = {
        f"subscriber:{thread.name}": progress_of(thread, connections) for thread in threads
    }
    subscribers |= supervised.probes(listening)
    return Health(
        "subscribers",
        application.own_version(),
        {**database, **subscribers},
        needed=frozenset(database),
        optional=frozenset(subscribers),
    )
