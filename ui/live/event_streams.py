"""Event streams: one from order_api for each order, shared by all pages that show it."""

import asyncio
import contextlib
from uuid import UUID

from nicegui import Event, background_tasks, ui

from order_api.contracts import Order, TimelineEvent
from service_kit.observability import logs
from ui.clients.http import NoAnswer, Refusal
from ui.clients.order_api import NothingFollows, OrderApi
from ui.identity import UI

RECONNECT_DELAY_S = 1.0

_log = logs.get(__name__)


class LiveOrder:
    """An order as it stands, its timeline so far, and whether the stream is open."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.events: list[TimelineEvent] = []
        self.connected = True
        self.ended = False  # the service has said that nothing follows what is here
        self.changed: Event[[]] = Event()
        self.pages = 0
        self.task: asyncio.Task[None] | None = None


class OrderEventStreams:
    """The timelines that somebody is looking at."""

    def __init__(self, orders: OrderApi) -> None:
        self._orders = orders
        self._open: dict[UUID, LiveOrder] = {}

    def watch(self, order: Order) -> LiveOrder:
        """Follow `order` for as long as the page that is being built is open."""
        live = self._open.get(order.order_id)
        if live is None:
            live = self._open[order.order_id] = LiveOrder(order)
            live.task = background_tasks.create(self._follow(live), name=f"follow {order.order_id}")
        live.pages += 1
        ui.context.client.on_delete(lambda: self._leave(live))
        return live

    def _leave(self, live: LiveOrder) -> None:
        live.pages -= 1
        if live.pages == 0:
            self._open.pop(live.order.order_id, None)
            if live.task is not None:
                live.task.cancel()

    async def _follow(self, live: LiveOrder) -> None:
        while not live.ended:
            after = live.events[-1].seq if live.events else 0
            pause_s = RECONNECT_DELAY_S
            try:
                async for event in self._orders.follow(live.order.order_id, after):
                    if event is not None:
                        live.events.append(event)
                        await self._refresh(live)
                    elif live.connected:
                        continue
                    live.connected = True
                    live.changed.emit()
                if live.events and live.events[-1].seq > after:
                    continue  # asked at once whether that was all
            except NothingFollows:
                live.ended = live.connected = True
                live.changed.emit()
            except NoAnswer as trouble:
                _log.info("timeline interrupted", reason=str(trouble))
            except Refusal as full:
                pause_s = full.retry_after_s or RECONNECT_DELAY_S
            if not live.ended:
                live.connected = False
                live.changed.emit()
                await asyncio.sleep(pause_s)

    async def _refresh(self, live: LiveOrder) -> None:
        # the event says what happened; the order's row, what the shopper is told about it
        with contextlib.suppress(NoAnswer, Refusal):
            live.order = await self._orders.order(UI, live.order.order_id)
