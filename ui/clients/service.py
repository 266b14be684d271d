"""Client of one service: asks at its address, and reads each answer as a model."""

import asyncio
from collections.abc import Collection
from typing import Any

from ui.clients.http import REQUEST_TIMEOUT_S, Http, Model, read
from ui.identity import UI, Identity

# As many SKUs as fit into a request's address.
BATCH_SIZE = 100


class ServiceClient:
    """Base of the clients of the APIs; NoAnswer and Refusal as `Http.ask` raises them."""

    def __init__(self, http: Http, base_url: str) -> None:
        self._http = http
        self.url = base_url.rstrip("/")

    async def _ask(
        self, model: type[Model], method: str, path: str, who: Identity, **options: Any
    ) -> Model:
        """Return the answer; `options` are those of `Http.ask`."""
        return read(model, await self._http.ask(method, f"{self.url}{path}", who, **options))

    async def _get(
        self, model: type[Model], path: str, who: Identity = UI, **params: object
    ) -> Model:
        """Return what is there now; parameters that are None are left out."""
        return await self._ask(model, "GET", path, who, params=params)

    async def _of_skus(
        self,
        model: type[Model],
        path: str,
        skus: Collection[str],
        within_s: float = REQUEST_TIMEOUT_S,
    ) -> list[Model]:
        """Return what a list says of these SKUs, in as many pages as it takes."""
        ordered = sorted(skus)
        batches = [ordered[n : n + BATCH_SIZE] for n in range(0, len(ordered), BATCH_SIZE)]
        asking = (
            self._ask(
                model, "GET", path, UI, params={"sku": some, "limit": BATCH_SIZE}, within_s=within_s
            )
            for some in batches
        )
        return await asyncio.gather(*asking)
