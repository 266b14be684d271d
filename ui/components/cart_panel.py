"""Cart panel beside the products: what it costs, and buying with one click."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from nicegui import ui
from nicegui.element import Element

from inventory_api.contracts import MAX_LINES
from order_api.contracts import Product
from ui import labels
from ui.components.layout import PageContext, block, button, html, note, text
from ui.shop.cart import MAX_PIECES, Cart
from ui.shop.checkout import Outcome

_TONES = {
    "refused": ("bad", "remove_shopping_cart"),
    "untouched": ("warn", "info"),
    "price": ("warn", "sell"),
    "unknown": ("warn", "cloud_off"),
}


class CartPanel:
    """One page's view of a browser's cart.

    `products` are those whose names and prices are known here, by SKU; `reload` reads them anew,
    `changed` is called when what may be added has changed.
    """

    def __init__(
        self,
        context: PageContext,
        products: dict[str, Product],
        reload: Callable[[], Awaitable[None]],
        changed: Callable[[], None],
    ) -> None:
        self.context = context
        self.products = products
        self.cart = Cart(context.browser)
        self.outcome: Outcome | None = None
        self._reload = reload
        self._changed = changed

    @property
    def lines(self) -> dict[str, int]:
        """What is in the cart, or on its way."""
        return self.cart.sent or self.cart.lines

    def put(self, sku: str, more: int) -> None:
        """Have more or fewer pieces of `sku` in the cart, or say why there is no room for more."""
        lines = self.cart.lines
        if sku not in lines and len(lines) >= MAX_LINES:
            full = f"One order can have {MAX_LINES} different products."
            ui.notify(f"{full} Buy these first, or take one out.", type="warning")
            return
        if more > 0 and lines.get(sku, 0) >= MAX_PIECES:
            ui.notify(f"A cart can have {MAX_PIECES} pieces of a product.", type="warning")
            return
        self.outcome = None
        self.cart.put(sku, lines.get(sku, 0) + more)
        self.refresh()

    def refresh(self) -> None:
        """Show the cart as it is."""
        self.panel.refresh()
        self.paybar.refresh()
        self._changed()

    def resume(self) -> None:
        """Go on with a checkout that a reload has interrupted: same key, same order."""
        if self.cart.sent is not None:
            ui.timer(0, self.buy, once=True)

    async def buy(self) -> None:
        """Order what is in the cart at the total that is shown; any further click joins the first.

        Another price than the one shown is not paid: the shopper sees both, and clicks again.
        What has no total is not bought; what was sent with one is asked for again.
        """
        if not self.lines or self._obstacle():
            return
        client = ui.context.client
        total = self._known_total()
        self.outcome = None
        checkout = self.context.backend.checkouts.begin(self.context.shopper, self.cart, total)
        self.refresh()
        outcome = await asyncio.shield(checkout)
        if client.is_deleted:
            return  # whoever reloads is told by the next page
        if outcome.kind == "placed":
            ui.navigate.to(f"/orders/{outcome.order_id}")
            return
        self.outcome = outcome
        if outcome.kind == "price":
            await self._reload()
        self.refresh()

    @ui.refreshable_method
    def panel(self) -> None:
        """Show the cart."""
        lines = self.lines
        with block("line spread"):
            text("Your cart", "h2")
            if lines:
                text(labels.count(sum(lines.values()), "piece"), "span", "small soft")
        if self.outcome is not None:
            _show_outcome(self.outcome)
        if not lines:
            text("Nothing in it yet. Add something you like.", "p", "soft")
            return
        sending = self.cart.sent is not None and self.outcome is None
        for sku, pieces in lines.items():
            self._line(sku, pieces, locked=self.cart.sent is not None)
        with block("total"):
            text("Total", "span")
            text(self._total(), "span", "number")
        if sending:
            with note("busy", "hourglass_top", "Sending your order", "You can close this page."):
                pass
        if obstacle := self._obstacle():
            note("warn", "info", *obstacle)
        words = "Try again" if self.outcome and self.outcome.kind == "unknown" else "Buy now"
        pay = button(words, self.buy, icon="bolt", primary=True)
        pay.mark("buy").set_enabled(not sending and obstacle is None)
        text("One click, one order. Clicking twice changes nothing.", "p", "small soft")

    @ui.refreshable_method
    def paybar(self) -> None:
        """Show the way to pay on a phone, where the cart is below the products."""
        lines = self.lines
        if not lines:
            text("Your cart is empty", "span", "soft")
            return
        html(
            f"<span>{labels.count(sum(lines.values()), 'piece')}</span> "
            f"<b class=number>{self._total()}</b>",
            "a",
        ).props('href=#cart aria-label="See the cart"')
        sending = self.cart.sent is not None and self.outcome is None
        button(
            "Sending" if sending else "Buy now", self.buy, icon="bolt", primary=True
        ).set_enabled(not sending and self._obstacle() is None)

    def _line(self, sku: str, pieces: int, *, locked: bool) -> None:
        product = self.products.get(sku)
        name = product.name if product else sku
        with block("cart-line"):
            html(f'<img src="{product.image_url if product else ""}" alt="">')
            with block("stack").style("gap: 0"):
                text(name, "strong")
                if product:
                    text(
                        labels.money(product.unit_price_minor, product.currency),
                        "span",
                        "small soft number",
                    )
            self._stepper(sku, name, pieces, locked=locked)

    def _stepper(self, sku: str, name: str, pieces: int, *, locked: bool) -> Element:
        with block("stepper").props(f'role=group aria-label="Pieces of {name}"') as stepper:
            fewer = button("", lambda: self.put(sku, -1), icon="remove" if pieces > 1 else "delete")
            fewer.props(f'aria-label="One {name} less"').set_enabled(not locked)
            text(str(pieces), "span", "count number")
            more = button("", lambda: self.put(sku, 1), icon="add")
            more.props(f'aria-label="One {name} more"').set_enabled(not locked)
        return stepper

    def _totals(self) -> Counter[str]:
        """Return minor units by currency, of the products that are known here."""
        totals: Counter[str] = Counter()
        for sku, pieces in self.lines.items():
            if (product := self.products.get(sku)) is not None:
                totals[product.currency] += product.unit_price_minor * pieces
        return totals

    def _known_total(self) -> tuple[int, str] | None:
        """Return what the shopper sees that it costs; None if that is not one known sum."""
        if self.outcome is not None and self.outcome.total is not None:
            return self.outcome.total  # the order desk's own word, newer than any page
        totals = self._totals()
        if len(totals) != 1 or self._unlisted():
            return None
        [(currency, minor)] = totals.items()
        return minor, currency

    def _unlisted(self) -> list[str]:
        return [sku for sku in self.lines if sku not in self.products]

    def _obstacle(self) -> tuple[str, str] | None:
        """Return why this cart cannot be bought, as title and message; None if it can."""
        if self.cart.sent is not None or self._known_total() is not None:
            return None
        if unlisted := self._unlisted():
            title = f"Not on sale now: {', '.join(unlisted)}"
            return title, "Take it out of your cart to buy the rest, or look again later."
        return "These prices do not add up", "Leave one currency in your cart. Buy the rest then."

    def _total(self) -> str:
        if self.outcome is not None and self.outcome.total is not None:
            return labels.money(*self.outcome.total)
        sums = [labels.money(minor, currency) for currency, minor in self._totals().items()]
        unknown = ["?"] if self._unlisted() else []
        return " + ".join(sums + unknown)


def _show_outcome(outcome: Outcome) -> None:
    tone, picture = _TONES.get(outcome.kind, ("good", "check_circle"))
    with note(tone, picture, outcome.title, outcome.message):
        if outcome.order_id is not None:
            html("See the order", "a").props(f"href=/orders/{outcome.order_id}")
