"""What a browser wants to buy, and the key under which it will be ordered.

The key is there before the first click: it is the cart's number, which moves on only when an
answer has come. Everything that can happen in between (a second click, another tab, a reload, a
lost connection, a restart of this process) sends the same key with the same lines, and that can
only ever make one order.
"""

from collections.abc import Mapping
from typing import Any

from inventory_api.contracts import MAX_LINES
from ui.identity import Browser

MAX_PIECES = 99


class Cart:
    """A view on one browser's storage; every change is kept at once."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    @property
    def lines(self) -> dict[str, int]:
        """Pieces by SKU."""
        return dict(self._kept().get("lines", {}))

    @property
    def pieces(self) -> int:
        """How many pieces are in it."""
        return sum(self.lines.values())

    @property
    def number(self) -> int:
        """Counts this browser's carts from 1."""
        return int(self._kept().get("number", 1))

    @property
    def key(self) -> str:
        """The Idempotency-Key of this cart."""
        return key_of(self.number)

    @property
    def sent(self) -> dict[str, int] | None:
        """The lines that were sent under the key and have had no answer yet."""
        found: dict[str, int] | None = self._kept().get("sent")
        return None if found is None else dict(found)

    def put(self, sku: str, pieces: int) -> None:
        """Have `pieces` of `sku` in the cart, 0 for none; not while an answer is awaited."""
        if self.sent is not None:
            return
        lines = self.lines
        lines[sku] = max(0, min(pieces, MAX_PIECES))
        kept = {each: n for each, n in lines.items() if n}
        if len(kept) <= MAX_LINES:
            self._keep(lines=kept)

    def send(self) -> tuple[str, dict[str, int]]:
        """Freeze the cart; return the key and the lines to send, the same ones until an answer."""
        if self.sent is None:
            self._keep(sent=self.lines)
        return self.key, self.sent or {}

    def ordered(self) -> None:
        """Begin a new, empty cart: there is an order for this one."""
        self._browser["cart"] = {"number": self.number + 1}

    def refused(self) -> None:
        """Keep what is in it under a new key: there will be no order under the old one."""
        self._browser["cart"] = {"number": self.number + 1, "lines": self.lines}

    def _kept(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._browser.get("cart", {})
        return found

    def _keep(self, **changes: Any) -> None:
        self._browser["cart"] = {"number": self.number, **self._kept(), **changes}


def key_of(number: int) -> str:
    """Return the key of a browser's cart `number`; the customer's id makes it unique."""
    return f"cart-{number}"
