"""Client of inventory_api: typed calls, each on behalf of somebody and with a deadline."""

import asyncio
from collections.abc import Collection

from inventory_api.contracts import Ledger, StockLevel, StockLevels
from ui.clients.batches import BATCH_SIZE, batches
from ui.clients.http import Http, read
from ui.identity import UI, Identity


class InventoryApi:
    """The warehouse."""

    def __init__(self, http: Http, base_url: str) -> None:
        self._http = http
        self.url = base_url.rstrip("/")

    async def stock(
        self, *, search: str | None = None, cursor: str | None = None, limit: int = 20
    ) -> StockLevels:
        """Return a page of levels, by SKU."""
        params = {"search": search, "cursor": cursor, "limit": limit}
        return read(
            StockLevels, await self._http.ask("GET", f"{self.url}/v1/stock", UI, params=params)
        )

    async def stock_of(self, skus: Collection[str]) -> dict[str, StockLevel]:
        """Return the levels of those of these SKUs that the warehouse keeps."""
        url = f"{self.url}/v1/stock"
        pages = await asyncio.gather(
            *(
                self._http.ask(
                    "GET", url, UI, params={"sku": some, "limit": BATCH_SIZE}, within_s=1.0
                )
                for some in batches(skus)
            )
        )
        levels = [level for page in pages for level in read(StockLevels, page).items]
        return {level.sku: level for level in levels}

    async def movements(
        self,
        who: Identity,
        *,
        sku: str | None = None,
        operation: str | None = None,
        cursor: str | None = None,
        limit: int = 25,
    ) -> Ledger:
        """Return a page of the ledger, newest first."""
        params = {"sku": sku, "operation": operation, "cursor": cursor, "limit": limit}
        url = f"{self.url}/v1/movements"
        return read(Ledger, await self._http.ask("GET", url, who, params=params))

    async def restock(self, who: Identity, sku: str, quantity: int, key: str) -> StockLevel:
        """Add pieces, once per key."""
        content = await self._http.ask(
            "POST",
            f"{self.url}/v1/stock/{sku}/restock",
            who,
            body={"quantity": quantity},
            headers={"Idempotency-Key": key},
        )
        return read(StockLevel, content)
