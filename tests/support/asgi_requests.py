"""Requests as the framework hands them to our code, without a server."""

from starlette.requests import Request
from starlette.types import Message


def request(*headers: tuple[str, str], body: bytes = b"") -> Request:
    """Return a request with these headers and this body."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive)
