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
        self._cursors: list[str | None] = [None]  # one for each page up to this one
        self._following: str | None = None
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
        asked = (self._search, self._cursors[-1])
        page: StockLevels | None = None
        with contextlib.suppress(NoAnswer, Refusal):
            page = await self._inventory.stock(
                search=self._search or None, cursor=self._cursors[-1], limit=PER_PAGE
            )
        if asked != (self._search, self._cursors[-1]):
            return  # overtaken
        if page is None:
            self._skus, self._following = None, None
        else:
            self._skus, self._following = [level.sku for level in page.items], page.next_cursor
            await self._poller.show(self._watch, self._skus)

    async def _look_for(self, event: Any) -> None:
        self._search = (event.value or "").replace("\x00", "").strip()[:64]
        self._cursors = [None]
        await self._reload()

    async def _more(self) -> None:
        if self._following is not None:
            self._cursors.append(self._following)
            await self._reload()

    async def _back(self) -> None:
        if len(self._cursors) > 1:
            self._cursors.pop()
            await self._reload()

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
        if self._following is not None or len(self._cursors) > 1:
            with block("line spread"):
                back = button("Back", self._back, icon="chevron_left")
                back.set_enabled(len(self._cursors) > 1)
                text(f"Page {len(self._cursors)}", "span", "soft")
                more = button("More", self._more, icon="chevron_right")
                more.set_enabled(self._following is not None)
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
