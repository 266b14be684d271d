"""Stock table: a page of SKUs at a time, found by search, kept up to date."""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from nicegui import ui

from inventory_api.contracts import StockLevel, StockLevels
from ui import labels
from ui.clients.http import NoAnswer, Refusal
from ui.clients.inventory_api import InventoryApi
from ui.components.layout import block, button, empty, html, text
from ui.components.pager import Pager
from ui.live.pollers import StockPoller, StockWatch

LOW = 60
PER_PAGE = 20
_HEADS = ("Product", "On hand", "Held", "Available")


class StockTable:
    """One page's table of levels; `restock` is called with the SKU to restock."""

    def __init__(
        self,
        inventory: InventoryApi,
        poller: StockPoller,
        watch: StockWatch,
        restock: Callable[[str], None],
    ) -> None:
        self._inventory = inventory
        self._poller = poller
        self._watch = watch
        self._restock = restock
        self._search = ""
        self._pager = Pager(self._reload)
        self._skus: list[str] | None = None
        self._cells: dict[str, ui.html] = {}

    async def build(self) -> None:
        """Build the table with a way to search it."""
        with block("line spread"):
            text("Stock", "h2")
            box = ui.input("Find a product code", on_change=self._look_for)
            box.props("outlined dense clearable debounce=300")
        await self._load()
        self.table()

    async def _load(self) -> None:
        asked = (self._search, self._pager.cursor)
        page: StockLevels | None = None
        with contextlib.suppress(NoAnswer, Refusal):
            page = await self._inventory.stock(
                search=self._search or None, cursor=self._pager.cursor, limit=PER_PAGE
            )
        if asked != (self._search, self._pager.cursor):
            return  # overtaken
        if page is None:
            self._skus, self._pager.following = None, None
        else:
            self._skus = [level.sku for level in page.items]
            self._pager.following = page.next_cursor
            await self._poller.show(self._watch, self._skus)

    async def _look_for(self, event: Any) -> None:
        self._search = (event.value or "").replace("\x00", "").strip()[:64]
        await self._pager.restart()

    async def _reload(self) -> None:
        await self._load()
        self.table.refresh()

    @ui.refreshable_method
    def table(self) -> None:
        """Show a page of levels."""
        self._cells.clear()
        if self._skus is None:
            away = "Levels show when it is back."
            with empty("cloud_off", "The warehouse does not answer", away):
                button("Look again", self._reload, icon="refresh", primary=True)
            return
        if not self._skus:
            empty("search_off", "Nothing found", "The warehouse keeps nothing of that code.")
        else:
            self._rows(self._skus)
        if self._pager.is_needed:
            self._pager.buttons()
        self.show()

    def _rows(self, skus: list[str]) -> None:
        with block("tablebox"), ui.element("table").classes("list"):
            with ui.element("thead"), ui.element("tr"):
                for number, head in enumerate(_HEADS):
                    text(head, "th", "n" if number else "").props("scope=col")
                text("Restock", "th").props("scope=col")
            with ui.element("tbody"):
                for sku in skus:
                    with ui.element("tr"):
                        text(sku, "td", "mono")
                        for place in ("on_hand", "reserved", "available"):
                            self._cells[f"{sku}.{place}"] = html("", "td", "n")
                        with ui.element("td"):
                            button("", partial(self._restock, sku), icon="add", tight=True).props(
                                f'aria-label="Restock {sku}"'
                            ).mark(f"restock-{sku}")

    def show(self) -> None:
        """Show levels as last seen."""
        levels = self._poller.snapshot.levels
        for sku in self._skus or ():
            level = None if levels is None else levels.get(sku)
            if level is not None and f"{sku}.on_hand" in self._cells:
                self._cells[f"{sku}.on_hand"].content = f"{level.on_hand:,}"
                self._cells[f"{sku}.reserved"].content = f"{level.reserved:,}"
                self._cells[f"{sku}.available"].content = _available(level)


def _available(level: StockLevel) -> str:
    words = f"{level.available:,}"
    if level.available > LOW:
        return words
    tone = "warn" if level.available else "bad"
    return f'<span class="level {tone}">{labels.icon("warning")}{words}</span>'
