"""Attempts: which try of its caller's a request is, by its X-Attempt header."""

from contextvars import ContextVar

from starlette.types import ASGIApp, Receive, Scope, Send

# More than any caller makes; a header may claim what it likes.
MAX_ATTEMPT = 1_000_000

attempt: ContextVar[int] = ContextVar("attempt", default=1)


class Attempts:
    """ASGI middleware that makes the count known below; 1 if the header is missing or odd."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, knowing which attempt it is."""
        if scope["type"] == "http":
            text = next((value for name, value in scope["headers"] if name == b"x-attempt"), b"1")
            known = min(int(text[:7]), MAX_ATTEMPT) if text.isdigit() else 1
            attempt.set(max(known, 1))
        await self._app(scope, receive, send)
