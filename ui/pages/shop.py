"""Shop page: products with live availability, found by search, beside the cart."""

from html import escape
from typing import Any

from nicegui import ui

from inventory_api.contracts import StockLevel
from order_api.contracts import Product
from ui import labels
from ui.backend import Backend
from ui.clients.http import NoAnswer, Refusal
from ui.components.cart_panel import CartPanel
from ui.components.layout import PageContext, block, button, empty, html, page_layout, text
from ui.components.pager import Pager
from ui.pages.page import page

FEW = 60
PER_PAGE = 24


def register(backend: Backend) -> None:
    """Add the page."""

    @page("/")
    async def shop(search: str = "") -> None:
        with page_layout(backend, "Shop", "/") as context:
            found = Shop(context, search.replace("\x00", "")[:64].strip())
            if await found.load():
                found.build()
            else:
                found.build_without_products()


class Shop:
    """One browser's view of the shop."""

    def __init__(self, context: PageContext, search: str) -> None:
        self.context = context
        self.stock = context.backend.stock
        self.watch = self.stock.watch()
        self.search = search
        self.pager = Pager(self.reload)
        self.page: list[Product] = []
        self.products: dict[str, Product] = {}  # also those in the cart
        self.levels: dict[str, ui.html] = {}
        self.adders: dict[str, ui.button] = {}
        self.panel = CartPanel(context, self.products, self.reload, self.show_levels)

    async def load(self) -> bool:
        """Read the page of products and what is in the cart; False if the catalogue is away."""
        orders = self.context.backend.orders
        asked = (self.search, self.pager.cursor)
        try:
            found = await orders.products(
                search=self.search or None, cursor=self.pager.cursor, limit=PER_PAGE
            )
            page = {product.sku: product for product in found.items}
            in_cart = await orders.products_of(self.panel.lines.keys() - page.keys())
        except (NoAnswer, Refusal):
            return False
        if asked != (self.search, self.pager.cursor):
            return True  # overtaken: the shopper wants to see something else by now
        self.page, self.pager.following = found.items, found.next_cursor
        self.products.clear()
        self.products.update(in_cart | page)
        await self.stock.show(self.watch, page)
        return True

    def build(self) -> None:
        """Build products and cart, and keep both up to date."""
        with block("heading"):
            with block("stack").style("gap: 4px"):
                text("Good things, shipped once", "h1")
                text(
                    "Availability is live. Whatever happens on the way, you get exactly one "
                    "parcel.",
                    "p",
                    "soft",
                )
            box = ui.input("Find a product", value=self.search, on_change=self._look_for)
            box.props("outlined dense clearable debounce=300").style("min-width: 220px")
        with block("shop"):
            with block("stack").style("gap: 16px"):
                self.shown_page()
            with block("cart card", "section").props('id=cart aria-label="Cart"'):
                self.panel.panel()
        with block("paybar"):
            self.panel.paybar()
        self.stock.changed.subscribe(self.show_levels)
        self.panel.resume()

    def build_without_products(self) -> None:
        """Say that the catalogue is away; an order that is being sent goes on."""
        sent = self.panel.cart.sent is not None
        kept = "Your order is being sent." if sent else "Your cart is kept."
        with empty(
            "storefront",
            "The shop window is being cleaned",
            f"Our catalogue does not answer right now. {kept}",
        ):
            button("Look again", ui.navigate.reload, icon="refresh", primary=True)
        self.panel.resume()

    @ui.refreshable_method
    def shown_page(self) -> None:
        """Show a page of products."""
        self.levels.clear()
        self.adders.clear()
        if not self.page:
            empty("search_off", "Nothing found", "We sell nothing of that name. Try another word.")
        else:
            with block("grid", "ul").props('aria-label="Products"'):
                for product in self.page:
                    self._product(product)
        if self.pager.is_needed:
            self.pager.buttons()
        self.show_levels()

    def _product(self, product: Product) -> None:
        with block("product card", "li"):
            picture = escape(product.image_url)
            html(f'<img src="{picture}" alt="" loading="lazy" width="400" height="300">')
            with block("body"):
                with block("what"):
                    text(product.name, "h2")
                    text(product.description, "p", "small soft")
                self.levels[product.sku] = html("", "p")
                with block("line spread"):
                    text(labels.money(product.unit_price_minor, product.currency), "span", "price")
                    self.adders[product.sku] = button(
                        "Add",
                        lambda sku=product.sku: self.panel.put(sku, 1),
                        icon="add",
                        tight=True,
                    ).props(f'aria-label="Add {product.name} to the cart"')

    async def reload(self) -> None:
        """Show the page anew, with today's prices."""
        if await self.load():
            self.shown_page.refresh()
            self.panel.refresh()
        else:
            ui.notify("Our catalogue does not answer. Try again in a moment.", type="warning")

    async def _look_for(self, event: Any) -> None:
        self.search = (event.value or "").replace("\x00", "")[:64].strip()
        await self.pager.restart()

    def show_levels(self) -> None:
        """Show what is on the shelf now."""
        levels = self.stock.snapshot.levels
        sent = self.panel.cart.sent is not None
        for sku, line in self.levels.items():
            level = None if levels is None else levels.get(sku)
            line.content = level_line(level, known=levels is not None)
            self.adders[sku].set_enabled(not sent and (level is None or level.available > 0))


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
    return f'<span class="level {tone}">{labels.icon(picture)}{words}</span>'
