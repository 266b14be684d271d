"""Run an ASGI app under uvicorn the same way in every process."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

FIRST_BYTE_TO_HEADERS_S = 10.0
GRACE_S = 5


class PatientOnlyOnce(HttpToolsProtocol):
    """Closes a connection that has not sent a complete request head within ten seconds.

    uvicorn limits idle time between requests but not before the first one, so a client could
    hold sockets by sending a header a minute (slowloris).
    """

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the clock with the connection."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(FIRST_BYTE_TO_HEADERS_S, transport.close)

    def on_headers_complete(self) -> None:
        """Stop the clock: the request has come, the app's own limits hold from here."""
        self._stop_clock()
        # lets an injected fault cut the connection, which ASGI has no word for
        self.scope.setdefault("extensions", {})["valerix.transport"] = {"transport": self.transport}
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock with the connection."""
        self._stop_clock()
        super().connection_lost(exc)

    def _stop_clock(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def config(app: Any, host: str, port: int) -> uvicorn.Config:
    """Return uvicorn's settings for `app`: our own logs, bounded keep-alive, quick shutdown."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=PatientOnlyOnce,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=GRACE_S,
        backlog=4096,
        lifespan="on",
    )


def event_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return the maker of the fastest event loop this system has."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    maker: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return maker


def run(app: Any, host: str, port: int) -> None:
    """Serve `app` until SIGTERM or SIGINT, on uvloop where there is one."""
    raise_open_file_limit()
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config(app, host, port)).run()


def raise_open_file_limit() -> None:
    """Use all the sockets the system grants: the usual soft limit of 1024 is a burst's worth."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS may refuse its own hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
