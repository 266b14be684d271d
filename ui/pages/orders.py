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

PER_PAGE = 15
_STATUSES = {"": "All orders", **{key: label.words for key, label in labels.ORDER_STATUS.items()}}


def register(backend: Backend) -> None:
    """Add the page."""

    @ui.page("/orders")
    async def my_orders(status: str = "", search: str = "") -> None:
        with page_layout(backend, "My orders", "/orders") as context:
            await OrderList(context, status if status in _STATUSES else "", search[:64]).build()


class OrderList:
    """One browser's orders."""

    def __init__(self, context: PageContext, status: str, search: str) -> None:
        self.context = context
        self.status = status
        self.search = search
        self.cursors: list[str | None] = [None]  # one for each page up to this one
        self.following: str | None = None
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
        await self._from_the_first_page()

    async def _look_for(self, event: Any) -> None:
        self.search = (event.value or "").strip()[:64]
        await self._from_the_first_page()

    async def _from_the_first_page(self) -> None:
        self.cursors = [None]
        await self._load()
        self.table.refresh()

    async def _older(self) -> None:
        self.cursors.append(self.following)
        await self._load()
        self.table.refresh()

    async def _newer(self) -> None:
        self.cursors.pop()
        await self._load()
        self.table.refresh()

    async def _load(self) -> None:
        asked = (self.status, self.search, self.cursors[-1])
        page: OrderPage | None = None
        with contextlib.suppress(NoAnswer, Refusal):
            page = await self.context.backend.orders.orders(
                self.context.shopper,
                status=self.status or None,
                search=self.search or None,
                cursor=self.cursors[-1],
                limit=PER_PAGE,
            )
        if asked != (self.status, self.search, self.cursors[-1]):
            return  # overtaken: the shopper wants to see something else by now
        if page is None:
            self.orders, self.following = None, None
        else:
            self.orders, self.following = page.items, page.next_cursor

    @ui.refreshable_method
    def table(self) -> None:
        """Show the page of orders."""
        if self.orders is None:
            with empty("cloud_off", "We cannot look them up right now", "Your orders are safe."):
                button("Look again", self._from_the_first_page, icon="refresh", primary=True)
            return
        if not self.orders and len(self.cursors) == 1:
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
        with block("line spread"):
            newer = button("Newer", self._newer, icon="chevron_left")
            newer.set_enabled(len(self.cursors) > 1)
            text(f"Page {len(self.cursors)}", "span", "soft")
            older = button("Older", self._older, icon="chevron_right")
            older.set_enabled(self.following is not None)


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
