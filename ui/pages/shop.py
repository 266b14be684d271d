"""The shop: products with live availability, the cart, and buying with one click."""

import asyncio

from nicegui import ui
from nicegui.element import Element

from inventory_api.contracts import StockLevel
from order_api.contracts import Product
from ui import wording
from ui.api import NoAnswer, Refusal
from ui.backend import Backend
from ui.cart import Cart
from ui.checkout import Outcome
from ui.frame import Visit, block, button, empty, frame, html, note, text

FEW = 60


def register(backend: Backend) -> None:
    """Add the page."""

    @ui.page("/")
    async def shop() -> None:
        with frame(backend, "Shop", "/") as visit:
            try:
                products = await backend.orders.products()
            except (NoAnswer, Refusal):
                products = []
            if not backend.stock.shelf.at:
                await backend.stock.look()
            found = Shop(visit, products)
            if products:
                found.build()
            else:
                found.build_without_products()


class Shop:
    """One browser's view of the shop."""

    def __init__(self, visit: Visit, products: list[Product]) -> None:
        self.visit = visit
        self.products = {product.sku: product for product in products}
        self.cart = Cart(visit.browser)
        self.levels: dict[str, ui.html] = {}
        self.adders: dict[str, ui.button] = {}
        self.outcome: Outcome | None = None

    def build(self) -> None:
        """Build products and cart, and keep both up to date."""
        with block("heading"), block("stack").style("gap: 4px"):
            text("Good things, shipped once", "h1")
            text(
                "Availability is live. Whatever happens on the way, you get exactly one parcel.",
                "p",
                "soft",
            )
        with block("shop"):
            with block("grid", "ul").props('aria-label="Products"'):
                for product in self.products.values():
                    self._product(product)
            with block("cart card", "section").props('id=cart aria-label="Cart"'):
                self.panel()
        with block("paybar"):
            self.paybar()
        self.show_levels()
        self.visit.backend.stock.changed.subscribe(self.show_levels)
        self._resume()

    def build_without_products(self) -> None:
        """Say that the catalogue is away; an order that is being sent goes on."""
        kept = "Your cart is kept." if self.cart.sent is None else "Your order is being sent."
        with empty(
            "storefront",
            "The shop window is being cleaned",
            f"Our catalogue does not answer right now. {kept}",
        ):
            button("Look again", ui.navigate.reload, icon="refresh", primary=True)
        self._resume()

    def _resume(self) -> None:
        """Go on with a checkout that a reload has interrupted: same key, same order."""
        if self.cart.sent is not None:
            ui.timer(0, self.buy, once=True)

    def _product(self, product: Product) -> None:
        with block("product card", "li"):
            html(f'<img src="{product.image_url}" alt="" loading="lazy" width="400" height="300">')
            with block("body"):
                with block("what"):
                    text(product.name, "h2")
                    text(product.description, "p", "small soft")
                self.levels[product.sku] = html("", "p")
                with block("line spread"):
                    text(wording.money(product.unit_price_minor, product.currency), "span", "price")
                    self.adders[product.sku] = button(
                        "Add", lambda sku=product.sku: self.put(sku, 1), icon="add", tight=True
                    ).props(f'aria-label="Add {product.name} to the cart"')

    def show_levels(self) -> None:
        """Show what is on the shelf now."""
        levels = self.visit.backend.stock.shelf.levels
        for sku, line in self.levels.items():
            level = None if levels is None else levels.get(sku)
            line.content = level_line(level, known=levels is not None)
            self.adders[sku].set_enabled(
                self.cart.sent is None and (level is None or level.available > 0)
            )

    def put(self, sku: str, more: int) -> None:
        """Have more or fewer pieces of `sku` in the cart."""
        self.outcome = None
        self.cart.put(sku, self.cart.lines.get(sku, 0) + more)
        self.refresh()

    def refresh(self) -> None:
        """Show the cart as it is."""
        self.panel.refresh()
        self.paybar.refresh()
        self.show_levels()

    async def buy(self) -> None:
        """Order what is in the cart; any further click joins the first."""
        if not (self.cart.lines or self.cart.sent):
            return
        client = ui.context.client
        self.outcome = None
        checkout = self.visit.backend.checkouts.begin(self.visit.shopper, self.cart)
        self.refresh()
        outcome = await asyncio.shield(checkout)
        if client.is_deleted:
            return  # whoever reloads is told by the next page
        if outcome.kind == "placed":
            ui.navigate.to(f"/orders/{outcome.order_id}")
            return
        self.outcome = outcome
        self.refresh()

    @ui.refreshable_method
    def panel(self) -> None:
        """Show the cart."""
        lines = self.cart.sent or self.cart.lines
        with block("line spread"):
            text("Your cart", "h2")
            if lines:
                text(wording.count(sum(lines.values()), "piece"), "span", "small soft")
        if self.outcome is not None:
            self._show_outcome(self.outcome)
        if not lines:
            text("Nothing in it yet. Add something you like.", "p", "soft")
            return
        sending = self.cart.sent is not None and self.outcome is None
        for sku, pieces in lines.items():
            self._cart_line(sku, pieces, locked=self.cart.sent is not None)
        with block("total"):
            text("Total", "span")
            text(self._total(lines), "span", "number")
        if sending:
            with note("busy", "hourglass_top", "Sending your order", "You can close this page."):
                pass
        words = "Try again" if self.outcome and self.outcome.kind == "unknown" else "Buy now"
        pay = button(words, self.buy, icon="bolt", primary=True)
        pay.mark("buy").set_enabled(not sending)
        text("One click, one order. Clicking twice changes nothing.", "p", "small soft")

    @ui.refreshable_method
    def paybar(self) -> None:
        """Show the way to pay on a phone, where the cart is below the products."""
        lines = self.cart.sent or self.cart.lines
        if not lines:
            text("Your cart is empty", "span", "soft")
            return
        html(
            f"<span>{wording.count(sum(lines.values()), 'piece')}</span> "
            f"<b class=number>{self._total(lines)}</b>",
            "a",
        ).props('href=#cart aria-label="See the cart"')
        sending = self.cart.sent is not None and self.outcome is None
        button(
            "Sending" if sending else "Buy now", self.buy, icon="bolt", primary=True
        ).set_enabled(not sending)

    def _cart_line(self, sku: str, pieces: int, *, locked: bool) -> None:
        product = self.products.get(sku)
        name = product.name if product else sku
        with block("cart-line"):
            html(f'<img src="{product.image_url if product else ""}" alt="">')
            with block("stack").style("gap: 0"):
                text(name, "strong")
                if product:
                    text(
                        wording.money(product.unit_price_minor, product.currency),
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

    def _total(self, lines: dict[str, int]) -> str:
        known = [(self.products[sku], n) for sku, n in lines.items() if sku in self.products]
        if not known:
            return "?"
        total = sum(product.unit_price_minor * n for product, n in known)
        return wording.money(total, known[0][0].currency)

    def _show_outcome(self, outcome: Outcome) -> None:
        tone, picture = {
            "refused": ("bad", "remove_shopping_cart"),
            "untouched": ("warn", "info"),
            "unknown": ("warn", "cloud_off"),
        }.get(outcome.kind, ("good", "check_circle"))
        with note(tone, picture, outcome.title, outcome.message):
            if outcome.order_id is not None:
                html("See the order", "a").props(f"href=/orders/{outcome.order_id}")


def level_line(level: StockLevel | None, *, known: bool) -> str:
    """Return the availability in words, with an icon."""
    if not known:
        tone, picture, words = "idle", "help", "Availability unknown right now"
    elif level is None or level.available <= 0:
        tone, picture, words = "bad", "cancel", "Sold out"
    elif level.available <= FEW:
        tone, picture, words = "warn", "bolt", f"Only {level.available} left"
    else:
        tone, picture, words = "good", "check_circle", f"In stock: {level.available:,}"
    return f'<span class="level {tone}">{wording.icon(picture)}{words}</span>'
