"""A proxy in front of a service that has its own ideas about some of the orders."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

LOSE = "lose the answer"
HOLD = "hold the request back"
_HOP_BY_HOP = {"connection", "content-length", "host", "transfer-encoding", "content-encoding"}


@dataclass
class HttpProxy:
    """`script` says what happens to the next orders sent; after it, all pass.

    LOSE passes the order on and cuts the connection; HOLD cuts it, and passes the order on only
    when `held` is called; a response is given without passing it on, unless it says `passed_on`.
    `asked` has the address of every request.
    """

    port: int = 0
    script: deque[Any] = field(default_factory=deque)
    keys: list[str] = field(default_factory=list)
    asked: list[URL] = field(default_factory=list)
    held: deque[Callable[[], Awaitable[int]]] = field(default_factory=deque)
    _sent: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def note(self, key: str) -> Any:
        """Count an order; return what is to happen to it."""
        async with self._sent:
            self.keys.append(key)
            self._sent.notify_all()
        return self.script.popleft() if self.script else None

    async def has_seen(self, orders: int) -> None:
        """Return when so many have been sent."""
        async with asyncio.timeout(60), self._sent:
            await self._sent.wait_for(lambda: len(self.keys) >= orders)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def problem(status: int, slug: str, **members: Any) -> dict[str, Any]:
    """Return a response as our services give it."""
    return {
        "status": status,
        "content_type": "application/problem+json",
        "members": {"type": f"/problems/{slug}", "title": slug, "status": status, **members},
    }


def page(status: int) -> dict[str, Any]:
    """Return a response as a proxy gives it."""
    return {"status": status, "content_type": "text/html", "members": None}


def _given(response: dict[str, Any]) -> web.Response:
    members = response["members"]
    return web.Response(
        status=response["status"],
        text="<html>" if members is None else json.dumps(members),
        content_type=response["content_type"],
    )


@asynccontextmanager
async def http_proxy(url: str) -> AsyncIterator[HttpProxy]:
    """Stand between everybody and the service at `url`."""
    proxy = HttpProxy()

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        happens = None
        proxy.asked.append(request.url)
        if request.method == "POST" and request.path == "/v1/orders":
            happens = await proxy.note(request.headers["Idempotency-Key"])
        if isinstance(happens, dict) and not happens.get("passed_on"):
            return _given(happens)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}

        async def late() -> int:
            async with session.request(
                request.method, f"{url}{request.path_qs}", data=body, headers=headers
            ) as answer:
                return answer.status

        if happens == HOLD:
            proxy.held.append(late)
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        async with session.request(
            request.method, f"{url}{request.path_qs}", data=body, headers=headers
        ) as answer:
            if happens == LOSE:
                await answer.read()
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            if isinstance(happens, dict):
                return _given(happens)
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
            if "event-stream" not in answer.headers.get("Content-Type", ""):
                return web.Response(body=await answer.read(), status=answer.status, headers=kept)
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    async with aiohttp.ClientSession() as session:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        proxy.port = runner.addresses[0][1]
        try:
            yield proxy
        finally:
            await asyncio.shield(runner.cleanup())
