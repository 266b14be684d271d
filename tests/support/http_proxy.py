"""An HTTP proxy in front of order_api that loses, holds back or answers chosen orders itself."""

import asyncio
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from yarl import URL

from chaos.nemesis.http_proxy import Client, HttpProxy, Message

LOSE = "lose the answer"
HOLD = "hold the request back"
_KEY = re.compile(rb"\r\nidempotency-key: *([^\r]+)", re.IGNORECASE)


class ScriptedProxy(HttpProxy):
    """`script` says what happens to the next orders sent; after it, all pass.

    LOSE passes the order on and cuts the connection; HOLD cuts it, and passes the order on only
    when `held` is called; a response is given without passing it on, unless it says `passed_on`.
    `asked` has the address of every request.
    """

    def __init__(self, upstream: int) -> None:
        super().__init__()
        self.upstreams = [upstream]
        self.script: deque[Any] = deque()
        self.keys: list[str] = []
        self.asked: list[URL] = []
        self.held: deque[Callable[[], Awaitable[int]]] = deque()
        self._sent = asyncio.Condition()

    async def has_seen(self, orders: int) -> None:
        """Return when so many have been sent."""
        async with asyncio.timeout(60), self._sent:
            await self._sent.wait_for(lambda: len(self.keys) >= orders)

    async def serve(self, request: Message, client: Client) -> bool:
        method, path, _ = request.head.split(b" ", 2)
        self.asked.append(URL(f"{self.url}{path.decode()}", encoded=True))
        happens = None
        if (method, path) == (b"POST", b"/v1/orders"):
            happens = await self._note(request)
        if happens is None:
            return await super().serve(request, client)
        if happens == HOLD:
            self.held.append(lambda: self._status(request))
            client.abort()
            return False
        if happens == LOSE:
            await self.deliver(request)
            client.abort()
            return False
        if happens.get("passed_on"):
            await self.deliver(request)
        await client.send(_written(happens))
        return True

    async def _note(self, request: Message) -> Any:
        """Count an order; return what is to happen to it."""
        found = _KEY.search(request.head)
        assert found is not None, "an order without a key"
        async with self._sent:
            self.keys.append(found.group(1).decode())
            self._sent.notify_all()
        return self.script.popleft() if self.script else None

    async def _status(self, request: Message) -> int:
        answer = await self.deliver(request)
        assert answer is not None
        return int(answer.head.split(b" ", 2)[1])


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


def _written(response: dict[str, Any]) -> bytes:
    members = response["members"]
    body = ("<html>" if members is None else json.dumps(members)).encode()
    head = (
        f"HTTP/1.1 {response['status']} {response['status']}\r\n"
        f"Content-Type: {response['content_type']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
