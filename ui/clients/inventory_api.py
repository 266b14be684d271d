"""Client of inventory_api: typed calls, each on behalf of somebody and with a deadline."""

from collections.abc import Collection

from inventory_api.contracts import Ledger, StockLevel, StockLevels
from ui.clients.service import ServiceClient
from ui.identity import Identity


class InventoryApi(ServiceClient):
    """The warehouse."""

    async def stock(
        self, *, search: str | None = None, cursor: str | None = None, limit: int = 20
    ) -> StockLevels:
        """Return a page of levels, by SKU."""
        return await self._get(StockLevels, "/v1/stock", search=search, cursor=cursor, limit=limit)

    async def stock_of(self, skus: Collection[str]) -> dict[str, StockLevel]:
        """Return the levels of those of these SKUs that the warehouse keeps."""
        pages = await self._of_skus(StockLevels, "/v1/stock", skus, within_s=1.0)
        return {level.sku: level for page in pages for level in page.items}

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
        wanted = {"sku": sku, "operation": operation, "cursor": cursor, "limit": limit}
        return await self._get(Ledger, "/v1/movements", who, **wanted)

    async def restock(self, who: Identity, sku: str, quantity: int, key: str) -> StockLevel:
        """Add pieces, once per key."""
        body, headers = {"quantity": quantity}, {"Idempotency-Key": key}
        path = f"/v1/stock/{sku}/restock"
        return await self._ask(StockLevel, "POST", path, who, body=body, headers=headers)
