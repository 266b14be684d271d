"""What the warehouse decides on a call, before it is put into an HTTP answer."""

from dataclasses import dataclass

from inventory_api.contracts import Shortage, StockLevel


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a call.

    `state` is the order's state after it (None: never heard of it); `replayed` says that an
    earlier call had already decided, `conflict` that it was about other lines; `shortages` says
    why a reserve was refused.
    """

    state: str | None
    replayed: bool
    shortages: tuple[Shortage, ...] = ()
    conflict: bool = False


@dataclass(frozen=True, slots=True)
class Restocked:
    """What became of a restock.

    `level` is the one after it, of a copy the one after the first time, None for an unknown SKU;
    `conflict` says that the key was used for another SKU or quantity.
    """

    level: StockLevel | None
    replayed: bool
    conflict: bool


class OtherLines(Exception):
    """The order was reserved before with different lines."""
