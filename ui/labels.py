"""Labels: the words, icons and number formats that all pages share."""

from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from html import escape
from typing import NamedTuple

from babel.numbers import NumberPattern, format_currency, get_currency_symbol, parse_pattern
from iso4217 import Currency

from workflows.reasons import OUT_OF_STOCK


class Label(NamedTuple):
    """How a state is shown: never by its colour (`tone`) alone."""

    words: str
    icon: str
    tone: str


ORDER_STATUS: dict[str, Label] = {
    "received": Label("In progress", "hourglass_top", "busy"),
    "reserved": Label("Set aside", "inventory_2", "busy"),
    "shipped": Label("On its way", "local_shipping", "good"),
    "rejected": Label("Not taken", "remove_shopping_cart", "bad"),  # for whatever reason
    "cancelled": Label("Cancelled", "cancel", "idle"),
    "failed": Label("Needs help", "error", "bad"),
}
EVENTS: dict[str, Label] = {
    "received": Label("Order received", "receipt_long", "busy"),
    "reserved": Label("Goods set aside", "inventory_2", "good"),
    "ready_to_ship": Label("Ready to ship", "check_box", "good"),
    "shipped": Label("Shipped", "local_shipping", "good"),
    "rejected": Label("Order not taken", "remove_shopping_cart", "bad"),
    "cancel_requested": Label("Cancellation asked for", "front_hand", "busy"),
    "cancelled": Label("Cancelled", "cancel", "idle"),
    "failed": Label("Given up", "error", "bad"),
    "waiting": Label("Waiting, asking again", "sync_problem", "warn"),
    "released": Label("Goods back on the shelf", "undo", "idle"),
}
HEALTH: dict[str, Label] = {
    "pass": Label("Healthy", "check_circle", "good"),
    "warn": Label("Works with limits", "warning", "warn"),
    "fail": Label("Failing", "error", "bad"),
    "gone": Label("No answer", "cloud_off", "bad"),
}
ALERT: dict[str, Label] = {
    "green": Label("Fast enough", "check_circle", "good"),
    "red": Label("Too slow", "error", "bad"),  # or as its reasons say
    "no_data": Label("No orders", "remove_circle", "idle"),
    "gone": Label("No figures", "cloud_off", "idle"),
}
# Why the alert is red; a reason that a later service gives has no words here yet.
ALERT_REASONS: dict[str, str] = {"slow": "too slow", "failing": "failing"}
_LOCALE = "en"


def order_status(status: str, reason: str | None) -> Label:
    """Return how an order's status is shown; that of a later release by its own name."""
    if status == "rejected" and reason == OUT_OF_STOCK:
        return Label("Sold out", "remove_shopping_cart", "bad")
    return ORDER_STATUS.get(status) or by_its_name(status)


def event(kind: str) -> Label:
    """Return how what has happened to an order is shown."""
    return EVENTS.get(kind) or by_its_name(kind)


def by_its_name(word: str) -> Label:
    """Return how something is shown that this release has no words for: `on_hold` as "On hold"."""
    return Label(word.replace("_", " ").replace("-", " ").capitalize(), "more_horiz", "idle")


def money(minor: int, currency: str) -> str:
    """Return an amount of the currency's smallest unit, as in €14.90, ¥1,490 or KWD 1.490."""
    decimals, pattern = _shape(currency)
    if decimals is None:
        return f"{minor:,} of {currency}'s smallest unit"
    return format_currency(
        Decimal(minor).scaleb(-decimals), currency, pattern, _LOCALE, currency_digits=False
    )


@lru_cache(maxsize=256)
def _shape(currency: str) -> tuple[int | None, NumberPattern]:
    """Return how many decimals the currency has (None: nobody knows) and how it is written.

    By ISO 4217, as prices are kept. Locale data, and so babel's own digits, leave out the decimals
    that people no longer use (IQD, RSD, …): an amount would show a hundred times too high.
    """
    known = currency in Currency.__members__
    decimals: int | None = Currency[currency].exponent if known else None
    symbol = get_currency_symbol(currency, locale=_LOCALE)
    gap = "\N{NO-BREAK SPACE}" if symbol[-1:].isalpha() else ""
    fraction = f".{'0' * decimals}" if decimals else ""
    return decimals, parse_pattern(f"¤{gap}#,##0{fraction}")


def count(number: int, one: str) -> str:
    """Return `1 order`, `2 orders`, `1,200 orders`."""
    return f"{number:,} {one if number == 1 else one + 's'}"


def duration(seconds: float) -> str:
    """Return a span for people: 85 ms, 1.25 s, 3 min, 2 h."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def age(seconds: float) -> str:
    """Return how old something is: as a duration, and in days from the third on."""
    return duration(seconds) if seconds < 48 * 3600 else f"{seconds / 86_400:.0f} days"


def size(size_bytes: int) -> str:
    """Return a size for people: 512 B, 16.8 MB, 1.2 GB."""
    left = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if left < 999.5:
            return f"{left:.0f} {unit}" if unit == "B" or left >= 99.95 else f"{left:.1f} {unit}"
        left /= 1000
    return f"{left:.1f} GB"


def clock(at: datetime) -> str:
    """Return the time of day in UTC, to the second."""
    return f"{at:%H:%M:%S}"


def when(at: datetime) -> str:
    """Return date and time in UTC."""
    return f"{at:%d %b %Y, %H:%M}"


def short(order_id: object) -> str:
    """Return the beginning of an order's number, enough to tell orders apart."""
    return str(order_id)[:8]


def icon(name: str) -> str:
    """Return the markup of an icon that only decorates the words beside it."""
    return f'<i class="material-icons icon" aria-hidden="true">{escape(name)}</i>'


def badge(label: Label) -> str:
    """Return the markup of a state: icon and words on its colour."""
    return f'<span class="badge {label.tone}">{icon(label.icon)}{escape(label.words)}</span>'
