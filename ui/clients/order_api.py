"""Client of order_api: typed calls, each on behalf of somebody and with a deadline."""

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any
from uuid import UUID

import aiohttp

from order_api.contracts import (
    OperationsSummary,
    Order,
    OrderPage,
    Product,
    Products,
    ResponseTime,
    TimelineEvent,
    order_id_for,
)
from ui.clients.http import REQUEST_TIMEOUT_S, NoAnswer, read, refusal
from ui.clients.service import ServiceClient
from ui.identity import UI, Identity

# Beyond the answer budget (2 s and 0.2 s) of the longest call there is.
ORDER_TIMEOUT_S = 6.0
# The stream says something at least every 10 s.
STREAM_READ_TIMEOUT_S = 25.0


class NothingFollows(Exception):
    """All that happened to the order has been told."""


class OrderApi(ServiceClient):
    """The order service."""

    async def products(
        self, *, search: str | None = None, cursor: str | None = None, limit: int = 20
    ) -> Products:
        """Return a page of what is on sale, by SKU."""
        return await self._get(Products, "/v1/products", search=search, cursor=cursor, limit=limit)

    async def products_of(self, skus: Collection[str]) -> dict[str, Product]:
        """Return those of these products that are on sale, by SKU."""
        pages = await self._of_skus(Products, "/v1/products", skus)
        return {product.sku: product for page in pages for product in page.items}

    async def place(
        self,
        who: Identity,
        key: str,
        lines: Mapping[str, int],
        expected_total_minor: int | None = None,
        expected_currency: str | None = None,
    ) -> Order:
        """Place an order; safe to repeat with the same `key` and `lines`.

        It is refused as `price-changed` if it does not cost what is expected (None: anything goes).
        """
        body: dict[str, Any] = {
            "lines": [{"sku": sku, "quantity": n} for sku, n in sorted(lines.items())]
        }
        if expected_total_minor is not None:
            body["expected_total_minor"] = expected_total_minor
        if expected_currency is not None:
            body["expected_currency"] = expected_currency
        headers = {"Idempotency-Key": key}
        order = await self._ask(
            Order, "POST", "/v1/orders", who, body=body, headers=headers, within_s=ORDER_TIMEOUT_S
        )
        if order.order_id != order_id_for(who.subject, key):
            raise NoAnswer("an answer about another order")
        return order

    async def orders(
        self,
        who: Identity,
        *,
        status: str | None = None,
        search: str | None = None,
        cursor: str | None = None,
        limit: int = 20,
        everyone: bool = False,
    ) -> OrderPage:
        """Return a page of orders, newest first."""
        return await self._get(
            OrderPage,
            "/v1/orders",
            who,
            status=status,
            search=search,
            cursor=cursor,
            limit=limit,
            scope="all" if everyone else None,
        )

    async def order(self, who: Identity, order_id: UUID) -> Order:
        """Return one order."""
        return await self._get(Order, f"/v1/orders/{order_id}", who)

    async def cancel(self, who: Identity, order_id: UUID) -> Order:
        """Ask to cancel it; a Refusal says that it was too late."""
        path = f"/v1/orders/{order_id}/cancel"
        return await self._ask(Order, "POST", path, who, within_s=ORDER_TIMEOUT_S)

    async def follow(self, order_id: UUID, after: int) -> AsyncIterator[TimelineEvent | None]:
        """Yield the order's events as they are written, None as a sign of life, until its last.

        Refusal if too many are followed, NothingFollows if there are none after number `after` and
        never will be; one that cannot be read is passed over.
        """
        url = f"{self.url}/v1/orders/{order_id}/events"
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        silence = aiohttp.ClientTimeout(
            total=None, sock_connect=REQUEST_TIMEOUT_S, sock_read=STREAM_READ_TIMEOUT_S
        )
        try:
            async with self._http.session.get(
                url,
                headers=self._http.headers(UI, headers),
                timeout=silence,
                allow_redirects=False,
            ) as answer:
                if answer.status == 429:
                    raise refusal(answer.status, answer.headers, await answer.read())
                if answer.status == 204:
                    raise NothingFollows
                if answer.status != 200:
                    raise NoAnswer(f"status {answer.status}")
                async for line in answer.content:
                    if line.startswith(b"data: "):
                        yield _event(line[6:])
                    elif line.startswith((b":", b"retry")):
                        yield None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise NoAnswer(type(error).__name__) from None

    async def summary(self) -> OperationsSummary:
        """Return how the service as a whole is doing."""
        return await self._get(OperationsSummary, "/v1/ops/summary")

    async def response_time(self) -> ResponseTime:
        """Return how fast and how well orders are answered; needs nothing but the process."""
        return await self._get(ResponseTime, "/v1/ops/response-time")


def _event(content: bytes) -> TimelineEvent | None:
    try:
        return read(TimelineEvent, content)
    except NoAnswer:
        return None
