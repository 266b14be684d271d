"""Interpretation of a search for orders: the start of an order's number, or a product."""

import re
from dataclasses import dataclass
from uuid import UUID

from workflows.contracts import WORKFLOW_ID_PREFIX

_NUMBER = re.compile(r"[0-9a-f]{4,32}")
_SKU = re.compile(r"[A-Z0-9]([A-Z0-9-]{0,62}[A-Z0-9])?")


@dataclass(frozen=True, slots=True)
class Search:
    """What `text` may mean. It may mean several things: SKUs can look like numbers of orders.

    `first` and `last` bound the orders whose numbers begin like it (None: none do), `sku` is a
    SKU that it spells out, on sale or not.
    """

    text: str
    first: UUID | None
    last: UUID | None
    sku: str | None


def search_for(text: str) -> Search:
    """Return the search for `text`.

    A number is a range of the primary key and not a LIKE, so that it stays quick however many
    orders there are.
    """
    text = text.strip().replace("\x00", "\ufffd")  # Postgres has no text with NUL in it
    digits = text.lower().removeprefix(WORKFLOW_ID_PREFIX).replace("-", "")
    is_number = bool(_NUMBER.fullmatch(digits))
    return Search(
        text=text,
        first=UUID(digits.ljust(32, "0")) if is_number else None,
        last=UUID(digits.ljust(32, "f")) if is_number else None,
        sku=text.upper() if _SKU.fullmatch(text.upper()) else None,
    )
