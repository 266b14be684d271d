"""One order over HTTP, and what its shopper saw.

Each wait is counted from the moment at which the shopper meant to order.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

Lines = Mapping[str, int]

# Longer than any promised answer: what takes this long has failed its test anyway.
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class OrderAnswer:
    """What a shopper saw, at `at` (unix s), `took_s` after they had meant to order.

    `status` 0 means that the connection broke: the outcome is unknown.
    """

    customer: str
    key: str
    status: int
    at: float
    took_s: float
    body: dict[str, Any]
    text: str
    headers: Mapping[str, str]

    @property
    def order_id(self) -> str:
        """The order's id, which every answer about a stored order carries."""
        return str(self.body["order_id"])


async def post_order(
    session: aiohttp.ClientSession,
    url: str,
    token: str,
    who: tuple[str, str],
    lines: Lines,
    intended: float | None = None,
) -> OrderAnswer:
    """Send one order for `who` (customer, key) once; a broken connection is an answer, too."""
    began = time.monotonic() if intended is None else intended
    headers: Mapping[str, str] = {}
    status, text = 0, ""
    try:
        async with session.post(
            f"{url}/v1/orders",
            json={"lines": [{"sku": sku, "quantity": n} for sku, n in lines.items()]},
            headers={"Authorization": f"Bearer {token}", "Idempotency-Key": who[1]},
            timeout=aiohttp.ClientTimeout(total=PATIENCE_S),
        ) as response:
            text = await response.text()
            status, headers = response.status, dict(response.headers)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        text = type(error).__name__
    return OrderAnswer(
        customer=who[0],
        key=who[1],
        status=status,
        at=time.time(),
        took_s=time.monotonic() - began,
        body=json.loads(text) if status else {},
        text=text,
        headers=headers,
    )
