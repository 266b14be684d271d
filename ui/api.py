"""Typed calls to order_api and inventory_api, each on behalf of somebody and with an end."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import aiohttp
from opentelemetry import propagate
from pydantic import BaseModel, ValidationError

from inventory_api.contracts import Ledger, StockLevel, StockLevels
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
from service_kit.http_client import open_session
from ui.identity import UI, Identity, Tokens

QUICK_S = 2.0
# Beyond the answer budget (2 s and 0.2 s) of the longest call there is.
PATIENT_S = 6.0
# The stream says something at least every 10 s.
SILENCE_S = 25.0

Model = TypeVar("Model", bound=BaseModel)


class NoAnswer(Exception):
    """The service did not answer, or not in time: what became of the call is unknown."""


@dataclass(eq=False)  # not frozen: Python notes on an exception where it came from
class Refusal(Exception):
    """A problem document: the service understood and said no."""

    status: int
    slug: str
    title: str
    detail: str
    advice: str
    members: Mapping[str, Any]
    retry_after_s: float | None = None

    @property
    def order_id(self) -> str | None:
        """The order that the problem is about."""
        found = self.members.get("order_id")
        return str(found) if found else None


class Http:
    """One connection pool and one way of asking."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Open the pool; to be called inside the event loop that will use it."""
        self._session = open_session()

    async def close(self) -> None:
        """Close the pool."""
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open pool."""
        assert self._session is not None, "used before the application has started"
        return self._session

    def headers(self, who: Identity, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return identity, trace context and whatever else."""
        headers = {**self._tokens.header(who), **(extra or {})}
        propagate.inject(headers)
        return headers

    async def ask(
        self,
        method: str,
        url: str,
        who: Identity,
        *,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        within_s: float = QUICK_S,
    ) -> bytes:
        """Return the answer's body; raise Refusal for a problem, NoAnswer for anything worse."""
        known = {name: str(value) for name, value in (params or {}).items() if value is not None}
        try:
            async with (
                asyncio.timeout(within_s),
                self.session.request(
                    method,
                    url,
                    json=body,
                    params=known,
                    headers=self.headers(who, headers),
                    allow_redirects=False,
                ) as answer,
            ):
                content = await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NoAnswer(type(error).__name__) from None
        if answer.status >= 400:
            raise _refusal(answer.status, answer.headers, content)
        return content


class OrderApi:
    """The order service."""

    def __init__(self, http: Http, base_url: str) -> None:
        self._http = http
        self.url = base_url.rstrip("/")

    async def products(self) -> list[Product]:
        """Return the catalogue."""
        found = await self._http.ask("GET", f"{self.url}/v1/products", UI)
        return _read(Products, found).items

    async def place(self, who: Identity, key: str, lines: Mapping[str, int]) -> Order:
        """Place an order; safe to repeat with the same `key` and `lines`."""
        content = await self._http.ask(
            "POST",
            f"{self.url}/v1/orders",
            who,
            body={"lines": [{"sku": sku, "quantity": n} for sku, n in sorted(lines.items())]},
            headers={"Idempotency-Key": key},
            within_s=PATIENT_S,
        )
        order = _read(Order, content)
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
        params = {
            "status": status,
            "search": search,
            "cursor": cursor,
            "limit": limit,
            "scope": "all" if everyone else None,
        }
        url = f"{self.url}/v1/orders"
        return _read(OrderPage, await self._http.ask("GET", url, who, params=params))

    async def order(self, who: Identity, order_id: UUID) -> Order:
        """Return one order."""
        return _read(Order, await self._http.ask("GET", f"{self.url}/v1/orders/{order_id}", who))

    async def cancel(self, who: Identity, order_id: UUID) -> Order:
        """Ask to cancel it; a Refusal says that it was too late."""
        url = f"{self.url}/v1/orders/{order_id}/cancel"
        return _read(Order, await self._http.ask("POST", url, who, within_s=PATIENT_S))

    async def follow(self, order_id: UUID, after: int) -> AsyncIterator[TimelineEvent | None]:
        """Yield the order's events as they are written, None as a sign of life, until its last.

        Refusal if too many are followed.
        """
        url = f"{self.url}/v1/orders/{order_id}/events"
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        silence = aiohttp.ClientTimeout(total=None, sock_connect=QUICK_S, sock_read=SILENCE_S)
        try:
            async with self._http.session.get(
                url,
                headers=self._http.headers(UI, headers),
                timeout=silence,
                allow_redirects=False,
            ) as answer:
                if answer.status == 429:
                    raise _refusal(answer.status, answer.headers, await answer.read())
                if answer.status != 200:
                    raise NoAnswer(f"status {answer.status}")
                async for line in answer.content:
                    if line.startswith(b"data: "):
                        yield _read(TimelineEvent, line[6:])
                    elif line.startswith((b":", b"retry")):
                        yield None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise NoAnswer(type(error).__name__) from None

    async def summary(self) -> OperationsSummary:
        """Return how the service as a whole is doing."""
        return _read(
            OperationsSummary, await self._http.ask("GET", f"{self.url}/v1/ops/summary", UI)
        )

    async def response_time(self) -> ResponseTime:
        """Return how fast and how well orders are answered; needs nothing but the process."""
        return _read(
            ResponseTime, await self._http.ask("GET", f"{self.url}/v1/ops/response-time", UI)
        )


class InventoryApi:
    """The warehouse."""

    def __init__(self, http: Http, base_url: str) -> None:
        self._http = http
        self.url = base_url.rstrip("/")

    async def stock(self) -> list[StockLevel]:
        """Return the level of every SKU."""
        return _read(
            StockLevels, await self._http.ask("GET", f"{self.url}/v1/stock", UI, within_s=1.0)
        ).items

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
        return _read(Ledger, await self._http.ask("GET", url, who, params=params))

    async def restock(self, who: Identity, sku: str, quantity: int, key: str) -> StockLevel:
        """Add pieces, once per key."""
        content = await self._http.ask(
            "POST",
            f"{self.url}/v1/stock/{sku}/restock",
            who,
            body={"quantity": quantity},
            headers={"Idempotency-Key": key},
        )
        return _read(StockLevel, content)


def _read(model: type[Model], content: bytes) -> Model:
    try:
        return model.model_validate_json(content)
    except ValidationError:
        raise NoAnswer(f"not a {model.__name__}") from None


def _refusal(status: int, headers: Mapping[str, str], content: bytes) -> Refusal:
    try:
        members = json.loads(content)
    except ValueError:
        members = {}
    if not isinstance(members, dict):
        members = {}
    wait = headers.get("Retry-After", "")
    return Refusal(
        status=status,
        slug=str(members.get("type", "")).rpartition("/")[2],
        title=str(members.get("title", "The service could not do that")),
        detail=str(members.get("detail", f"It answered with status {status}.")),
        advice=str(members.get("advice", "Try again in a moment.")),
        members=members,
        retry_after_s=float(wait) if wait.isascii() and wait.isdigit() else None,
    )
