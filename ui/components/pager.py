"""Pager: which page of a list is shown, and the buttons that lead to its neighbours."""

from collections.abc import Awaitable, Callable

from ui.components.layout import block, button, text


class Pager:
    """The cursors of the pages up to the one that is shown; `reload` shows another one."""

    def __init__(
        self, reload: Callable[[], Awaitable[None]], back: str = "Back", more: str = "More"
    ) -> None:
        self._reload = reload
        self._words = (back, more)
        self._cursors: list[str | None] = [None]
        self.following: str | None = None

    @property
    def cursor(self) -> str | None:
        """Where the page that is shown begins; None for the first one."""
        return self._cursors[-1]

    @property
    def on_first(self) -> bool:
        """The first page is shown."""
        return len(self._cursors) == 1

    @property
    def is_needed(self) -> bool:
        """There is more than one page."""
        return self.following is not None or not self.on_first

    async def restart(self) -> None:
        """Show the first page, anew."""
        self._cursors = [None]
        await self._reload()

    async def _more(self) -> None:
        if self.following is not None:
            self._cursors.append(self.following)
            await self._reload()

    async def _back(self) -> None:
        if not self.on_first:
            self._cursors.pop()
            await self._reload()

    def buttons(self, newest: str | None = None) -> None:
        """Add the buttons; with `newest` one of that name, which leads back to the first page."""
        back, more = self._words
        with block("line spread"):
            if newest is None:
                button(back, self._back, icon="chevron_left").set_enabled(not self.on_first)
            else:
                button(newest, self.restart, icon="refresh")
            text(f"Page {len(self._cursors)}", "span", "soft")
            further = button(more, self._more, icon="chevron_right")
            further.set_enabled(self.following is not None)
