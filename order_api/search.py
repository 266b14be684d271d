"""What a person types to find an order: the beginning of its number, or of a SKU in it."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

_NUMBER = re.compile(r"[0-9a-f]{4,32}")


@dataclass(frozen=True, slots=True)
class Search:
    """A condition to add to the query of a page, with what stands for $6 and $7 in it."""

    condition: str
    arguments: tuple[Any, ...]


def search_for(text: str) -> Search:
    """Return the search for `text`; hexadecimal digits are taken for the number of an order.

    A number is a range of the primary key and not a LIKE, so that it stays quick however many
    orders there are.
    """
    digits = text.strip().lower().removeprefix("order-").replace("-", "")
    if _NUMBER.fullmatch(digits):
        first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
        return Search("AND o.order_id BETWEEN $6 AND $7", (first, last))
    # a SKU has no characters that LIKE reads as more than themselves; whatever else does not match
    sku = re.sub(r"[^A-Z0-9-]", "?", text.strip().upper())
    return Search(
        "AND EXISTS (SELECT 1 FROM order_lines f WHERE f.order_id = o.order_id AND f.sku LIKE $6)",
        (f"%{sku}%",),
    )
