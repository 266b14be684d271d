"""The process of the add-ons: finds them, runs each on its own, and says how they are."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points

import asyncpg
from fastapi import FastAPI

from order_api.schema import MIGRATIONS
from order_api.wakeups import CHANNEL
from service_kit import application, database_health, logs, pool
from service_kit.background import Background
from service_kit.health import Finding, Health, Probe
from service_kit.migrations import latest
from service_kit.pool import TROUBLE
from subscribers.contracts import ENTRY_POINTS, Subscriber
from subscribers.runner import Runner
from subscribers.settings import SubscriberSettings

TABLES = ("order_events", "subscriber_cursors")
# An add-on may hang in a statement of its own for as long as the runner lets it.
STATEMENT_TIMEOUT_S = 15.0
RECONNECT_S = 0.5

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class State:
    """What the health routes need."""

    health: Health


def installed() -> dict[str, Subscriber]:
    """Return the add-ons found through their entry points; one that cannot load is left out."""
    found: dict[str, Subscriber] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            found[entry.name] = entry.load()()
        except Exception:
            _log.exception("add-on cannot be loaded and is left out", subscriber=entry.name)
    return found


def create_app(settings: SubscriberSettings, add_ons: Mapping[str, Subscriber]) -> FastAPI:
    """Return an application that runs `add_ons` for as long as it serves."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        dsn = settings.database_url.get_secret_value()
        async with AsyncExitStack() as stack:
            connections = await pool.create(
                dsn,
                name="subscribers",
                # each add-on holds one while it works and needs one to note a failure
                size=2 * len(add_ons) + 2,
                lock_timeout_s=STATEMENT_TIMEOUT_S,
                statement_timeout_s=STATEMENT_TIMEOUT_S,
            )
            stack.callback(connections.terminate)
            news = {name: asyncio.Event() for name in add_ons}
            runners = [Runner(name, add_ons[name], connections, news[name]) for name in add_ons]
            app.state.service = State(_health(connections, list(add_ons)))
            await stack.enter_async_context(
                Background(_listen(dsn, news), *(runner.run() for runner in runners))
            )
            yield

    app = application.create("Valerix subscribers", lifespan, lambda: app.state.service.health)
    return app


async def _listen(dsn: str, news: Mapping[str, asyncio.Event]) -> None:
    """Wake every add-on when orders have changed; without it they look once a second."""

    def wake_all(*_: object) -> None:
        for event in news.values():
            event.set()

    while True:
        try:
            connection = await asyncpg.connect(dsn, timeout=2.0)
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _, lost=lost: lost.set())
            try:
                await connection.add_listener(CHANNEL, wake_all)
                await lost.wait()
            finally:
                connection.terminate()
        except TROUBLE:
            await asyncio.sleep(RECONNECT_S)


def _health(connections: pool.Pool, names: list[str]) -> Health:
    database = database_health.probes(connections, TABLES, latest(MIGRATIONS))

    def progress_of(name: str) -> Probe:
        async def progress() -> Finding:
            row = await connections.fetchrow(PROGRESS, name)
            if row is None:
                return Finding("warn", "has not started yet")
            if row["failures"]:
                return Finding("warn", f"fails: {row['failures']} times in a row", row["failures"])
            return Finding(value=row["seq"], unit="event")

        return progress

    add_ons = {f"subscriber:{name}": progress_of(name) for name in names}
    return Health(
        "subscribers",
        application.own_version(),
        {**database, **add_ons},
        needed=frozenset(database),
        optional=frozenset(add_ons),
    )


PROGRESS = "SELECT seq, failures FROM subscriber_cursors WHERE subscriber = $1"
