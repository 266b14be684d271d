"""Warehouse page: what is on the shelves, who waits for it, and the ledger of movements."""

import secrets
from functools import partial
from html import escape
from typing import Any

from nicegui import ui

from inventory_api.contracts import MAX_RESTOCK, Ledger, LedgerEntry
from order_api.contracts import Order
from ui import labels
from ui.backend import Backend
from ui.clients.http import NoAnswer, Refusal
from ui.components.layout import (
    PageContext,
    block,
    button,
    dialog,
    empty,
    html,
    page_layout,
    require_staff,
    text,
)
from ui.components.pager import Pager
from ui.components.stock_table import StockTable
from ui.pages.page import page

_OPERATIONS = {
    "": "All movements",
    "reserve": "Held for an order",
    "commit": "Shipped",
    "release": "Put back",
    "restock": "Restocked",
    "initial": "First delivery",
}


def register(backend: Backend) -> None:
    """Add the page."""

    @page("/warehouse")
    async def warehouse() -> None:
        with page_layout(backend, "Warehouse", "/warehouse") as context:
            if require_staff(context):
                await WarehousePage(context).build()


class WarehousePage:
    """One page's view of the warehouse."""

    def __init__(self, context: PageContext) -> None:
        assert context.staff is not None
        self.staff = context.staff
        self.poller = context.backend.stock
        self.inventory = context.backend.inventory
        self.watch = self.poller.watch()
        self.shelves = StockTable(self.inventory, self.poller, self.watch, self._ask_how_many)
        self.operation = ""
        self.sku = ""
        self.pager = Pager(self._reload, more="Older")
        self.movements: list[LedgerEntry] | None = []
        self.restock_key = ""

    async def build(self) -> None:
        """Build the page and keep it up to date."""
        with block("heading"):
            text("Warehouse", "h1")
            self.state = html("", "p", "small soft").props("role=status")
        with block("two"):
            with block("card", "section").props("aria-label=Stock"):
                await self.shelves.build()
            with block("card", "section").props('aria-label="Orders waiting"'):
                text("Orders waiting", "h2")
                self.waiting = html("", "div")
        self._dialog()
        self.watch.orders = True
        await self.poller.poll()
        await self._load()
        self._ledger()
        self.show()
        self.poller.changed.subscribe(self.show)

    def _dialog(self) -> None:
        with dialog("Restock") as self.dialog, ui.card():
            self.dialog_title = text("", "h2")
            self.pieces = ui.number("Pieces", value=100, min=1, max=MAX_RESTOCK, precision=0)
            self.pieces.props("outlined").mark("restock-pieces")
            with block("line"):
                button("Restock", self._restock, primary=True).mark("restock-now")
                button("Not now", self.dialog.close)

    def _ask_how_many(self, sku: str) -> None:
        self.sku_to_restock = sku
        # one for each time the dialog opens: however often its button is clicked, it adds once
        self.restock_key = secrets.token_hex(8)
        self.dialog_title.set_text(f"Restock {sku}")
        self.dialog.open()

    async def _restock(self) -> None:
        pieces = int(self.pieces.value or 0)
        if not 1 <= pieces <= MAX_RESTOCK:
            ui.notify(f"From 1 to {MAX_RESTOCK:,} pieces", type="warning")
            return
        try:
            level = await self.inventory.restock(
                self.staff, self.sku_to_restock, pieces, self.restock_key
            )
        except NoAnswer:
            ui.notify("No answer. Click again: it will be added only once.", type="warning")
            return
        except Refusal as refusal:
            ui.notify(f"{refusal.title}: {refusal.detail}", type="negative")
        else:
            ui.notify(f"{level.sku}: {level.on_hand:,} on hand", type="positive")
        self.dialog.close()
        await self.poller.poll()
        self.poller.changed.emit()
        await self._reload()

    def show(self) -> None:
        """Show levels and waiting orders as last seen."""
        shelf = self.poller.snapshot
        if shelf.levels is None:
            self.state.content = f"{labels.icon('cloud_off')} The warehouse does not answer."
        else:
            self.state.content = "Live"
        self.shelves.show()
        self.waiting.content = waiting(shelf.waiting)

    async def _load(self) -> None:
        asked = (self.sku, self.operation, self.pager.cursor)
        page: Ledger | None = None
        unfinished = False
        try:
            page = await self.inventory.movements(
                self.staff,
                operation=self.operation or None,
                sku=self.sku.upper() or None,
                cursor=self.pager.cursor,
            )
        except (NoAnswer, Refusal) as trouble:
            # half of a product code is none yet
            unfinished = isinstance(trouble, Refusal) and trouble.status == 422
        if asked != (self.sku, self.operation, self.pager.cursor):
            return  # overtaken
        if page is None:
            self.movements, self.pager.following = [] if unfinished else None, None
        else:
            self.movements, self.pager.following = page.items, page.next_cursor

    async def _reload(self) -> None:
        await self._load()
        self.entries.refresh()

    async def _pick(self, what: str, event: Any) -> None:
        setattr(self, what, (event.value or "").strip()[:64])
        await self.pager.restart()

    def _ledger(self) -> None:
        with block("card", "section").props('aria-label="Movements"'):
            with block("line spread"):
                text("Movements", "h2")
                with block("line"):
                    box = ui.input("Product code", on_change=partial(self._pick, "sku"))
                    box.props("outlined dense clearable debounce=300")
                    ui.select(
                        _OPERATIONS,
                        value=self.operation,
                        on_change=partial(self._pick, "operation"),
                    ).props('outlined dense options-dense aria-label="Kind of movement"')
            self.entries()

    @ui.refreshable_method
    def entries(self) -> None:
        """Show a page of the ledger."""
        if self.movements is None:
            empty("cloud_off", "The ledger cannot be read right now", "Nothing is lost.")
        elif not self.movements:
            empty("search_off", "No movements", "Nothing of this kind has moved.")
        else:
            html(movements(self.movements), "div", "tablebox")
        self.pager.buttons(newest="Newest")


def waiting(orders: list[Order]) -> str:
    """Return the orders that have not ended yet."""
    if not orders:
        return "<p class=soft>None. Every order is settled.</p>"
    rows = "".join(
        f'<tr><td><a class=mono href="/orders/{order.order_id}">{labels.short(order.order_id)}</a>'
        f"<td>{labels.clock(order.created_at)}"
        f"<td>{labels.badge(labels.order_status(order.status, order.reason))}</tr>"
        for order in orders[:20]
    )
    return (
        '<div class=tablebox><table class=list aria-label="Orders waiting"><thead><tr>'
        "<th scope=col>Order<th scope=col>Since (UTC)<th scope=col>Status</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def movements(entries: list[LedgerEntry]) -> str:
    """Return a page of the ledger as a table."""
    rows = []
    for entry in entries:
        cause = "Delivery"
        what = _OPERATIONS.get(entry.operation) or labels.by_its_name(entry.operation).words
        if entry.order_id is not None:
            short = labels.short(entry.order_id)
            cause = f'<a class=mono href="/orders/{entry.order_id}">{short}</a>'
        rows.append(
            f"<tr><td class=n>{entry.movement_id}<td>{labels.clock(entry.at)}"
            f"<td class=mono>{escape(entry.sku)}<td>{escape(what)}"
            f"<td class=n>{entry.quantity:,}<td>{cause}</tr>"
        )
    return (
        "<table class='list ledger' aria-label=Movements><thead><tr><th scope=col class=n>No."
        "<th scope=col>At (UTC)<th scope=col>Product<th scope=col>What<th scope=col class=n>Pieces"
        f"<th scope=col>For</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )
