"""Checkout: turns a cart into exactly one order, whatever browser and network do meanwhile."""

import asyncio
import time
from dataclasses import dataclass
from typing import Literal

from nicegui import background_tasks

from order_api.client_rules import REUSED, is_definite, stored_nothing
from order_api.contracts import order_id_for
from service_kit.observability import logs, tracing
from ui import labels
from ui.clients.http import NoAnswer, Refusal
from ui.clients.order_api import OrderApi
from ui.identity import Identity
from ui.shop.cart import Cart, Sending
from workflows.reasons import OUT_OF_STOCK

RETRY_FOR_S = 30.0
RETRY_DELAY_S = 1.0
MAX_RETRY_DELAY_S = 3.0

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a checkout went: final, except for `unknown`, which may be tried again.

    `untouched` and `price` leave the cart under its key, to be changed: the last try stored
    nothing. `total` is the price to agree to, in minor units and its currency.
    """

    kind: Literal["placed", "refused", "untouched", "price", "unknown"]
    title: str
    message: str
    order_id: str | None = None
    total: tuple[int, str] | None = None


class Checkouts:
    """The checkouts under way in this process; one for each customer and key."""

    def __init__(self, orders: OrderApi) -> None:
        self._orders = orders
        self._running: dict[tuple[str, str], asyncio.Task[Outcome]] = {}

    def begin(
        self, who: Identity, cart: Cart, total: tuple[int, str] | None
    ) -> "asyncio.Task[Outcome]":
        """Send the cart, or join the sending that is under way.

        `total` is what the shopper was shown that it costs (minor units, currency); None only for
        what is on its way. The sending goes on when the page that asked is gone; the next one asks
        again and gets its outcome.
        """
        sending = cart.send(*(total or (None, None)))
        place = (who.subject, sending.key)
        running = self._running.get(place)
        if running is None:
            running = background_tasks.create(self._send(who, sending, cart), name="checkout")
            self._running[place] = running
            running.add_done_callback(lambda _: self._running.pop(place, None))
        return running

    async def _send(self, who: Identity, sending: Sending, cart: Cart) -> Outcome:
        """Send until the outcome is known, or time is up.

        The cart's key is given up only for an answer about this very order: once a try has been
        left without one, a 401 or 404 says nothing about what that try has stored.
        """
        order_id = order_id_for(who.subject, sending.key)
        in_doubt = sending.again
        until = time.monotonic() + RETRY_FOR_S
        while True:
            pause_s = RETRY_DELAY_S
            try:
                with tracing.start_trace("checkout", cart=sending.key):
                    order = await self._orders.place(
                        who, sending.key, sending.lines, sending.total_minor, sending.currency
                    )
            except NoAnswer as trouble:
                _log.warning("no answer to a checkout", key=sending.key, reason=str(trouble))
                in_doubt = True
            except Refusal as refusal:
                if is_definite(refusal.status, refusal.members, order_id):
                    return _refused(refusal, cart, sending)
                nothing = stored_nothing(refusal.status, refusal.members)
                if nothing and refusal.slug == "price-changed" and "total_minor" in refusal.members:
                    return _price_changed(refusal, cart, sending, in_doubt=in_doubt)
                if nothing and refusal.slug == "invalid-request":  # asking again is of no use
                    return _untouched(cart, sending, *_said(refusal), in_doubt=in_doubt)
                in_doubt = in_doubt or not nothing
                if not in_doubt and refusal.status < 500 and refusal.status != 429:
                    return _untouched(cart, sending, *_said(refusal))
                pause_s = min(refusal.retry_after_s or RETRY_DELAY_S, MAX_RETRY_DELAY_S)
            else:
                cart.ordered(sending)
                return Outcome("placed", "Thank you", order.message, str(order.order_id))
            if time.monotonic() + pause_s > until:
                return _UNKNOWN if in_doubt else _untouched(cart, sending, *_BUSY)
            await asyncio.sleep(pause_s)


_UNKNOWN = Outcome(
    "unknown",
    "We could not reach our order desk",
    "Your cart is safe. Try again when you like: it cannot be ordered twice.",
)
_BUSY = ("Our order desk is busy", "Nothing was ordered. Your cart is kept: try again in a moment.")
_IN_DOUBT = (
    "An earlier try may have gone through: your orders will show it. "
    "Buying again with this cart cannot order twice."
)


def _said(refusal: Refusal) -> tuple[str, str]:
    return refusal.title, refusal.detail


def _untouched(
    cart: Cart, sending: Sending, title: str, message: str, *, in_doubt: bool = False
) -> Outcome:
    """The last try stored nothing, so the key stays that of whatever is bought next."""
    cart.untouched(sending, in_doubt=in_doubt)
    return Outcome("untouched", title, f"{message} {_IN_DOUBT}" if in_doubt else message)


def _price_changed(refusal: Refusal, cart: Cart, sending: Sending, *, in_doubt: bool) -> Outcome:
    cart.untouched(sending, in_doubt=in_doubt)
    now, currency = int(refusal.members["total_minor"]), str(refusal.members["currency"])
    was = sending.total_minor
    before = "" if was is None else f"It was {labels.money(was, sending.currency or currency)}. "
    return Outcome(
        "price",
        f"The price is {labels.money(now, currency)} now",
        f"{before}{_IN_DOUBT if in_doubt else 'Nothing was ordered.'} "
        "Buy it at the new price, or change your cart.",
        total=(now, currency),
    )


def _refused(refusal: Refusal, cart: Cart, sending: Sending) -> Outcome:
    if refusal.slug == REUSED:
        # sent before with other contents, and the answer never came through
        cart.refused(sending)
        return Outcome(
            "refused",
            "An earlier cart went through",
            "Its answer had not reached you. See that order first, then buy this one if you like.",
            refusal.order_id,
        )
    cart.refused(sending)
    title = "Sold out" if refusal.slug == OUT_OF_STOCK else refusal.title
    return Outcome("refused", title, refusal.detail.removeprefix("Sold out: "), refusal.order_id)
