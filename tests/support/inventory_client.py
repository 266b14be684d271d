"""A client of inventory_api that tells status, body and headers of every answer."""

from typing import Any

import aiohttp

import inventory_api.seed
from tests.support.serving import Served, bearer
from tests.support.stock_replicas import new_sku

Lines = dict[str, int]


class InventoryClient:
    """Speaks to one inventory_api, or to several replicas in turn."""

    def __init__(self, session: aiohttp.ClientSession, *served: Served) -> None:
        self._session = session
        self._served = served
        self._turn = 0

    async def ask(
        self, method: str, path: str, body: Any = None, role: str = "service", **headers: str
    ) -> tuple[int, dict[str, Any], Any]:
        """Return status, body and headers of the answer."""
        self._turn += 1
        url = f"{self._served[self._turn % len(self._served)].url}/v1{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(
            method, url, json=body, headers=bearer(role) | named
        ) as answer:
            return answer.status, await answer.json(content_type=None), answer.headers

    async def reserve(self, order: str, lines: Lines) -> tuple[int, dict[str, Any], Any]:
        items = [{"sku": sku, "quantity": quantity} for sku, quantity in lines.items()]
        return await self.ask("PUT", f"/reservations/{order}", {"lines": items})

    async def commit(self, order: str) -> tuple[int, dict[str, Any], Any]:
        return await self.ask("POST", f"/reservations/{order}/commit")

    async def release(self, order: str) -> tuple[int, dict[str, Any], Any]:
        return await self.ask("POST", f"/reservations/{order}/release")

    async def level(self, sku: str) -> tuple[int, int, int]:
        """Return on hand, reserved, available."""
        _, body, _ = await self.ask("GET", f"/stock/{sku}")
        return body["on_hand"], body["reserved"], body["available"]

    async def movements(self, order: str) -> list[tuple[str, str, int]]:
        _, body, _ = await self.ask("GET", f"/reservations/{order}")
        return [(m["sku"], m["operation"], m["quantity"]) for m in body["movements"]]


async def delivered(dsn: str, *quantities: int) -> list[str]:
    """Return new SKUs, as many pieces of each on the shelf."""
    skus = [new_sku() for _ in quantities]
    await inventory_api.seed.seed(dsn, dict(zip(skus, quantities, strict=True)))
    return skus
