"""Load burst: a bounded number of orders, placed as a crowd of shoppers would."""

import asyncio
import itertools
from collections import Counter

from nicegui import background_tasks

from order_api.client_rules import stored_nothing
from ui.clients.http import NoAnswer, Refusal
from ui.clients.order_api import OrderApi
from ui.identity import Identity
from workflows.reasons import OUT_OF_STOCK

MAX_RATE = 20
MAX_SECONDS = 60
CROWD = 50
# Sold in quantity; the small edition is left for people.
SKUS = ("MUG-BLUE", "TEE-BASIC", "NOTEBOOK-A5", "SOCKS-WOOL", "TOTE-CANVAS")


class LoadBurst:
    """One burst at a time, for all pages together."""

    def __init__(self, orders: OrderApi, name: str) -> None:
        self._orders = orders
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self._next = 1
        self.left = 0
        self.answers: Counter[str] = Counter()

    @property
    def running(self) -> bool:
        """A burst is under way."""
        return self._task is not None and not self._task.done()

    def order_at(self, number: int) -> tuple[Identity, str]:
        """Return who places the burst's order `number`, and under which key."""
        return Identity(f"crowd-{self._name}-{number % CROWD}", "shopper"), f"burst-{number}"

    def coming(self, count: int) -> list[tuple[Identity, str]]:
        """Return the burst's next orders."""
        return [self.order_at(number) for number in range(self._next, self._next + count)]

    def start(self, rate: int, seconds: int) -> None:
        """Place `rate` orders a second for so many seconds, unless a burst is under way."""
        if self.running:
            return
        rate, seconds = min(rate, MAX_RATE), min(seconds, MAX_SECONDS)
        self.answers.clear()
        self._task = background_tasks.create(self._run(rate, rate * seconds), name="load burst")

    def stop(self) -> None:
        """Place no more; those under way go on."""
        if self._task is not None:
            self._task.cancel()
        self.left = 0

    async def _run(self, rate: int, total: int) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        under_way = set()
        for place in itertools.count():
            self.left = total - place
            if not self.left:
                break
            # by the clock and not by the answers: slow answers must not thin out the load
            await asyncio.sleep(max(0.0, began + place / rate - loop.time()))
            task = background_tasks.create(self._place(self._next), name="burst order")
            self._next += 1
            under_way.add(task)
            task.add_done_callback(under_way.discard)

    async def _place(self, number: int) -> None:
        who, key = self.order_at(number)
        try:
            order = await self._orders.place(who, key, {SKUS[number % len(SKUS)]: 1})
        except NoAnswer:
            self.answers["no answer"] += 1
        except Refusal as refusal:
            if refusal.slug == OUT_OF_STOCK:
                self.answers["sold out"] += 1
            elif stored_nothing(refusal.status, refusal.members):  # and there was but one try
                self.answers["refused"] += 1
            else:
                self.answers["no answer"] += 1
        else:
            self.answers["shipped" if order.status == "shipped" else "accepted"] += 1
