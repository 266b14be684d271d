"""The outermost layer, as a server calls it."""

import asyncio
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from service_kit.http.request_middleware import RequestMiddleware


class Visit:
    """One request to an ASGI application, with its answer as it comes."""

    def __init__(self, path: str = "/v1/orders", *headers: tuple[bytes, bytes]) -> None:
        self._scope: Scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "headers": list(headers),
        }
        self.sent: list[Message] = []

    async def run(self, app: RequestMiddleware) -> int:
        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            self.sent.append(message)

        await app(self._scope, receive, send)
        status: int = self.sent[0]["status"]
        return status


class Held:
    """An application whose answers wait; as a stream, its heads do not."""

    def __init__(self, content_type: bytes) -> None:
        self.content_type = content_type
        self.go = asyncio.Event()
        self.inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.inside += 1
        headers = [(b"content-type", self.content_type)]
        start: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": headers}
        if self.content_type == b"text/event-stream":
            await send(start)
            await self.go.wait()
        else:
            await self.go.wait()
            await send(start)
        await send({"type": "http.response.body", "body": b""})


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_more_requests_than_can_be_served_are_told_to_come_again() -> None:
    app = Held(b"application/json")
    edge = RequestMiddleware(app, in_flight_limit=2)
    waiting = [asyncio.create_task(Visit().run(edge)) for _ in range(2)]
    await settle()
    assert await Visit().run(edge) == 503
    app.go.set()
    assert await Visit("/livez").run(edge) == 200
    assert await asyncio.gather(*waiting) == [200, 200]
    assert await Visit().run(edge) == 200


async def test_streams_left_open_do_not_use_up_the_room_for_requests() -> None:
    app = Held(b"text/event-stream")
    edge = RequestMiddleware(app, in_flight_limit=2)
    streams = [asyncio.create_task(Visit().run(edge)) for _ in range(10)]
    await settle()
    assert app.inside == 10
    app.go.set()
    assert await asyncio.gather(*streams) == [200] * 10
    # and what they gave back, they gave back once
    full = Held(b"application/json")
    edge._app = full
    waiting = [asyncio.create_task(Visit().run(edge)) for _ in range(2)]
    await settle()
    assert await Visit().run(edge) == 503
    full.go.set()
    await asyncio.gather(*waiting)


async def test_what_an_application_did_not_expect_is_a_500_in_our_words() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("secret")

    visit = Visit()
    assert await visit.run(RequestMiddleware(broken)) == 500
    assert dict(visit.sent[0]["headers"])[b"content-type"] == b"application/problem+json"
    assert b"secret" not in visit.sent[1]["body"]
