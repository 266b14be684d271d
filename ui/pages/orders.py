"""My orders page: all of a shopper's orders, filtered, searched, page by page."""

import contextlib
from html import escape
from typing import Any

from nicegui import ui

from order_api.contracts import Order, OrderPage
from ui import labels
from ui.backend import Backend
from ui.clients.http import NoAnswer, Refusal
from ui.components.layout import PageContext, block, button, empty, html, page_layout, text
from ui.components.pager import Pager
from ui.pages.page import page

PER_PAGE = 15
_STATUSES = {"": "All orders", **{key: label.words for key, label in labels.ORDER_STATUS.items()}}


def register(backend: Backend) -> None:
    """Add the page."""

    @page("/orders")
    async def my_orders(status: str = "", search: str = "") -> None:
        with page_layout(backend, "My orders", "/orders") as context:
            await OrderList(context, status if status in _STATUSES else "", search[:64]).build()


class OrderList:
    """One browser's orders."""

    def __init__(self, context: PageContext, status: str, search: str) -> None:
        self.context = context
        self.status = status
        self.search = search
        self.pager = Pager(self._reload, "Newer", "Older")
        self.orders: list[Order] | None = []

    async def build(self) -> None:
        """Build the page."""
        with block("heading"):
            text("My orders", "h1")
        with block("line"):
            ui.select(_STATUSES, value=self.status, label="Show", on_change=self._filter).props(
                "outlined dense options-dense"
            ).style("min-width: 180px")
            box = ui.input(
                "Order number or product code", value=self.search, on_change=self._look_for
            )
            box.props("outlined dense clearable debounce=300").style("min-width: 260px; flex: 1")
        await self._load()
        self.table()

    async def _filter(self, event: Any) -> None:
        self.status = event.value or ""
        await self.pager.restart()

    async def _look_for(self, event: Any) -> None:
        self.search = (event.value or "").strip()[:64]
        await self.pager.restart()

    async def _reload(self) -> None:
        await self._load()
        self.table.refresh()

    async def _load(self) -> None:
        asked = (self.status, self.search, self.pager.cursor)
        page: OrderPage | None = None
        with contextlib.suppress(NoAnswer, Refusal):
            page = await self.context.backend.orders.orders(
                self.context.shopper,
                status=self.status or None,
                search=self.search or None,
                cursor=self.pager.cursor,
                limit=PER_PAGE,
            )
        if asked != (self.status, self.search, self.pager.cursor):
            return  # overtaken: the shopper wants to see something else by now
        if page is None:
            self.orders, self.pager.following = None, None
        else:
            self.orders, self.pager.following = page.items, page.next_cursor

    @ui.refreshable_method
    def table(self) -> None:
        """Show the page of orders."""
        if self.orders is None:
            with empty("cloud_off", "We cannot look them up right now", "Your orders are safe."):
                button("Look again", self.pager.restart, icon="refresh", primary=True)
            return
        if not self.orders and self.pager.on_first:
            if self.status or self.search:
                empty("search_off", "Nothing found", "No order of yours fits. Try another filter.")
            else:
                with empty("receipt_long", "No orders yet", "What you buy will be listed here."):
                    html("To the shop", "a").props("href=/")
            return
        with block("card"):
            rows = "".join(_row(order) for order in self.orders)
            html(
                "<thead><tr><th scope=col>Order<th scope=col>Placed (UTC)<th scope=col>What"
                "<th scope=col class=n>Total<th scope=col>Status</tr></thead>"
                f"<tbody>{rows}</tbody>",
                "table",
                "list cards",
            ).props('aria-label="My orders"')
        self.pager.buttons()


def _row(order: Order) -> str:
    what = ", ".join(f"{line.quantity} × {escape(line.sku)}" for line in order.lines[:3])
    if len(order.lines) > 3:
        what += f" and {len(order.lines) - 3} more"
    return (
        f'<tr><td><a class=mono href="/orders/{order.order_id}">{labels.short(order.order_id)}</a>'
        f"<td>{labels.when(order.created_at)}<td>{what}"
        f"<td class=n>{labels.money(order.total_minor, order.currency)}"
        f"<td>{labels.badge(labels.order_status(order.status, order.reason))}</tr>"
    )
