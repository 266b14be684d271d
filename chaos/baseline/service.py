"""The baseline service: call the warehouse over HTTP, wait, guess, as it is usually done.

The order service that the platform replaces, faithfully: no durable steps, no keys, a timeout,
and a decision taken when it strikes: give up, or try once more (with a new reservation, since
the old one is in doubt). It keeps its own table of what it believes.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from uuid import UUID, uuid4

import aiohttp
from fastapi import FastAPI, Request
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict
from starlette.responses import JSONResponse, Response

from order_api.contracts import PlaceOrder, order_id_for
from service_kit.http import server
from service_kit.http.strict_json import read
from service_kit.http.tokens import TokenVerifier
from service_kit.observability import logs
from service_kit.postgres import pool
from service_kit.process.settings import ServiceSettings, load
from workflows.reasons import OUT_OF_STOCK

Policy = Literal["give-up", "retry-once"]
Believed = Literal["shipped", "rejected", "failed"]

TABLES = """
CREATE TABLE IF NOT EXISTS naive_orders (
    number   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id uuid NOT NULL,
    lines    jsonb NOT NULL,
    status   text NOT NULL DEFAULT 'pending'
);
CREATE TABLE IF NOT EXISTS naive_reservations (
    reservation uuid PRIMARY KEY,
    number      bigint NOT NULL REFERENCES naive_orders
);
"""
INSERT = "INSERT INTO naive_orders (order_id, lines) VALUES ($1, $2) RETURNING number"
BEFORE = "SELECT count(*) FROM naive_orders WHERE order_id = $1"
TRY = "INSERT INTO naive_reservations (reservation, number) VALUES ($1, $2)"
END = "UPDATE naive_orders SET status = $2 WHERE number = $1"


class NaiveSettings(ServiceSettings):
    """Environment variables with the prefix NAIVE_, and the shared ones."""

    model_config = SettingsConfigDict(env_prefix="NAIVE_")

    database_url: SecretStr
    inventory_url: str
    inventory_token: SecretStr
    host: str = "127.0.0.1"
    port: int = Field(8105, ge=1, le=65535)
    policy: Policy = "retry-once"
    # What a person writes who has been asked to answer within two seconds.
    timeout_s: float = Field(0.8, gt=0)


class InDoubt(Exception):
    """The warehouse has not answered, or not in a way that can be understood."""


def create_app(settings: NaiveSettings) -> FastAPI:
    """Return the service."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        connections = await pool.create(
            settings.database_url.get_secret_value(),
            name="naive",
            size=10,
            lock_timeout_s=0.5,
            statement_timeout_s=1.0,
        )
        await connections.execute(TABLES)
        token = settings.inventory_token.get_secret_value()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        async with aiohttp.ClientSession(headers=headers) as session:
            app.state.shop = _Shop(settings, connections, session)
            yield
        connections.terminate()

    app = FastAPI(lifespan=lifespan, redirect_slashes=False)
    verifier = TokenVerifier(settings.token_key.get_secret_value())

    @app.post("/v1/orders")
    async def place(request: Request) -> Response:
        caller = verifier.caller(request)
        wanted = await read(request, PlaceOrder)
        order_id = order_id_for(caller.subject, request.headers["idempotency-key"])
        status = await app.state.shop.place(order_id, wanted)
        return _answer(order_id, status)

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        return {"status": "pass"}

    return app


class _Shop:
    """Takes orders the usual way."""

    def __init__(
        self, settings: NaiveSettings, connections: pool.Pool, session: aiohttp.ClientSession
    ) -> None:
        self._settings = settings
        self._pool = connections
        self._session = session

    async def place(self, order_id: UUID, wanted: PlaceOrder) -> Believed:
        again = await self._pool.fetchval(BEFORE, order_id)
        lines = json.dumps([line.model_dump() for line in wanted.lines])
        number = await self._pool.fetchval(INSERT, order_id, lines)
        tries = 1 if self._settings.policy == "give-up" else 2
        status: Believed = "failed"
        for attempt in range(1, tries + 1):
            # The very first reservation has the id that the same faults are aimed at.
            reservation = order_id if attempt == 1 and not again else uuid4()
            await self._pool.execute(TRY, reservation, number)
            try:
                status = await self._take(reservation, lines)
                break
            except InDoubt:
                continue
        await self._pool.execute(END, number, status)
        return status

    async def _take(self, reservation: UUID, lines: str) -> Believed:
        url = f"{self._settings.inventory_url}/v1/reservations/{reservation}"
        held = await self._call("PUT", url, f'{{"lines": {lines}}}')
        if held == 409:
            return "rejected"
        await self._call("POST", f"{url}/commit", None)
        return "shipped"

    async def _call(self, method: str, url: str, body: str | None) -> int:
        try:
            async with (
                asyncio.timeout(self._settings.timeout_s),
                self._session.request(method, url, data=body) as response,
            ):
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            raise InDoubt from None
        if response.status == 409 and str(answer.get("type", "")).endswith(OUT_OF_STOCK):
            return 409
        if response.status != 200 or answer.get("state") not in ("held", "committed"):
            raise InDoubt
        return 200


def _answer(order_id: UUID, status: Believed) -> Response:
    if status == "shipped":
        return JSONResponse({"order_id": str(order_id), "status": status}, 201)
    slug = OUT_OF_STOCK if status == "rejected" else "failed"
    detail = "Sold out." if status == "rejected" else "Your order has failed. Please try again."
    return JSONResponse(
        {"type": f"/problems/{slug}", "detail": detail, "order_id": str(order_id)}, 409
    )


def main() -> None:
    """Serve until told to stop."""
    settings = load(NaiveSettings)
    logs.configure("naive", settings.log_level, settings.log_format)
    server.run(create_app(settings), settings.host, settings.port)


if __name__ == "__main__":
    main()
