"""Cart: what a browser wants to buy, and the key under which it will be ordered.

The key is there before the first click: it is the cart's number, which moves on only when it is
known what became of the order under it. Everything that can happen in between (a second click,
another tab, a reload, a lost connection, a restart of this process, an answer that says nothing
about the order) sends the same key with the same lines, and that can only ever make one order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inventory_api.contracts import MAX_LINES
from ui.browser_storage import refreshed
from ui.identity import Browser

MAX_PIECES = 99


@dataclass(frozen=True, slots=True)
class Sending:
    """What is sent under a key, the same each time: pieces by SKU, and the total that was shown.

    `total_minor` is in the smallest unit of `currency`; None if it was sent by an older release.
    `again` says that the key was sent before, and that nobody knows what became of that.
    """

    key: str
    lines: dict[str, int]
    total_minor: int | None
    again: bool
    currency: str | None = None


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

    def send(self, total_minor: int | None, currency: str | None = None) -> Sending:
        """Freeze the cart, sold at the total that its shopper sees, until its outcome is known."""
        again = self.sent is not None or bool(self._kept().get("in_doubt"))
        if self.sent is None:
            self._keep(sent=self.lines, total_minor=total_minor, currency=currency)
        kept = self._kept()
        return Sending(
            self.key, dict(kept["sent"]), kept.get("total_minor"), again, kept.get("currency")
        )

    def ordered(self, sent: Sending) -> None:
        """Begin a new, empty cart: there is an order for this one."""
        self._after(sent, {"number": self.number + 1})

    def refused(self, sent: Sending) -> None:
        """Keep what is in it under a new key: the old one has an order that nothing comes of."""
        self._after(sent, {"number": self.number + 1, "lines": self.lines})

    def untouched(self, sent: Sending, *, in_doubt: bool) -> None:
        """Let it be changed again, under the same key: nothing is stored under it.

        Or `in_doubt`: that is true of the last try, and of an earlier one nobody knows.
        """
        doubt = {"in_doubt": True} if in_doubt else {}
        self._after(sent, {"number": self.number, "lines": self.lines, **doubt})

    def _after(self, sent: Sending, cart: dict[str, Any]) -> None:
        if sent.key == self.key:  # else another replica has had the outcome before us
            self._browser["cart"] = cart

    def _kept(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = refreshed(self._browser).get("cart", {})
        return found

    def _keep(self, **changes: Any) -> None:
        self._browser["cart"] = {"number": self.number, **self._kept(), **changes}


def key_of(number: int) -> str:
    """Return the key of a browser's cart `number`; the customer's id makes it unique."""
    return f"cart-{number}"
