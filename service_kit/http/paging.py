"""Query parameters of lists by SKU that come in pages."""

import re
from typing import Annotated

from fastapi import Query
from pydantic import StringConstraints

MOST = 200
_SKU = "^[A-Z0-9-]{1,64}$"

PageSize = Annotated[int, Query(ge=1, le=MOST)]
SkuCursor = Annotated[str | None, Query(pattern=_SKU)]
Skus = Annotated[
    list[Annotated[str, StringConstraints(pattern=_SKU)]] | None, Query(max_length=MOST)
]
# Postgres has no text with NUL in it.
SearchText = Annotated[str | None, Query(min_length=1, max_length=64, pattern=r"^[^\x00]+$")]


def contains(text: str) -> str:
    """Return the LIKE pattern of everything that contains `text`, taken literally."""
    literal = re.sub(r"([%_\\])", r"\\\1", text.strip())
    return f"%{literal}%"
