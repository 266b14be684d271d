"""Pollers of what all pages watch together: one task each asks once a second, never a page."""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import aiohttp
from nicegui import Event, ui

from activities.contracts import OPEN
from inventory_api.contracts import StockLevel
from order_api.contracts import OperationsSummary, Order, ResponseTime
from ui.clients.fault_admin import FaultApi, Faults
from ui.clients.http import Http, NoAnswer, Refusal
from ui.clients.inventory_api import InventoryApi
from ui.clients.metrics import MetricTotals, metric_totals
from ui.clients.order_api import OrderApi
from ui.identity import UI

Found = TypeVar("Found")
POLL_INTERVAL_S = 1.0
IDLE_POLL_INTERVAL_S = 5.0
HISTORY_S = 300.0
HEALTH_TIMEOUT_S = 0.9


@dataclass(frozen=True, slots=True)
class StockSnapshot:
    """The warehouse as last seen: levels by SKU, None while it does not answer."""

    levels: dict[str, StockLevel] | None = None
    waiting: list[Order] = field(default_factory=list)
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """A service's own word on itself: pass, warn, fail, or gone if it says nothing."""

    name: str
    status: str = "gone"
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment of the history that the charts show; None where nothing was known."""

    at: float
    average_s: float | None = None
    p95_s: float | None = None
    accepted_per_s: float | None = None
    settled_per_s: float | None = None
    unfinished: int | None = None


@dataclass(frozen=True, slots=True)
class Operations:
    """The whole system as last seen.

    `response_time` is None while order_api does not answer, `summary` while it or its database
    does not: the alert must not depend on what makes it red.
    """

    at: float = 0.0
    response_time: ResponseTime | None = None
    summary: OperationsSummary | None = None
    health: tuple[ServiceHealth, ...] = ()
    metrics: MetricTotals = field(default_factory=MetricTotals)
    faults: Faults = field(default_factory=Faults)
    history: tuple[Sample, ...] = ()


class StockWatch:
    """What one open page shows of the shelves: no more than that is asked for."""

    def __init__(self) -> None:
        self.skus: frozenset[str] = frozenset()
        self.orders = False


class StockPoller:
    """Stock levels and open orders while somebody looks at them."""

    def __init__(self, inventory: InventoryApi, orders: OrderApi) -> None:
        self._inventory = inventory
        self._orders = orders
        self._watches: set[StockWatch] = set()
        self.snapshot = StockSnapshot()
        self.changed: Event[[]] = Event()

    def watch(self) -> StockWatch:
        """Return a watch for as long as the page that is being built is open."""
        found = StockWatch()
        self._watches.add(found)
        ui.context.client.on_delete(lambda: self._watches.discard(found))
        return found

    async def run(self) -> None:
        """Look once a second for ever."""
        while True:
            if self.changed.callbacks:
                await self.poll()
                self.changed.emit()
            await asyncio.sleep(POLL_INTERVAL_S)

    async def poll(self) -> None:
        """Ask the warehouse for what is shown somewhere, and who waits for it."""
        levels: dict[str, StockLevel] | None = None
        waiting: list[Order] = self.snapshot.waiting
        shown = frozenset[str]().union(*(watch.skus for watch in self._watches))
        with contextlib.suppress(NoAnswer, Refusal):
            if not shown:
                await self._inventory.stock(limit=1)  # only to see that it answers
            levels = await self._inventory.stock_of(shown)
        if any(watch.orders for watch in self._watches):
            with contextlib.suppress(NoAnswer, Refusal):
                pages = [
                    await self._orders.orders(UI, status=status, limit=20, everyone=True)
                    for status in sorted(OPEN)
                ]
                waiting = [order for page in pages for order in page.items]
        self.snapshot = StockSnapshot(levels, waiting, time.time())

    async def show(self, watch: StockWatch, skus: Collection[str]) -> None:
        """Have `watch` show these SKUs; returns when their levels are known, if they can be."""
        watch.skus = frozenset(skus)
        levels = self.snapshot.levels
        new = watch.skus if levels is None else watch.skus - levels.keys()
        if new:
            with contextlib.suppress(NoAnswer, Refusal):
                found = await self._inventory.stock_of(new)
                self.snapshot = replace(
                    self.snapshot, levels={**(self.snapshot.levels or {}), **found}
                )


class OperationsPoller:
    """The system's state once a second, with five minutes of history."""

    def __init__(
        self,
        http: Http,
        orders: OrderApi,
        faults: FaultApi,
        services: dict[str, str],
        own_health: Callable[[], Awaitable[dict[str, Any]]],
    ) -> None:
        self._http = http
        self._orders = orders
        self._faults = faults
        self._services = services
        self._own_health = own_health
        self._history: deque[Sample] = deque()
        self.now = Operations()
        self.changed: Event[[]] = Event()

    async def run(self) -> None:
        """Look for ever: each second while somebody watches, and now and then for the history."""
        while True:
            began = time.monotonic()
            await self.poll(everything=bool(self.changed.callbacks))
            self.changed.emit()
            pause_s = POLL_INTERVAL_S if self.changed.callbacks else IDLE_POLL_INTERVAL_S
            await asyncio.sleep(max(pause_s - (time.monotonic() - began), 0.1))

    async def poll(self, *, everything: bool) -> None:
        """Take one look; without `everything`, at what the history needs."""
        if everything:
            (response_time, summary), health, metrics, faults = await asyncio.gather(
                self._orders_now(), self._health(), self._read_metrics(), self._faults.poll()
            )
            seen = replace(self.now, health=health, metrics=metrics, faults=faults)
        else:
            (response_time, summary), seen = await self._orders_now(), self.now
        now = time.time()
        self._history.append(_sample(now, response_time, summary))
        while self._history[0].at < now - HISTORY_S:
            self._history.popleft()
        self.now = replace(
            seen,
            at=now,
            response_time=response_time,
            summary=summary,
            history=tuple(self._history),
        )

    async def _orders_now(self) -> tuple[ResponseTime | None, OperationsSummary | None]:
        return await asyncio.gather(
            _or_none(self._orders.response_time()), _or_none(self._orders.summary())
        )

    async def _health(self) -> tuple[ServiceHealth, ...]:
        own = _health_of("ui", await self._own_health())
        others = (self._health_at(name, url) for name, url in self._services.items())
        return (*await asyncio.gather(*others), own)

    async def _health_at(self, name: str, url: str) -> ServiceHealth:
        try:
            return _health_of(name, json.loads(await self._page(f"{url}/health")))
        except ValueError:
            return ServiceHealth(name, "gone", ("does not answer",))

    async def _read_metrics(self) -> MetricTotals:
        urls = self._services.values()
        pages = await asyncio.gather(*(self._page(f"{url}/metrics") for url in urls))
        return metric_totals(pages, self.now.metrics)

    async def _page(self, url: str) -> str:
        """Return what a service tells everybody, nothing if it does not."""
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_S), self._http.session.get(url) as answer:
                return await answer.text()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return ""


async def _or_none(asking: Awaitable[Found]) -> Found | None:
    try:
        return await asking
    except (NoAnswer, Refusal):
        return None


def _sample(
    at: float, response_time: ResponseTime | None, summary: OperationsSummary | None
) -> Sample:
    average_s = response_time.average_s if response_time is not None else None
    if summary is None:
        return Sample(at, average_s)
    return Sample(
        at,
        average_s,
        summary.latency.p95_s,
        summary.accepted_per_s,
        summary.settled_per_s,
        summary.unfinished,
    )


def _health_of(name: str, document: Any) -> ServiceHealth:
    """Read a health document; whatever is not one counts as failing."""
    try:
        troubles = tuple(
            f"{check}: {finding.get('output', finding['status'])}"
            for check, findings in document["checks"].items()
            for finding in findings
            if finding["status"] != "pass"
        )
        return ServiceHealth(name, str(document["status"]), troubles)
    except (KeyError, TypeError, AttributeError):
        return ServiceHealth(name, "fail", ("its health document cannot be read",))
