"""Turn a cart into exactly one order, whatever the browser and the network do meanwhile."""

import asyncio
import time
from dataclasses import dataclass
from typing import Literal

from nicegui import background_tasks

from service_kit import logs, tracing
from ui.api import NoAnswer, OrderApi, Refusal
from ui.cart import Cart
from ui.identity import Identity

KEEP_TRYING_S = 30.0
PAUSE_S = 1.0
LONGEST_PAUSE_S = 3.0

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a checkout went: `placed` and `refused` are final, `unknown` may be tried again."""

    kind: Literal["placed", "refused", "unknown"]
    title: str
    message: str
    order_id: str | None = None


class Checkouts:
    """The checkouts under way in this process; one for each customer and key."""

    def __init__(self, orders: OrderApi) -> None:
        self._orders = orders
        self._running: dict[tuple[str, str], asyncio.Task[Outcome]] = {}

    def begin(self, who: Identity, cart: Cart) -> "asyncio.Task[Outcome]":
        """Send the cart, or join the sending that is under way.

        It goes on when the page that asked is gone; the next one asks again and gets its outcome.
        """
        key, lines = cart.send()
        place = (who.subject, key)
        running = self._running.get(place)
        if running is None:
            running = background_tasks.create(self._send(who, key, lines, cart), name="checkout")
            self._running[place] = running
            running.add_done_callback(lambda _: self._running.pop(place, None))
        return running

    async def _send(self, who: Identity, key: str, lines: dict[str, int], cart: Cart) -> Outcome:
        until = time.monotonic() + KEEP_TRYING_S
        while True:
            pause_s = PAUSE_S
            try:
                with tracing.journey("checkout", cart=key):
                    order = await self._orders.place(who, key, lines)
            except NoAnswer as trouble:
                _log.warning("no answer to a checkout", key=key, reason=str(trouble))
            except Refusal as refusal:
                if refusal.status < 500 and refusal.status != 429:
                    return _refused(refusal, cart)
                pause_s = min(refusal.retry_after_s or PAUSE_S, LONGEST_PAUSE_S)
            else:
                cart.ordered()
                return Outcome("placed", "Thank you", order.message, str(order.order_id))
            if time.monotonic() + pause_s > until:
                return _UNKNOWN
            await asyncio.sleep(pause_s)


_UNKNOWN = Outcome(
    "unknown",
    "We could not reach our order desk",
    "Your cart is safe. Try again when you like: it cannot be ordered twice.",
)


def _refused(refusal: Refusal, cart: Cart) -> Outcome:
    if refusal.status == 422 and refusal.order_id is not None:
        # sent before with other contents, and the answer never came through
        cart.refused()
        return Outcome(
            "refused",
            "An earlier cart went through",
            "Its answer had not reached you. See that order first, then buy this one if you like.",
            refusal.order_id,
        )
    cart.refused()
    title = "Sold out" if refusal.slug == "out-of-stock" else refusal.title
    return Outcome("refused", title, refusal.detail.removeprefix("Sold out: "), refusal.order_id)
