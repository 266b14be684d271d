"""The warehouse: what is on the shelves, who waits for it, and the ledger of every movement."""

import secrets
from functools import partial
from html import escape
from typing import Any

from nicegui import ui

from inventory_api.contracts import MAX_RESTOCK, LedgerEntry
from order_api.contracts import Order
from ui import wording
from ui.api import NoAnswer, Refusal
from ui.backend import Backend
from ui.frame import Visit, block, button, dialog, empty, for_staff_only, frame, html, text

LOW = 60
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

    @ui.page("/warehouse")
    async def warehouse() -> None:
        with frame(backend, "Warehouse", "/warehouse") as visit:
            if for_staff_only(visit):
                page = WarehousePage(visit)
                backend.stock.watches_orders.subscribe(lambda: None)
                await backend.stock.look()
                await page.build()


class WarehousePage:
    """One page's view of the warehouse."""

    def __init__(self, visit: Visit) -> None:
        assert visit.staff is not None
        self.staff = visit.staff
        self.feed = visit.backend.stock
        self.inventory = visit.backend.inventory
        self.operation = ""
        self.sku = ""
        self.cursors: list[str | None] = [None]
        self.following: str | None = None
        self.movements: list[LedgerEntry] | None = []
        self.cells: dict[str, ui.html] = {}
        self.restock_key = ""

    async def build(self) -> None:
        """Build the page and keep it up to date."""
        with block("heading"):
            text("Warehouse", "h1")
            self.state = html("", "p", "small soft").props("role=status")
        with block("two"):
            with block("card", "section").props("aria-label=Stock"):
                text("Stock", "h2")
                self._stock()
            with block("card", "section").props('aria-label="Orders waiting"'):
                text("Orders waiting", "h2")
                self.waiting = html("", "div")
        await self._load()
        self.ledger()
        self.show()
        self.feed.changed.subscribe(self.show)

    def _stock(self) -> None:
        levels = self.feed.shelf.levels or {}
        if not levels:
            empty("cloud_off", "The warehouse does not answer", "Levels show when it is back.")
            return
        heads = ("Product", "On hand", "Held", "Available")
        with block("tablebox"), ui.element("table").classes("list"):
            with ui.element("thead"), ui.element("tr"):
                for number, head in enumerate(heads):
                    text(head, "th", "n" if number else "").props("scope=col")
                text("Restock", "th").props("scope=col")
            with ui.element("tbody"):
                for sku in levels:
                    with ui.element("tr"):
                        text(sku, "td", "mono")
                        for place in ("on_hand", "reserved", "available"):
                            self.cells[f"{sku}.{place}"] = html("", "td", "n")
                        with ui.element("td"):
                            button(
                                "", partial(self._ask_how_many, sku), icon="add", tight=True
                            ).props(f'aria-label="Restock {sku}"').mark(f"restock-{sku}")
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
        await self.feed.look()
        self.feed.changed.emit()
        await self._reload()

    def show(self) -> None:
        """Show levels and waiting orders as last seen."""
        shelf = self.feed.shelf
        if shelf.levels is None:
            self.state.content = f"{wording.icon('cloud_off')} The warehouse does not answer."
        else:
            self.state.content = "Live"
            for sku, level in shelf.levels.items():
                if f"{sku}.on_hand" not in self.cells:
                    continue
                self.cells[f"{sku}.on_hand"].content = f"{level.on_hand:,}"
                self.cells[f"{sku}.reserved"].content = f"{level.reserved:,}"
                low = level.available <= LOW
                words = f"{level.available:,}"
                if low:
                    words = (
                        f'<span class="level {"warn" if level.available else "bad"}">'
                        f"{wording.icon('warning')}{words}</span>"
                    )
                self.cells[f"{sku}.available"].content = words
        self.waiting.content = waiting(shelf.waiting)

    async def _load(self) -> None:
        try:
            page = await self.inventory.movements(
                self.staff,
                operation=self.operation or None,
                sku=self.sku or None,
                cursor=self.cursors[-1],
            )
        except (NoAnswer, Refusal):
            self.movements, self.following = None, None
        else:
            self.movements, self.following = page.items, page.next_cursor

    async def _reload(self) -> None:
        await self._load()
        self.ledger.refresh()

    async def _pick(self, what: str, event: Any) -> None:
        setattr(self, what, event.value or "")
        self.cursors = [None]
        await self._reload()

    async def _older(self) -> None:
        self.cursors.append(self.following)
        await self._reload()

    async def _newest(self) -> None:
        self.cursors = [None]
        await self._reload()

    @ui.refreshable_method
    def ledger(self) -> None:
        """Show a page of the ledger."""
        with block("card", "section").props('aria-label="Movements"'):
            with block("line spread"):
                text("Movements", "h2")
                with block("line"):
                    skus = {"": "All products"} | {sku: sku for sku in self.feed.shelf.levels or {}}
                    ui.select(skus, value=self.sku, on_change=partial(self._pick, "sku")).props(
                        'outlined dense options-dense aria-label="Product"'
                    )
                    ui.select(
                        _OPERATIONS,
                        value=self.operation,
                        on_change=partial(self._pick, "operation"),
                    ).props('outlined dense options-dense aria-label="Kind of movement"')
            if self.movements is None:
                empty("cloud_off", "The ledger cannot be read right now", "Nothing is lost.")
            elif not self.movements:
                empty("search_off", "No movements", "Nothing of this kind has moved.")
            else:
                html(movements(self.movements), "div", "tablebox")
            with block("line spread"):
                button("Newest", self._newest, icon="refresh")
                text(f"Page {len(self.cursors)}", "span", "soft")
                older = button("Older", self._older, icon="chevron_right")
                older.set_enabled(self.following is not None)


def waiting(orders: list[Order]) -> str:
    """Return the orders that have not ended yet."""
    if not orders:
        return "<p class=soft>None. Every order is settled.</p>"
    rows = "".join(
        f'<tr><td><a class=mono href="/orders/{order.order_id}">{wording.short(order.order_id)}</a>'
        f"<td>{wording.clock(order.created_at)}"
        f"<td>{wording.badge(wording.ORDER_STATUS[order.status])}</tr>"
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
        if entry.order_id is not None:
            short = wording.short(entry.order_id)
            cause = f'<a class=mono href="/orders/{entry.order_id}">{short}</a>'
        rows.append(
            f"<tr><td class=n>{entry.movement_id}<td>{wording.clock(entry.at)}"
            f"<td class=mono>{escape(entry.sku)}<td>{_OPERATIONS[entry.operation]}"
            f"<td class=n>{entry.quantity:,}<td>{cause}</tr>"
        )
    return (
        "<table class='list ledger' aria-label=Movements><thead><tr><th scope=col class=n>No."
        "<th scope=col>At (UTC)<th scope=col>Product<th scope=col>What<th scope=col class=n>Pieces"
        f"<th scope=col>For</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )
